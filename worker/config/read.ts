import { readFileSync } from 'node:fs';
import ms from 'ms';
import type { z } from 'zod';
import { PaymentError } from '../../workflows/errors';
import { hasKey, isValidNow } from '../certificates';
import { parsePrivateKey } from '../keys';
import { messagesOf } from './kinds';
import type { MerchantEntries } from './merchants';
import { OWN_NAME, clashesOf } from './merchants';
import { networkOf } from './networks';
import type { Variable } from './variables';
import { CERTIFICATES, VARIABLES } from './variables';

type Table = typeof VARIABLES;

type Name = keyof Table;

/** The value of each variable once it is read. */
type Values = { [N in Name]: Table[N] extends { kind: infer K extends z.ZodType } ? z.output<K> : undefined };

/** A part of the configuration; a process reads the parts that it needs. */
export type ConfigGroup = Exclude<Table[Name]['group'], 'temporal'>;

type KindsOf<G extends ConfigGroup> = {
  [N in Name as Table[N] extends { group: G; field: infer F extends string } ? F : never]: Table[N] extends {
    kind: infer K extends z.ZodType;
  }
    ? K
    : never;
};

// eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type -- it judges the type before G is known
type Groups = { [G in ConfigGroup]: z.output<z.ZodObject<KindsOf<G>>> };

/** A merchant at Alipay as configured in this process. */
export type MerchantConfig = Groups['alipay'] & { name: string };

/** The validated environment. Durations are milliseconds. */
export type Config = Omit<Groups, 'merchants'> & {
  /** The environment's own, then those of `MERCHANTS_FILE`. */
  merchants: readonly [own: MerchantConfig, ...MerchantConfig[]];
};

const TABLE = Object.entries<Variable>(VARIABLES);

/** One variable, as the documentation lists it. */
export type EnvironmentVariable = Variable & { name: string; required: boolean };

/** All variables, in the order in which people meet them, for docs/settings.md and the CLI's help. */
export const ENVIRONMENT: readonly EnvironmentVariable[] = TABLE.map(([name, variable]) => ({
  ...variable,
  name,
  required: isRequired(variable),
}));

/** Checks across variables. Each runs only if the variables in `of` are valid. */
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
    of: ['ORDER_SERVICE_URL', 'ORDER_SERVICE_SECRET'],
    fault: ({ ORDER_SERVICE_URL, ORDER_SERVICE_SECRET }) =>
      (ORDER_SERVICE_URL === undefined) === (ORDER_SERVICE_SECRET.length === 0)
        ? undefined
        : 'and ORDER_SERVICE_SECRET are set together or not at all: an order service must know who posts; set both, or neither',
  },
  {
    of: ['ORDER_SERVICE_URL', 'ORDER_SERVICE_PRIVATE', 'ALIPAY_NOTIFY_URL'],
    fault: ({ ORDER_SERVICE_URL, ORDER_SERVICE_PRIVATE, ALIPAY_NOTIFY_URL }) =>
      ORDER_SERVICE_URL === undefined ||
      ORDER_SERVICE_PRIVATE === 'allow' ||
      networkOf(ORDER_SERVICE_URL) !== 'private' ||
      networkOf(ALIPAY_NOTIFY_URL) !== 'public'
        ? undefined
        : 'is in a private network, but ALIPAY_NOTIFY_URL is public; correct it, or set ' +
          'ORDER_SERVICE_PRIVATE=allow if the order service is in-house',
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
    // A proxy or tunnel passes Alipay's notifications to a server on loopback, and no header tells them from what a
    // program on this machine sends.
    of: ['API_TOKEN', 'HOST', 'ALIPAY_NOTIFY_URL'],
    fault: ({ API_TOKEN, HOST, ALIPAY_NOTIFY_URL, MERCHANTS_FILE }) => {
      const ofOthers = Object.values(MERCHANTS_FILE ?? {}).map((entry) => entry['ALIPAY_NOTIFY_URL'] ?? '');
      const urls = [ALIPAY_NOTIFY_URL, ...ofOthers.filter((url) => URL.canParse(url))];
      return API_TOKEN !== undefined ||
        !isLoopback(HOST) ||
        urls.every((url) => networkOf(url) === 'loopback')
        ? undefined
        : 'is not set, but ALIPAY_NOTIFY_URL is not on this machine: anybody who can reach that address ' +
            `could refund and close orders; set ${VARIABLES.API_TOKEN.example}`;
    },
  },
  {
    of: ['CODEC_TOKEN', 'CODEC_HOST'],
    fault: ({ CODEC_TOKEN, CODEC_HOST }) =>
      CODEC_TOKEN !== undefined || isLoopback(CODEC_HOST)
        ? undefined
        : `is not set, but CODEC_HOST is ${CODEC_HOST}: anybody could decrypt histories; ` +
          `set ${VARIABLES.CODEC_TOKEN.example}, or CODEC_HOST=127.0.0.1`,
  },
  {
    of: ['ALIPAY_PUBLIC_KEY', 'ALIPAY_PRIVATE_KEY'],
    fault: ({ ALIPAY_PUBLIC_KEY, ALIPAY_PRIVATE_KEY }) =>
      ALIPAY_PUBLIC_KEY !== parsePrivateKey(ALIPAY_PRIVATE_KEY).publicKey
        ? undefined
        : `is the public half of ALIPAY_PRIVATE_KEY, your own key: no response from Alipay would verify; ` +
          `set ${VARIABLES.ALIPAY_PUBLIC_KEY.example}`,
  },
  {
    of: ['ALIPAY_PUBLIC_KEY', ...CERTIFICATES],
    fault: ({ ALIPAY_PUBLIC_KEY, ...values }) =>
      ALIPAY_PUBLIC_KEY === undefined || CERTIFICATES.every((name) => values[name] === undefined)
        ? undefined
        : 'is set together with certificates, but an application has one mode: keep the certificates if the open platform ' +
          'shows it in certificate mode (公钥证书), otherwise the key',
  },
  {
    of: CERTIFICATES,
    fault: (values) => {
      const missing = CERTIFICATES.filter((name) => values[name] === undefined);
      return missing.length === 0 || missing.length === CERTIFICATES.length
        ? undefined
        : `goes with ALIPAY_ROOT_CERT_FILE and ALIPAY_PUBLIC_CERT_FILE: also set ${missing.join(' and ')}`;
    },
  },
  {
    of: ['ALIPAY_APP_CERT_FILE', 'ALIPAY_PRIVATE_KEY'],
    fault: ({ ALIPAY_APP_CERT_FILE: certificate, ALIPAY_PRIVATE_KEY }) =>
      certificate === undefined || hasKey(certificate, parsePrivateKey(ALIPAY_PRIVATE_KEY).publicKey)
        ? undefined
        : 'is not the certificate of ALIPAY_PRIVATE_KEY: set the key whose request (CSR) it was issued for, or the ' +
          'certificate of this application (appCertPublicKey_<APPID>.crt)',
  },
  {
    of: ['ALIPAY_PUBLIC_CERT_FILE', 'ALIPAY_PRIVATE_KEY'],
    fault: ({ ALIPAY_PUBLIC_CERT_FILE: certificates = [], ALIPAY_PRIVATE_KEY }) =>
      certificates.some((one) => hasKey(one, parsePrivateKey(ALIPAY_PRIVATE_KEY).publicKey))
        ? "has the application's own certificate, with which no response from Alipay would verify; set " +
          "Alipay's (alipayCertPublicKey_RSA2.crt)"
        : undefined,
  },
  {
    of: ['ALIPAY_PUBLIC_CERT_FILE'],
    fault: ({ ALIPAY_PUBLIC_CERT_FILE: certificates }) =>
      certificates?.some((one) => isValidNow(one)) === false
        ? 'has no certificate that is valid now: download the new one at the open platform, or set this machine’s clock'
        : undefined,
  },
];

/** For those who have no settings, and those who forgot to load them in this shell. */
const WHERE_SETTINGS_ARE =
  'see docs/settings.md; beside temporal-dev.sh, run: set -a; . .temporal/env; set +a';

/**
 * Reads the groups that a process needs; groups that it does not need may be missing or wrong.
 *
 * @param env usually `process.env`
 * @param options `needs`: all groups by default
 * @throws PaymentError CONFIG_INVALID that lists every fault on its own line, and shows no secret
 */
export function readConfig<G extends ConfigGroup = ConfigGroup>(
  env: NodeJS.ProcessEnv = process.env,
  { needs }: { needs?: readonly G[] } = {},
): Pick<Config, G> {
  const isWanted = (group: string): boolean =>
    needs === undefined ? group !== 'temporal' : (needs as readonly string[]).includes(group);
  const isForMerchants = isWanted('merchants');
  const wanted = TABLE.filter(([, { group }]) => isWanted(group) || (isForMerchants && group === 'alipay'));
  const { values, faults } = readValues(env, wanted);
  const entries = (values['MERCHANTS_FILE'] ?? {}) as MerchantEntries;
  const others = Object.entries(entries).map(([name, entry]) => readMerchant(env, name, entry));
  faults.push(...others.flatMap((other) => other.faults));
  const config = grouped(values, wanted);
  if (isForMerchants && faults.length === 0) {
    const merchants = [{ name: OWN_NAME, ...config['alipay'] }, ...others.map(({ merchant }) => merchant)];
    faults.push(...clashesOf(merchants as MerchantConfig[]).map((clash) => `MERCHANTS_FILE ${clash}`));
    Object.assign(config, { merchants });
  }
  if (faults.length > 0) {
    throw new PaymentError(
      'CONFIG_INVALID',
      [`some settings are wrong (${WHERE_SETTINGS_ARE}):`, ...faults.map((fault) => `  - ${fault}`)].join(
        '\n',
      ),
    );
  }
  return config as Pick<Config, G>;
}

type Row = readonly [name: string, variable: Variable];

function readValues(
  env: NodeJS.ProcessEnv,
  rows: readonly Row[],
): { values: Partial<Record<string, unknown>>; faults: string[] } {
  const values: Partial<Record<string, unknown>> = {};
  const faults: string[] = [];
  for (const [name, variable] of rows) {
    const reading = readVariable(env, name, variable);
    if ('fault' in reading) faults.push(`${name} ${reading.fault}`);
    else values[name] = reading.value;
  }
  for (const { of, fault } of CROSS_CHECKS) {
    const found = of.every((name) => name in values) ? fault(values as Values) : undefined;
    if (found) faults.push(`${of[0] ?? ''} ${found}`);
  }
  return { values, faults };
}

function grouped(
  values: Partial<Record<string, unknown>>,
  rows: readonly Row[],
): Record<string, Record<string, unknown>> {
  const groups: Record<string, Record<string, unknown>> = {};
  for (const [name, { group, field }] of rows) {
    const fields = (groups[group] ??= {});
    if (field !== undefined) fields[field] = values[name];
  }
  return groups;
}

/** What merchants of one shop share unless an entry overrides it. */
const SHARED: readonly Name[] = [
  'ALIPAY_GATEWAY',
  'ALIPAY_NOTIFY_URL',
  'ALIPAY_RETURN_URL',
  'ALIPAY_TIMEOUT',
  'ALIPAY_MAX_RPS',
];

/** One entry of `MERCHANTS_FILE`, read like the environment. */
function readMerchant(
  env: NodeJS.ProcessEnv,
  name: string,
  entry: Record<string, string>,
): { merchant: object; faults: string[] } {
  const rows = TABLE.filter(([, { group }]) => group === 'alipay');
  const unknown = Object.keys(entry).filter(
    (key) => !rows.some(([known, { orFile }]) => key === known || (orFile && key === `${known}_FILE`)),
  );
  const inClear = rows.filter(([known, { secret }]) => secret && entry[known] !== undefined);
  const shared = Object.fromEntries(SHARED.map((key) => [key, env[key]]));
  const { values, faults } = readValues({ ...shared, ...entry }, rows);
  return {
    merchant: { name, ...grouped(values, rows)['alipay'] },
    faults: [
      ...unknown.map((key) => `${JSON.stringify(key.slice(0, 40))} is not a merchant setting`),
      ...inClear.map(([key]) => `${key} is a secret: name its file, ${key}_FILE`),
      ...faults,
    ].map((fault) => `MERCHANTS_FILE, merchant ${name}: ${fault}`),
  };
}

type Reading<T> = { value: T } | { fault: string };

function readVariable(env: NodeJS.ProcessEnv, name: string, variable: Variable): Reading<unknown> {
  const raw = rawValue(env, name, variable);
  if ('fault' in raw) return raw;
  const isWanted = isRequired(variable) && !variable.unless?.some((other) => env[other]?.trim());
  if (raw.value === undefined && isWanted) {
    return { fault: `is not set; set ${howToSet(name, variable)}` };
  }
  if (!variable.kind) return raw;
  const parsed = variable.kind.safeParse(raw.value);
  if (parsed.success) return { value: parsed.data };
  const shown = variable.secret || raw.value === undefined ? '' : `(${shortened(raw.value)}) `;
  return { fault: `${shown}${messagesOf(parsed.error)}; set ${howToSet(name, variable)}` };
}

function rawValue(
  env: NodeJS.ProcessEnv,
  name: string,
  { orFile, default: preset }: Variable,
): Reading<string | undefined> {
  const direct = env[name]?.trim() || undefined;
  const file = orFile ? env[`${name}_FILE`]?.trim() : undefined;
  if (!file) return { value: direct ?? preset };
  if (direct) return { fault: `and ${name}_FILE are both set; keep one of them` };
  try {
    const value = readFileSync(file, 'utf8').trim();
    // A secret that was mounted empty must not count as one that was left out on purpose.
    if (value === '') return { fault: `has no value: ${name}_FILE names ${file}, which is empty; fill it` };
    return { value };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    return {
      fault: `has no value: ${name}_FILE names ${file}, which cannot be read (${code}); fix the path or its permission`,
    };
  }
}

function isRequired({ kind, default: preset, unless }: Variable): boolean {
  if (unless !== undefined) return true;
  return preset === undefined && kind !== undefined && !kind.safeParse(undefined).success;
}

function howToSet(name: string, variable: Variable): string {
  if (variable.example === undefined) return `something like ${name}=${JSON.stringify(variable.default)}`;
  return variable.secret ? variable.example : `something like ${name}=${variable.example}`;
}

const MOST_SHOWN = 200;

/** Shortened, and without the user and password of a URL. */
function shortened(text: string): string {
  const value = text.slice(0, 2_048).replace(/\/\/.*@/, '//…@');
  return JSON.stringify(value.length > MOST_SHOWN ? `${value.slice(0, MOST_SHOWN)}…` : value);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
