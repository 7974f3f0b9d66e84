import { parsePayloadKeys } from '../../payload-keys';
import {
  address,
  host,
  httpUrl,
  key,
  oneOf,
  origins,
  port,
  ratio,
  text,
  token,
  wholeNumber,
  word,
} from '../kinds';
import type { Variable } from './variable';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const LOG_FORMATS = ['json', 'pretty'] as const;

const SAMPLERS = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;

const A_TOKEN = '16 or more random characters, as from: openssl rand -hex 32';

/** Where the processes listen, what they log, and how much a worker keeps in memory. */
export const PROCESSES = {
  MAX_CACHED_WORKFLOWS: {
    group: 'worker',
    field: 'maxCachedWorkflows',
    default: '300',
    meaning:
      'workflows that a worker keeps in memory, for each queue; others are replayed at their next event',
    kind: wholeNumber(2, 100_000),
  },
  HOST: {
    group: 'http',
    field: 'host',
    default: '127.0.0.1',
    meaning: 'address of the HTTP server',
    kind: host,
  },
  PORT: {
    group: 'http',
    field: 'port',
    default: '3000',
    meaning: 'its port; 0: any',
    kind: port,
  },
  API_TOKEN: {
    group: 'http',
    field: 'apiToken',
    secret: true,
    orFile: true,
    example: A_TOKEN,
    meaning:
      'its bearer token; or API_TOKEN_FILE; required unless HOST and each ALIPAY_NOTIFY_URL are loopback',
    kind: token.optional(),
  },
  PAYLOAD_KEYS: {
    group: 'payloads',
    field: 'keys',
    secret: true,
    orFile: true,
    example:
      'id:key, as from: echo "2026-11:$(openssl rand -base64 32)"; older ones after it, separated by commas',
    meaning:
      'encrypts what Temporal stores: `id:base64` of 32 bytes, older keys after it; or PAYLOAD_KEYS_FILE',
    kind: key(parsePayloadKeys)
      .optional()
      .transform((keys) => keys ?? []),
  },
  CODEC_HOST: {
    group: 'codec',
    field: 'host',
    default: '127.0.0.1',
    meaning: 'address of `durable-alipay codec`',
    kind: host,
  },
  CODEC_PORT: {
    group: 'codec',
    field: 'port',
    default: '8234',
    meaning: 'its port; 0: any',
    kind: port,
  },
  CODEC_TOKEN: {
    group: 'codec',
    field: 'token',
    secret: true,
    orFile: true,
    example: A_TOKEN,
    meaning:
      'its bearer token; or CODEC_TOKEN_FILE; required behind a proxy, and unless CODEC_HOST is loopback',
    kind: token.optional(),
  },
  CODEC_CORS_ORIGINS: {
    group: 'codec',
    field: 'corsOrigins',
    default: 'http://localhost:8233,http://127.0.0.1:8233',
    meaning: 'origins of Web UIs that may use it, comma-separated',
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
    meaning: '`json` or `pretty`; unset: pretty on a terminal',
    kind: oneOf(LOG_FORMATS).optional(),
  },
  METRICS_ADDRESS: {
    group: 'metrics',
    field: 'address',
    example: '127.0.0.1:9464',
    meaning: "IP address:port of this process's Prometheus metrics; unset: none",
    kind: address.optional(),
  },
  HTTPS_PROXY: {
    group: 'proxy',
    example: 'http://proxy.internal:3128',
    meaning: 'HTTP proxy to Alipay and ORDER_SERVICE_URL; for http:// addresses HTTP_PROXY',
    kind: httpUrl.optional(),
  },
  NO_PROXY: {
    group: 'proxy',
    example: 'localhost,.internal',
    meaning: 'hosts reached without it: names, suffixes, `:port`, `*`',
    kind: text(4_096).optional(),
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    group: 'tracing',
    field: 'collector',
    example: 'http://localhost:4318',
    meaning: 'OpenTelemetry collector (OTLP over HTTP); unset: no traces',
    kind: httpUrl.optional(),
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    group: 'tracing',
    field: 'url',
    example: 'http://localhost:4318/v1/traces',
    meaning: 'its full address, for traces only',
    kind: httpUrl.optional(),
  },
  OTEL_SERVICE_NAME: {
    group: 'tracing',
    example: 'shop-payments',
    meaning: 'this process in traces; unset: `durable-alipay-worker` or `-server`',
    kind: word(255).optional(),
  },
  OTEL_TRACES_SAMPLER: {
    group: 'tracing',
    default: 'parentbased_always_on',
    meaning: 'which traces are kept; `parentbased_traceidratio`: a part',
    kind: oneOf(SAMPLERS),
  },
  OTEL_TRACES_SAMPLER_ARG: {
    group: 'tracing',
    example: '0.1',
    meaning: 'that part, 0 to 1; unset: all',
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
    meaning: "port of temporal-dev.sh's Temporal server",
    kind: port,
  },
  TEMPORAL_UI_PORT: {
    group: 'laptop',
    field: 'temporalUiPort',
    default: '8233',
    meaning: 'port of its Web UI',
    kind: port,
  },
} as const satisfies Record<string, Variable>;
