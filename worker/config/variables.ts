import type { z } from 'zod';
import { parsePrivateKey, parsePublicKey } from '../keys';
import { parsePayloadKeys } from '../payload-keys';
import {
  address,
  ascendingDurations,
  cron,
  databaseUrl,
  duration,
  host,
  httpUrl,
  key,
  oneOf,
  origins,
  port,
  positiveNumber,
  ratio,
  text,
  token,
  wholeNumber,
  word,
} from './kinds';

/** `timeout_express` ends at 15 days, and no longer life of a trade is documented for `time_expire` either. */
export const LONGEST_ORDER = '15d';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

const A_TOKEN = '16 or more random characters, as from: openssl rand -hex 32';

/** One row of the table. */
export interface Variable {
  /** The part of the configuration that it belongs to; `temporal` is read by the Temporal SDK itself. */
  group: string;
  /** Where its value is found in the group; absent: somebody else reads it. */
  field?: string;
  /** One line for the table in the README and the CLI's help. */
  meaning: string;
  /** Used where the variable is unset or blank. */
  default?: string;
  /** What to set, where there is no default. */
  example?: string;
  /** Its value is never shown. */
  secret?: boolean;
  /** `NAME_FILE` may name a file that holds the value. */
  orFile?: boolean;
  /** A blank value counts as one, and not as unset. */
  blankIsValue?: boolean;
  /** What it may hold; absent: somebody else validates it. */
  kind?: z.ZodType<unknown, string | undefined>;
}

/** Every variable and every default. They are written here and nowhere else. */
export const VARIABLES = {
  TEMPORAL_ADDRESS: {
    group: 'temporal',
    default: 'localhost:7233',
    meaning:
      'Temporal server. This and every other TEMPORAL_*, except the two deployment variables, is read by the Temporal SDK (envconfig)',
  },
  TEMPORAL_NAMESPACE: { group: 'temporal', default: 'default', meaning: 'Temporal namespace' },
  TEMPORAL_DEPLOYMENT_NAME: {
    group: 'build',
    field: 'deploymentName',
    example: 'durable-alipay',
    meaning: 'name of the Worker Deployment; with a build id the workers are versioned, unset they are not',
    kind: text(200)
      .regex(/^(?!__)[^\s.:]+$/, 'is not one word of up to 200 characters without dots and colons')
      .optional(),
  },
  TEMPORAL_WORKER_BUILD_ID: {
    group: 'build',
    field: 'buildId',
    example: '1.4.0',
    meaning: "this build's id in the Worker Deployment: another one for each build",
    kind: text(200)
      .regex(/^(?!__)[^\s:]+$/, 'is not one word of up to 200 characters without colons')
      .optional(),
  },
  DATABASE_URL: {
    group: 'database',
    field: 'url',
    secret: true,
    orFile: true,
    example: 'postgres://user:password@host:5432/shop',
    meaning: 'PostgreSQL; or DATABASE_URL_FILE',
    kind: databaseUrl,
  },
  DATABASE_SCHEMA: {
    group: 'database',
    field: 'schema',
    default: 'public',
    meaning: 'schema of all tables',
    kind: text(63).regex(
      /^(?!pg_)[A-Za-z_][A-Za-z0-9_]*$/,
      'is not a schema name: a letter or _, then up to 62 letters, digits or _; pg_ is reserved',
    ),
  },
  DATABASE_POOLER: {
    group: 'database',
    field: 'pooler',
    example: 'transaction',
    meaning:
      '`transaction` where DATABASE_URL is a pooler in transaction mode, like PgBouncer: statements without names',
    kind: oneOf(['transaction']).optional(),
  },
  ALIPAY_GATEWAY: {
    group: 'alipay',
    field: 'gateway',
    example: 'https://openapi.alipay.com/gateway.do',
    meaning: "Alipay's gateway",
    kind: httpUrl,
  },
  ALIPAY_APP_ID: {
    group: 'alipay',
    field: 'appId',
    example: '2021000000000000',
    meaning: 'application id at Alipay',
    kind: word(32),
  },
  ALIPAY_PRIVATE_KEY: {
    group: 'alipay',
    field: 'privateKey',
    secret: true,
    orFile: true,
    example: "your application's RSA2 private key",
    meaning: "the application's private key: PEM or bare base64, PKCS1 or PKCS8; or ALIPAY_PRIVATE_KEY_FILE",
    // PKCS1 PEM, as alipay-sdk expects it.
    kind: key((value) => parsePrivateKey(value).pkcs1),
  },
  ALIPAY_PUBLIC_KEY: {
    group: 'alipay',
    field: 'publicKey',
    secret: true,
    orFile: true,
    example: "Alipay's public key (支付宝公钥) as the open platform shows it",
    meaning: "Alipay's public key: PEM or bare base64; or ALIPAY_PUBLIC_KEY_FILE",
    kind: key(parsePublicKey),
  },
  ALIPAY_SELLER_ID: {
    group: 'alipay',
    field: 'sellerId',
    example: '2088000000000000',
    meaning: 'account that receives the money; notifications of another one are refused',
    kind: word(28),
  },
  ALIPAY_NOTIFY_URL: {
    group: 'alipay',
    field: 'notifyUrl',
    example: 'https://shop.example/alipay/notify',
    meaning: 'public address of POST /alipay/notify',
    kind: httpUrl,
  },
  ALIPAY_RETURN_URL: {
    group: 'alipay',
    field: 'returnUrl',
    example: 'https://shop.example/thanks',
    meaning: 'where the cashier sends the buyer back to',
    kind: httpUrl.optional(),
  },
  ALIPAY_TIMEOUT: {
    group: 'alipay',
    field: 'timeoutMs',
    default: '5s',
    meaning: 'hard deadline of one call, at most 20s',
    kind: duration('50ms', '20s'),
  },
  ALIPAY_MAX_RPS: {
    group: 'alipay',
    field: 'maxRps',
    example: '50',
    meaning: 'calls per second of all workers together; unset: no quota',
    kind: positiveNumber.optional(),
  },
  PAYMENT_CHECKS: {
    group: 'payments',
    field: 'checks',
    default: '3',
    meaning: 'how many times Alipay is asked after a checkout; 0: only notifications and the sweep',
    kind: wholeNumber(0, 20),
  },
  PAYMENT_CHECK_INTERVAL: {
    group: 'payments',
    field: 'intervalMs',
    default: '1m',
    meaning: 'time from checkout to the first check, and between checks',
    kind: duration('1ms', '24h'),
  },
  SLOW_CHECKS: {
    group: 'payments',
    field: 'slowChecksMs',
    default: '5m,10m,20m,40m,80m,160m,320m,640m',
    blankIsValue: true,
    meaning:
      'when Alipay is asked again about a payment that is still open, after its checkout; empty or `none`: not',
    kind: ascendingDurations(LONGEST_ORDER, 32),
  },
  ORDER_TTL: {
    group: 'payments',
    field: 'orderTtlMs',
    default: '24h',
    meaning: 'how long an order may stay unpaid',
    kind: duration('1ms', LONGEST_ORDER),
  },
  CLOSE_MARGIN: {
    group: 'payments',
    field: 'closeMarginMs',
    default: '60s',
    meaning: 'how long before an order expires Alipay stops taking money for it',
    kind: duration('1ms', '24h'),
  },
  LATE_PAYMENT_POLICY: {
    group: 'payments',
    field: 'latePaymentPolicy',
    default: 'refund',
    meaning: 'money that comes too late or twice: `refund` it, or put it up for `review`',
    kind: oneOf(['refund', 'review']),
  },
  EVIDENCE_RETENTION: {
    group: 'payments',
    field: 'evidenceRetentionMs',
    example: '400d',
    meaning: "how long Alipay's notifications are kept once they are recorded; unset: always",
    kind: duration('1s', '20y').optional(),
  },
  SWEEP_CRON: {
    group: 'sweep',
    field: 'cron',
    default: '0/30 * * * * * *',
    meaning: 'when the sweep runs: seven fields (seconds first, year last) or `@every 30s`',
    kind: cron,
  },
  SWEEP_PARALLEL: {
    group: 'sweep',
    field: 'parallel',
    default: '50',
    meaning: 'orders asked about and closed at the same time',
    kind: wholeNumber(1, 1_000),
  },
  HOST: {
    group: 'http',
    field: 'host',
    default: '127.0.0.1',
    meaning: 'address the HTTP server listens on',
    kind: host,
  },
  PORT: {
    group: 'http',
    field: 'port',
    default: '3000',
    meaning: 'port of the HTTP server; 0: any free one',
    kind: port,
  },
  API_TOKEN: {
    group: 'http',
    field: 'apiToken',
    secret: true,
    orFile: true,
    example: A_TOKEN,
    meaning:
      'bearer token of /orders, /checkout and /payments; or API_TOKEN_FILE; required unless HOST is a loopback address',
    kind: token.optional(),
  },
  PAYLOAD_KEYS: {
    group: 'payloads',
    field: 'keys',
    secret: true,
    orFile: true,
    example:
      'id:key, as from: echo "2026-11:$(openssl rand -base64 32)"; older ones behind it, with commas between',
    meaning:
      'encrypts what Temporal stores: `id:base64` of 32 bytes, older keys behind it; or PAYLOAD_KEYS_FILE; unset: in clear',
    kind: key(parsePayloadKeys)
      .optional()
      .transform((keys) => keys ?? []),
  },
  CODEC_HOST: {
    group: 'codec',
    field: 'host',
    default: '127.0.0.1',
    meaning: 'address that `durable-alipay codec` listens on, which decrypts for the Web UI and `temporal`',
    kind: host,
  },
  CODEC_PORT: {
    group: 'codec',
    field: 'port',
    default: '8234',
    meaning: 'its port, beside that of the Web UI; 0: any free one',
    kind: port,
  },
  CODEC_TOKEN: {
    group: 'codec',
    field: 'token',
    secret: true,
    orFile: true,
    example: A_TOKEN,
    meaning: 'its bearer token; or CODEC_TOKEN_FILE; required unless CODEC_HOST is a loopback address',
    kind: token.optional(),
  },
  CODEC_CORS_ORIGINS: {
    group: 'codec',
    field: 'corsOrigins',
    default: 'http://localhost:8233,http://127.0.0.1:8233',
    meaning: 'origins of the Web UIs that may use it, with commas between',
    kind: origins,
  },
  LOG_LEVEL: {
    group: 'log',
    field: 'level',
    default: 'info',
    meaning: LOG_LEVELS.join(', '),
    kind: oneOf(LOG_LEVELS),
  },
  LOG_FORMAT: {
    group: 'log',
    field: 'format',
    example: 'json or pretty',
    meaning: '`json` or `pretty`; unset: pretty on a terminal, JSON elsewhere',
    kind: oneOf(LOG_FORMATS).optional(),
  },
  METRICS_ADDRESS: {
    group: 'metrics',
    field: 'address',
    example: '127.0.0.1:9464',
    meaning:
      'IP address:port at which this process, worker or server, serves Prometheus metrics (`/metrics`); unset: none',
    kind: address.optional(),
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    group: 'tracing',
    field: 'collector',
    example: 'http://localhost:4318',
    meaning:
      'OpenTelemetry collector (OTLP over HTTP) that traces are sent to, at /v1/traces; unset: no traces',
    kind: httpUrl.optional(),
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    group: 'tracing',
    field: 'url',
    example: 'http://localhost:4318/v1/traces',
    meaning: 'the same for traces alone, the whole address',
    kind: httpUrl.optional(),
  },
  OTEL_SERVICE_NAME: {
    group: 'tracing',
    example: 'shop-payments',
    meaning: 'name of this process in traces; unset: `durable-alipay-worker`, `durable-alipay-server`',
    kind: word(255).optional(),
  },
  OTEL_TRACES_SAMPLER: {
    group: 'tracing',
    default: 'parentbased_always_on',
    meaning: 'which traces are kept, as OpenTelemetry names it; `parentbased_traceidratio`: some of them',
    kind: oneOf(SAMPLERS),
  },
  OTEL_TRACES_SAMPLER_ARG: {
    group: 'tracing',
    example: '0.1',
    meaning: 'how large a part, 0 to 1, where the sampler takes a ratio; unset: all',
    kind: ratio.optional(),
  },
  SANDBOX_PORT: {
    group: 'laptop',
    field: 'sandboxPort',
    default: '4000',
    meaning: 'port of the local Alipay gateway',
    kind: port,
  },
  TEMPORAL_PORT: {
    group: 'laptop',
    field: 'temporalPort',
    default: '7233',
    meaning: 'port of the Temporal server that temporal-dev.sh starts',
    kind: port,
  },
  TEMPORAL_UI_PORT: {
    group: 'laptop',
    field: 'temporalUiPort',
    default: '8233',
    meaning: 'port of the Temporal Web UI that temporal-dev.sh starts',
    kind: port,
  },
} as const satisfies Record<string, Variable>;
