import { readFileSync } from 'node:fs';
import ms from 'ms';
import type { z } from 'zod';
import { PaymentError } from '../../workflows/errors';
import { parsePrivateKey } from '../keys';
import { messagesOf } from './kinds';
import type { Variable } from './variables';
import { VARIABLES } from './variables';

type Table = typeof VARIABLES;

type Name = keyof Table;

/** What each variable holds, once it is read. */
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

/** What the environment says, validated. Durations are milliseconds. */
// eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type -- it judges the type before G is known
export type Config = { [G in ConfigGroup]: z.output<z.ZodObject<KindsOf<G>>> };

const TABLE = Object.entries<Variable>(VARIABLES);

/** One variable as a person reads of it. */
export interface EnvironmentVariable {
  name: string;
  group: Variable['group'];
  default?: string;
  required: boolean;
  secret: boolean;
  /** `NAME_FILE` may name a file that holds the value. */
  orFile: boolean;
  meaning: string;
}

/** All variables, in the order in which a person meets them: for the README's table and the CLI's help. */
export const ENVIRONMENT: readonly EnvironmentVariable[] = TABLE.map(([name, variable]) => ({
  name,
  group: variable.group,
  default: variable.default,
  required: isRequired(variable),
  secret: variable.secret ?? false,
  orFile: variable.orFile ?? false,
  meaning: variable.meaning,
}));

/** What no variable can tell alone. Each is asked only where the variables that it names are sound. */
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
          `set ${VARIABLES.CODEC_TOKEN.example}, or CODEC_HOST=127.0.0.1`,
  },
  {
    of: ['ALIPAY_PUBLIC_KEY', 'ALIPAY_PRIVATE_KEY'],
    fault: ({ ALIPAY_PUBLIC_KEY, ALIPAY_PRIVATE_KEY }) =>
      ALIPAY_PUBLIC_KEY !== parsePrivateKey(ALIPAY_PRIVATE_KEY).publicKey
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
  { needs }: { needs?: readonly G[] } = {},
): Pick<Config, G> {
  const wanted = TABLE.filter(([, { group }]) =>
    needs === undefined ? group !== 'temporal' : (needs as readonly string[]).includes(group),
  );
  const values: Partial<Record<string, unknown>> = {};
  const faults: string[] = [];
  for (const [name, variable] of wanted) {
    const reading = readVariable(env, name, variable);
    if ('fault' in reading) faults.push(`${name} ${reading.fault}`);
    else values[name] = reading.value;
  }
  for (const { of, fault } of CROSS_CHECKS) {
    const found = of.every((name) => name in values) ? fault(values as Values) : undefined;
    if (found) faults.push(`${of[0] ?? ''} ${found}`);
  }
  if (faults.length > 0) {
    throw new PaymentError(
      'CONFIG_INVALID',
      ['the environment has faults:', ...faults.map((fault) => `  - ${fault}`)].join('\n'),
    );
  }
  const config: Record<string, Record<string, unknown>> = {};
  for (const [name, { group, field }] of wanted) {
    const fields = (config[group] ??= {});
    if (field !== undefined) fields[field] = values[name];
  }
  return config as Pick<Config, G>;
}

type Reading<T> = { value: T } | { fault: string };

function readVariable(env: NodeJS.ProcessEnv, name: string, variable: Variable): Reading<unknown> {
  const raw = rawValue(env, name, variable);
  if ('fault' in raw) return raw;
  if (raw.value === undefined && isRequired(variable)) {
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
  { blankIsValue, orFile, default: preset }: Variable,
): Reading<string | undefined> {
  const direct = blankIsValue ? env[name]?.trim() : env[name]?.trim() || undefined;
  const file = orFile ? env[`${name}_FILE`]?.trim() : undefined;
  if (!file) return { value: direct ?? preset };
  if (direct) return { fault: `and ${name}_FILE are both set; keep one of them` };
  try {
    const value = readFileSync(file, 'utf8').trim();
    // A secret that was mounted empty must not count as one that nobody wanted.
    if (value === '') return { fault: `has no value: ${name}_FILE names ${file}, which is empty; fill it` };
    return { value };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable';
    return {
      fault: `has no value: ${name}_FILE names ${file}, which cannot be read (${code}); fix the path or its permission`,
    };
  }
}

function isRequired({ kind, default: preset }: Variable): boolean {
  return preset === undefined && kind !== undefined && !kind.safeParse(undefined).success;
}

function howToSet(name: string, variable: Variable): string {
  if (variable.example === undefined) return `something like ${name}=${JSON.stringify(variable.default)}`;
  return variable.secret ? variable.example : `something like ${name}=${variable.example}`;
}

const MOST_SHOWN = 200;

const shortened = (value: string): string =>
  JSON.stringify(value.length > MOST_SHOWN ? `${value.slice(0, MOST_SHOWN)}…` : value);

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
