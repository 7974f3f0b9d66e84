import { readFileSync } from 'node:fs';
import ms from 'ms';
import { z } from 'zod';
import { PaymentError } from '../workflows/errors';
import type { LatePaymentPolicy } from '../workflows/messages';
import { KeyFault, parsePrivateKey, parsePublicKey } from './keys';
import type { PayloadKey } from './payload-keys';
import { parsePayloadKeys } from './payload-keys';

/** What the environment says, validated. Durations are milliseconds. */
export interface Config {
  database: { url: string; schema: string };
  alipay: {
    gateway: string;
    appId: string;
    /** PKCS1 PEM: what alipay-sdk expects by default. */
    privateKey: string;
    /** The same key as PKCS8 PEM. */
    privateKeyPkcs8: string;
    /** Alipay's public key, SPKI PEM. */
    publicKey: string;
    sellerId: string;
    notifyUrl: string;
    returnUrl?: string;
    /** The hard deadline of one call. */
    timeoutMs: number;
    /** Calls per second of all workers together; undefined: no quota. */
    maxRps?: number;
  };
  payments: {
    checks: number;
    intervalMs: number;
    orderTtlMs: number;
    closeMarginMs: number;
    latePaymentPolicy: LatePaymentPolicy;
  };
  sweep: { cron: string; parallel: number };
  http: { host: string; port: number; apiToken?: string };
  /** The first encrypts what Temporal stores, all decrypt; none: nothing is encrypted. */
  payloads: { keys: readonly PayloadKey[] };
  codec: { host: string; port: number; token?: string; corsOrigins: readonly string[] };
  /** Which build of the workflow code this is, beside others. */
  build: {
    /** Undefined: not versioned. */
    version?: { deploymentName: string; buildId: string };
    /** Ids of `patched` changes, or `all`, that runs do not take yet. */
    heldPatches: readonly string[];
  };
  log: { level: LogLevel; format?: LogFormat };
  /** Where Prometheus reads; undefined: nowhere. */
  metrics: { address?: string };
  /** Where spans are sent, the whole address; undefined: nowhere, and none are made. */
  tracing: { url?: string };
  /** Where `temporal-dev.sh` puts what stands in for the outside world. */
  laptop: { sandboxPort: number; temporalPort: number; temporalUiPort: number };
}

export type ConfigGroup = keyof Config;

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

/** `timeout_express` ends at 15 days, and no longer life of a trade is documented for `time_expire` either. */
export const LONGEST_ORDER = '15d';

/**
 * A duration with its unit, like `30m` or `1.5 h`, as whole milliseconds.
 *
 * @param shortest and `longest` are durations too, both allowed themselves
 */
export function duration(shortest: ms.StringValue, longest: ms.StringValue): z.ZodType<number, string> {
  // The pattern's cost grows with the square of the length.
  return z
    .string()
    .max(32, 'is not a duration: it has more than 32 characters')
    .transform((text, context) => {
      // ms() takes a bare number for milliseconds and a sign for a direction: both are slips in a setting.
      const value = /^\d*\.?\d+ *[a-z]+$/i.test(text) ? ms(text as ms.StringValue) : undefined;
      if (value === undefined || Number.isNaN(value)) {
        context.addIssue('is not a duration with its unit, like 500ms, 30s, 15m, 24h');
        return z.NEVER;
      }
      if (value < ms(shortest) || value > ms(longest)) {
        context.addIssue(`is not between ${shortest} and ${longest}`);
        return z.NEVER;
      }
      return Math.round(value);
    });
}

const httpUrl = z
  .string()
  .refine((text) => /^https?:$/.test(protocolOf(text)), 'is not an http:// or https:// URL');

const databaseUrl = z
  .string()
  .refine((text) => /^postgres(ql)?:$/.test(protocolOf(text)), 'is not a postgres:// URL');

const port = wholeNumber(0, 65_535);

const token = z
  .string()
  .regex(/^[\x21-\x7e]{16,}$/, 'is shorter than 16 characters, or has some outside printable ASCII');

const A_TOKEN = '16 or more random characters, as from: openssl rand -hex 32';

interface Variable {
  group: ConfigGroup | 'temporal';
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
  /** Absent: somebody else reads it. */
  schema?: z.ZodType<unknown, string | undefined>;
}

/** Every variable and every default, here and nowhere else. */
const VARIABLES = {
  TEMPORAL_ADDRESS: {
    group: 'temporal',
    default: 'localhost:7233',
    meaning:
      'Temporal server. This and every other TEMPORAL_*, but for the two of a deployment, is read by the Temporal SDK (envconfig)',
  },
  TEMPORAL_NAMESPACE: { group: 'temporal', default: 'default', meaning: 'Temporal namespace' },
  TEMPORAL_DEPLOYMENT_NAME: {
    group: 'build',
    example: 'durable-alipay',
    meaning: 'name of the Worker Deployment; with a build id the workers are versioned, unset they are not',
    schema: z
      .string()
      .regex(/^(?!__)[^\s.:]{1,200}$/, 'is not one word of up to 200 characters without dots and colons')
      .optional(),
  },
  TEMPORAL_WORKER_BUILD_ID: {
    group: 'build',
    example: '1.4.0',
    meaning: "this build's id in the Worker Deployment: another one for each build",
    schema: z
      .string()
      .regex(/^(?!__)[^\s:]{1,200}$/, 'is not one word of up to 200 characters without colons')
      .optional(),
  },
  HELD_PATCHES: {
    group: 'build',
    example: 'all',
    meaning:
      '`patched` changes of the workflows, by comma or `all`, that runs do not take yet (docs/upgrades.md)',
    schema: z
      .string()
      .regex(/^[\w-]+( *, *[\w-]+)*$/, 'is not a list of patch ids with commas between, nor all')
      .transform((text) => text.split(',').map((id) => id.trim()))
      .optional(),
  },
  DATABASE_URL: {
    group: 'database',
    secret: true,
    orFile: true,
    example: 'postgres://user:password@host:5432/shop',
    meaning: 'PostgreSQL, where the truth stands; or DATABASE_URL_FILE',
    schema: databaseUrl,
  },
  DATABASE_SCHEMA: {
    group: 'database',
    default: 'public',
    meaning: 'schema of all tables',
    schema: z
      .string()
      .regex(
        /^(?!pg_)[A-Za-z_][A-Za-z0-9_]{0,62}$/,
        'is not a schema name: a letter or _, then up to 62 letters, digits or _; pg_ is reserved',
      ),
  },
  ALIPAY_GATEWAY: {
    group: 'alipay',
    example: 'https://openapi.alipay.com/gateway.do',
    meaning: "Alipay's gateway",
    schema: httpUrl,
  },
  ALIPAY_APP_ID: {
    group: 'alipay',
    example: '2021000000000000',
    meaning: 'application id at Alipay',
    schema: word(32),
  },
  ALIPAY_PRIVATE_KEY: {
    group: 'alipay',
    secret: true,
    orFile: true,
    example: "your application's RSA2 private key",
    meaning: "the application's private key: PEM or bare base64, PKCS1 or PKCS8; or ALIPAY_PRIVATE_KEY_FILE",
    schema: key(parsePrivateKey),
  },
  ALIPAY_PUBLIC_KEY: {
    group: 'alipay',
    secret: true,
    orFile: true,
    example: "Alipay's public key (支付宝公钥) as the open platform shows it",
    meaning: "Alipay's public key: PEM or bare base64; or ALIPAY_PUBLIC_KEY_FILE",
    schema: key(parsePublicKey),
  },
  ALIPAY_SELLER_ID: {
    group: 'alipay',
    example: '2088000000000000',
    meaning: 'account that receives the money; notifications of another one are refused',
    schema: word(28),
  },
  ALIPAY_NOTIFY_URL: {
    group: 'alipay',
    example: 'https://shop.example/alipay/notify',
    meaning: 'public address of POST /alipay/notify',
    schema: httpUrl,
  },
  ALIPAY_RETURN_URL: {
    group: 'alipay',
    example: 'https://shop.example/thanks',
    meaning: 'where the cashier sends the buyer back to',
    schema: httpUrl.optional(),
  },
  ALIPAY_TIMEOUT: {
    group: 'alipay',
    default: '5s',
    meaning: 'hard deadline of one call',
    schema: duration('50ms', '60s'),
  },
  ALIPAY_MAX_RPS: {
    group: 'alipay',
    example: '50',
    meaning: 'calls per second of all workers together; unset: no quota',
    schema: z
      .string()
      .refine((text) => /^\d*\.?\d+$/.test(text) && Number(text) > 0, 'is not a number above 0')
      .transform(Number)
      .optional(),
  },
  PAYMENT_CHECKS: {
    group: 'payments',
    default: '3',
    meaning: 'how many times Alipay is asked after a checkout; 0: only notifications and the sweep',
    schema: wholeNumber(0, 20),
  },
  PAYMENT_CHECK_INTERVAL: {
    group: 'payments',
    default: '1m',
    meaning: 'time from checkout to the first check, and between checks',
    schema: duration('1ms', '24h'),
  },
  ORDER_TTL: {
    group: 'payments',
    default: '24h',
    meaning: 'how long an order may stay unpaid',
    schema: duration('1ms', LONGEST_ORDER),
  },
  CLOSE_MARGIN: {
    group: 'payments',
    default: '60s',
    meaning: 'how long before an order expires Alipay stops taking money for it',
    schema: duration('1ms', '24h'),
  },
  LATE_PAYMENT_POLICY: {
    group: 'payments',
    default: 'refund',
    meaning: 'money that comes too late or twice: `refund` it, or put it up for `review`',
    schema: oneOf(['refund', 'review']),
  },
  SWEEP_CRON: {
    group: 'sweep',
    default: '0/30 * * * * * *',
    meaning: 'when the sweep runs: seven fields (seconds first, year last) or `@every 30s`',
    schema: z.string().superRefine((text, context) => {
      const fault = cronFault(text);
      if (fault) context.addIssue(fault);
    }),
  },
  SWEEP_PARALLEL: {
    group: 'sweep',
    default: '50',
    meaning: 'orders asked about and closed at the same time',
    schema: wholeNumber(1, 1_000),
  },
  HOST: {
    group: 'http',
    default: '127.0.0.1',
    meaning: 'address the HTTP server listens on',
    schema: word(253),
  },
  PORT: { group: 'http', default: '3000', meaning: 'port of the HTTP server; 0: any free one', schema: port },
  API_TOKEN: {
    group: 'http',
    secret: true,
    orFile: true,
    example: A_TOKEN,
    meaning:
      'bearer token of /orders, /checkout and /payments; or API_TOKEN_FILE; required unless HOST is a loopback address',
    schema: token.optional(),
  },
  PAYLOAD_KEYS: {
    group: 'payloads',
    secret: true,
    orFile: true,
    example:
      'id:key, as from: echo "2026-11:$(openssl rand -base64 32)"; older ones behind it, with commas between',
    meaning:
      'encrypts what Temporal stores: `id:base64` of 32 bytes, older keys behind it; or PAYLOAD_KEYS_FILE; unset: in clear',
    schema: key(parsePayloadKeys).optional(),
  },
  CODEC_HOST: {
    group: 'codec',
    default: '127.0.0.1',
    meaning: 'address that `durable-alipay codec` listens on, which decrypts for the Web UI and `temporal`',
    schema: word(253),
  },
  CODEC_PORT: {
    group: 'codec',
    default: '8234',
    meaning: 'its port, beside that of the Web UI; 0: any free one',
    schema: port,
  },
  CODEC_TOKEN: {
    group: 'codec',
    secret: true,
    orFile: true,
    example: A_TOKEN,
    meaning: 'its bearer token; or CODEC_TOKEN_FILE; required unless CODEC_HOST is a loopback address',
    schema: token.optional(),
  },
  CODEC_CORS_ORIGINS: {
    group: 'codec',
    default: 'http://localhost:8233,http://127.0.0.1:8233',
    meaning: 'origins of the Web UIs that may use it, with commas between',
    schema: z.string().transform((text, context) => {
      const origins = text.split(',').map((one) => one.trim());
      const wrong = origins.filter((one) => originOf(one) !== one);
      if (wrong.length > 0)
        context.addIssue(`has what is no origin like https://ui.example: ${wrong.join(' ')}`);
      return origins;
    }),
  },
  LOG_LEVEL: {
    group: 'log',
    default: 'info',
    meaning: LOG_LEVELS.join(', '),
    schema: oneOf(LOG_LEVELS),
  },
  LOG_FORMAT: {
    group: 'log',
    example: 'json or pretty',
    meaning: '`json` or `pretty`; unset: pretty on a terminal, JSON elsewhere',
    schema: oneOf(LOG_FORMATS).optional(),
  },
  METRICS_ADDRESS: {
    group: 'metrics',
    example: '127.0.0.1:9464',
    meaning:
      'IP address:port at which this process, worker or server, serves Prometheus metrics (`/metrics`); unset: none',
    schema: z
      .string()
      .regex(/^[^\s:]+:\d{1,5}$/, { error: 'is not host:port', abort: true })
      .refine((text) => Number(text.split(':')[1]) <= 65_535, 'names a port above 65535')
      .optional(),
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    group: 'tracing',
    example: 'http://localhost:4318',
    meaning:
      'OpenTelemetry collector (OTLP over HTTP) that traces are sent to, at /v1/traces; unset: no traces',
    schema: httpUrl.optional(),
  },
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: {
    group: 'tracing',
    example: 'http://localhost:4318/v1/traces',
    meaning: 'the same for traces alone, used as it stands',
    schema: httpUrl.optional(),
  },
  OTEL_SERVICE_NAME: {
    group: 'tracing',
    example: 'shop-payments',
    meaning: 'name of this process in traces; unset: `durable-alipay-worker`, `durable-alipay-server`',
    schema: word(255).optional(),
  },
  OTEL_TRACES_SAMPLER: {
    group: 'tracing',
    default: 'parentbased_always_on',
    meaning: 'which traces are kept, as OpenTelemetry names it; `parentbased_traceidratio`: some of them',
    schema: oneOf(SAMPLERS),
  },
  OTEL_TRACES_SAMPLER_ARG: {
    group: 'tracing',
    example: '0.1',
    meaning: 'how large a part, 0 to 1, where the sampler takes a ratio; unset: all',
    schema: z
      .string()
      .refine((text) => /^\d*\.?\d+$/.test(text) && Number(text) <= 1, 'is not a number from 0 to 1')
      .optional(),
  },
  SANDBOX_PORT: {
    group: 'laptop',
    default: '4000',
    meaning: 'port of the local Alipay gateway',
    schema: port,
  },
  TEMPORAL_PORT: {
    group: 'laptop',
    default: '7233',
    meaning: 'port of the Temporal server that temporal-dev.sh starts',
    schema: port,
  },
  TEMPORAL_UI_PORT: {
    group: 'laptop',
    default: '8233',
    meaning: 'port of the Temporal Web UI that temporal-dev.sh starts',
    schema: port,
  },
} as const satisfies Record<string, Variable>;

type Name = keyof typeof VARIABLES;
type Values = {
  [N in Name]: (typeof VARIABLES)[N] extends { schema: infer S extends z.ZodType } ? z.output<S> : undefined;
};

/** One variable as a person reads of it. */
export interface EnvironmentVariable {
  name: string;
  group: ConfigGroup | 'temporal';
  default?: string;
  required: boolean;
  secret: boolean;
  /** `NAME_FILE` may name a file that holds the value. */
  orFile: boolean;
  meaning: string;
}

/** All variables, in the order in which a person meets them: the README's table and the CLI's help come from here. */
export const ENVIRONMENT: readonly EnvironmentVariable[] = Object.entries<Variable>(VARIABLES).map(
  ([name, variable]) => ({
    name,
    group: variable.group,
    default: variable.default,
    required: isRequired(variable),
    secret: variable.secret ?? false,
    orFile: variable.orFile ?? false,
    meaning: variable.meaning,
  }),
);

const ASSEMBLE: { [G in ConfigGroup]: (values: Values) => Config[G] } = {
  database: (v) => ({ url: v.DATABASE_URL, schema: v.DATABASE_SCHEMA }),
  alipay: (v) => ({
    gateway: v.ALIPAY_GATEWAY,
    appId: v.ALIPAY_APP_ID,
    privateKey: v.ALIPAY_PRIVATE_KEY.pkcs1,
    privateKeyPkcs8: v.ALIPAY_PRIVATE_KEY.pkcs8,
    publicKey: v.ALIPAY_PUBLIC_KEY,
    sellerId: v.ALIPAY_SELLER_ID,
    notifyUrl: v.ALIPAY_NOTIFY_URL,
    returnUrl: v.ALIPAY_RETURN_URL,
    timeoutMs: v.ALIPAY_TIMEOUT,
    maxRps: v.ALIPAY_MAX_RPS,
  }),
  payments: (v) => ({
    checks: v.PAYMENT_CHECKS,
    intervalMs: v.PAYMENT_CHECK_INTERVAL,
    orderTtlMs: v.ORDER_TTL,
    closeMarginMs: v.CLOSE_MARGIN,
    latePaymentPolicy: v.LATE_PAYMENT_POLICY,
  }),
  sweep: (v) => ({ cron: v.SWEEP_CRON, parallel: v.SWEEP_PARALLEL }),
  http: (v) => ({ host: v.HOST, port: v.PORT, apiToken: v.API_TOKEN }),
  payloads: (v) => ({ keys: v.PAYLOAD_KEYS ?? [] }),
  codec: (v) => ({
    host: v.CODEC_HOST,
    port: v.CODEC_PORT,
    token: v.CODEC_TOKEN,
    corsOrigins: v.CODEC_CORS_ORIGINS,
  }),
  build: (v) => ({
    version:
      v.TEMPORAL_DEPLOYMENT_NAME !== undefined && v.TEMPORAL_WORKER_BUILD_ID !== undefined
        ? { deploymentName: v.TEMPORAL_DEPLOYMENT_NAME, buildId: v.TEMPORAL_WORKER_BUILD_ID }
        : undefined,
    heldPatches: v.HELD_PATCHES ?? [],
  }),
  log: (v) => ({ level: v.LOG_LEVEL, format: v.LOG_FORMAT }),
  metrics: (v) => ({ address: v.METRICS_ADDRESS }),
  // The name and the sampler are read by OpenTelemetry's SDK itself.
  tracing: (v) => ({
    url: v.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? tracesUnder(v.OTEL_EXPORTER_OTLP_ENDPOINT),
  }),
  laptop: (v) => ({
    sandboxPort: v.SANDBOX_PORT,
    temporalPort: v.TEMPORAL_PORT,
    temporalUiPort: v.TEMPORAL_UI_PORT,
  }),
};

/** What no variable can tell alone. Each is asked only where the variables it names are sound. */
const CROSS_CHECKS: readonly { of: readonly Name[]; fault: (values: Values) => string | undefined }[] = [
  {
    of: ['ORDER_TTL', 'CLOSE_MARGIN'],
    fault: ({ ORDER_TTL, CLOSE_MARGIN }) =>
      ORDER_TTL > 2 * CLOSE_MARGIN
        ? undefined
        : `is ${ms(ORDER_TTL)}, not more than twice CLOSE_MARGIN (${ms(CLOSE_MARGIN)}): no checkout could succeed; ` +
          `set a longer ORDER_TTL or a shorter CLOSE_MARGIN`,
  },
  {
    of: ['TEMPORAL_WORKER_BUILD_ID', 'TEMPORAL_DEPLOYMENT_NAME'],
    fault: ({ TEMPORAL_WORKER_BUILD_ID, TEMPORAL_DEPLOYMENT_NAME }) =>
      (TEMPORAL_WORKER_BUILD_ID === undefined) === (TEMPORAL_DEPLOYMENT_NAME === undefined)
        ? undefined
        : 'and TEMPORAL_DEPLOYMENT_NAME are set together or not at all: half a version is none; set both, or neither',
  },
  {
    of: ['API_TOKEN', 'HOST'],
    fault: ({ API_TOKEN, HOST }) =>
      API_TOKEN !== undefined || isLoopback(HOST)
        ? undefined
        : `is not set, but HOST is ${HOST}: anybody could close orders; ` +
          `set ${VARIABLES.API_TOKEN.example}, or HOST=127.0.0.1`,
  },
  {
    of: ['CODEC_TOKEN', 'CODEC_HOST'],
    fault: ({ CODEC_TOKEN, CODEC_HOST }) =>
      CODEC_TOKEN !== undefined || isLoopback(CODEC_HOST)
        ? undefined
        : `is not set, but CODEC_HOST is ${CODEC_HOST}: anybody could decrypt histories; ` +
          `set ${A_TOKEN}, or CODEC_HOST=127.0.0.1`,
  },
  {
    of: ['ALIPAY_PUBLIC_KEY', 'ALIPAY_PRIVATE_KEY'],
    fault: ({ ALIPAY_PUBLIC_KEY, ALIPAY_PRIVATE_KEY }) =>
      ALIPAY_PUBLIC_KEY !== ALIPAY_PRIVATE_KEY.publicKey
        ? undefined
        : `is the public half of ALIPAY_PRIVATE_KEY, your own: no answer of Alipay would verify; ` +
          `set ${VARIABLES.ALIPAY_PUBLIC_KEY.example}`,
  },
];

/**
 * Reads the groups that a process needs; what it does not need may be missing or wrong.
 *
 * @param env usually `process.env`
 * @param options `needs`: by default all groups
 * @throws PaymentError CONFIG_INVALID that lists every fault on a line of its own, and shows no secret
 */
export function readConfig<G extends ConfigGroup = ConfigGroup>(
  env: NodeJS.ProcessEnv = process.env,
  { needs = Object.keys(ASSEMBLE) as G[] }: { needs?: readonly G[] } = {},
): Pick<Config, G> {
  const values: Partial<Record<Name, unknown>> = {};
  const faults: string[] = [];
  for (const [name, variable] of Object.entries<Variable>(VARIABLES)) {
    if (!(needs as readonly string[]).includes(variable.group)) continue;
    const reading = readVariable(env, name, variable);
    if ('fault' in reading) faults.push(`${name} ${reading.fault}`);
    else values[name as Name] = reading.value;
  }
  for (const { of, fault } of CROSS_CHECKS) {
    const found = of.every((name) => name in values) ? fault(values as Values) : undefined;
    if (found) faults.push(`${of[0] ?? ''} ${found}`);
  }
  if (faults.length > 0) {
    throw new PaymentError(
      'CONFIG_INVALID',
      ['the environment needs mending:', ...faults.map((fault) => `  - ${fault}`)].join('\n'),
    );
  }
  return Object.fromEntries(needs.map((group) => [group, ASSEMBLE[group](values as Values)])) as Pick<
    Config,
    G
  >;
}

type Reading = { value: unknown } | { fault: string };

function readVariable(env: NodeJS.ProcessEnv, name: string, variable: Variable): Reading {
  const raw = rawValue(env, name, variable);
  if ('fault' in raw) return raw;
  if (raw.value === undefined && isRequired(variable)) {
    return { fault: `is not set; set ${howToSet(name, variable)}` };
  }
  if (!variable.schema) return raw;
  const parsed = variable.schema.safeParse(raw.value);
  if (parsed.success) return { value: parsed.data };
  const shown = variable.secret || raw.value === undefined ? '' : `(${JSON.stringify(raw.value)}) `;
  const wrong = parsed.error.issues.map((issue) => issue.message).join(', and ');
  return { fault: `${shown}${wrong}; set ${howToSet(name, variable)}` };
}

function rawValue(
  env: NodeJS.ProcessEnv,
  name: string,
  variable: Variable,
): { value: string | undefined } | { fault: string } {
  const direct = env[name]?.trim() || undefined;
  const file = variable.orFile ? env[`${name}_FILE`]?.trim() : undefined;
  if (!file) return { value: direct ?? variable.default };
  if (direct) return { fault: `and ${name}_FILE are both set; keep one of them` };
  try {
    const value = readFileSync(file, 'utf8').trim();
    // A secret that was mounted empty must not count as one that nobody wanted.
    if (value === '') return { fault: `has no value: ${name}_FILE names ${file}, which is empty; fill it` };
    return { value };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    return {
      fault: `has no value: ${name}_FILE names ${file}, which cannot be read (${code}); mend the path or its permission`,
    };
  }
}

function isRequired(variable: Variable): boolean {
  return (
    variable.default === undefined &&
    variable.schema !== undefined &&
    !variable.schema.safeParse(undefined).success
  );
}

function howToSet(name: string, variable: Variable): string {
  if (variable.example === undefined) return `something like ${name}=${JSON.stringify(variable.default)}`;
  return variable.secret ? variable.example : `something like ${name}=${variable.example}`;
}

function wholeNumber(lowest: number, highest: number): z.ZodType<number, string> {
  return z
    .string()
    .refine(
      (text) => /^\d+$/.test(text) && Number(text) >= lowest && Number(text) <= highest,
      `is not a whole number from ${lowest} to ${highest}`,
    )
    .transform(Number);
}

function word(longest: number): z.ZodType<string, string> {
  return z
    .string()
    .regex(new RegExp(`^\\S{1,${longest}}$`), `is not one word of up to ${longest} characters`);
}

function oneOf<const T extends string>(choices: readonly T[]): z.ZodType<T, T> {
  return z.enum(choices, `is none of ${choices.join(', ')}`);
}

function key<T>(parse: (text: string) => T): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      context.addIssue(error.message);
      return z.NEVER;
    }
  });
}

function protocolOf(text: string): string {
  return URL.canParse(text) ? new URL(text).protocol : '';
}

function originOf(text: string): string {
  return /^https?:/.test(text) && URL.canParse(text) ? new URL(text).origin : '';
}

/** As OpenTelemetry forms it: below whatever path the collector has. */
function tracesUnder(endpoint: string | undefined): string | undefined {
  return endpoint === undefined ? undefined : `${endpoint.replace(/\/+$/, '')}/v1/traces`;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Each field's name, and the least and the greatest number in it. */
const CRON_FIELDS = [
  ['second', 0, 59],
  ['minute', 0, 59],
  ['hour', 0, 23],
  ['day of month', 1, 31],
  ['month', 1, 12],
  ['day of week', 0, 7],
  ['year', 2000, 2100],
] as const;

/** What is wrong with a cron expression; the server has the last word when the Schedule is installed. */
function cronFault(text: string): string | undefined {
  if (text.startsWith('@')) {
    const sound = /^@every (\d+(\.\d+)?[smhd])+$/.test(text) && /[1-9]/.test(text);
    return sound ? undefined : 'is not @every and a duration, like @every 30s';
  }
  const fields = text.split(/\s+/);
  if (fields.length === 6) {
    return (
      'has six fields, and the server takes six for minutes first and year last ("0/30 * * * * *" would run every ' +
      `30 minutes): with seconds first and a year it is "${text} *"`
    );
  }
  if (fields.length !== CRON_FIELDS.length) {
    return `has ${fields.length} fields instead of seven (${CRON_FIELDS.map(([name]) => name).join(', ')})`;
  }
  for (const [i, [name, least, greatest]] of CRON_FIELDS.entries()) {
    const field = fields[i] ?? '';
    if (!isCronField(field, least, greatest)) return `has a field that no cron knows, its ${name} (${field})`;
  }
  return undefined;
}

/** `*`, a number, a name like MON, a range of those, each with an optional step; or several with commas between. */
function isCronField(field: string, least: number, greatest: number): boolean {
  return field.split(',').every((part) => {
    const [, range = ''] = /^(\*|\w+(?:-\w+)?)(?:\/[1-9]\d*)?$/.exec(part) ?? [];
    return (
      range === '*' ||
      range
        .split('-')
        .every((value) =>
          /^\d+$/.test(value)
            ? Number(value) >= least && Number(value) <= greatest
            : /^[a-z]{3,9}$/i.test(value),
        )
    );
  });
}
