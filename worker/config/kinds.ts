import { readFileSync } from 'node:fs';
import ms from 'ms';
import { z } from 'zod';
import { toFen } from '../../db/money';
import { KeyFault } from '../keys';

// What a variable may contain. Each message completes a sentence that begins with the variable's name. `text` limits
// the length before any pattern runs on a value, and so also the time that a pattern takes.

/** The longest text of each kind, in characters. */
const NUMBER = 20;
const DURATION = 32;
const HOST_NAME = 253;
const URL_TEXT = 2_048;
const KEY_TEXT = 16_384;
const PATHS = 4_096;

const DECIMAL = /^\d*\.?\d+$/;

/** Any text of at most `longest` characters. */
export function text(longest: number): z.ZodString {
  return z.string().max(longest, { error: `has more than ${longest} characters`, abort: true });
}

/** One word, without white space. */
export function word(longest: number): z.ZodType<string, string> {
  return text(longest).regex(/^\S+$/, `is not one word of up to ${longest} characters`);
}

/** Words separated by commas. */
export const words = (longest: number): z.ZodType<string[], string> =>
  word(20 * (longest + 1)).transform((value) => value.split(',').filter((one) => one !== ''));

export function oneOf<const T extends string>(choices: readonly T[]): z.ZodType<T, T> {
  return z.enum(
    choices,
    choices.length === 1 ? `is not ${choices.join()}` : `is none of ${choices.join(', ')}`,
  );
}

export function wholeNumber(lowest: number, highest: number): z.ZodType<number, string> {
  return text(NUMBER)
    .refine(
      (value) => /^\d+$/.test(value) && Number(value) >= lowest && Number(value) <= highest,
      `is not a whole number from ${lowest} to ${highest}`,
    )
    .transform(Number);
}

/** A number above 0, like `0.5`. */
export const positiveNumber = text(NUMBER)
  .refine((value) => DECIMAL.test(value) && Number(value) > 0, 'is not a number above 0')
  .transform(Number);

/** Yuan like `10000` or `99.50`, as fen; `none`: null. */
export const yuanOrNone = text(NUMBER)
  .regex(
    /^(none|\d{1,9}(\.\d{1,2})?)$/,
    'is not yuan with at most two decimals, like 10000 or 99.50, nor `none`',
  )
  .transform((value) => (value === 'none' ? null : toFen(value)));

/** A part of a whole, like `0.1`. */
export const ratio = text(NUMBER).refine(
  (value) => DECIMAL.test(value) && Number(value) <= 1,
  'is not a number from 0 to 1',
);

/**
 * A duration with its unit, like `30m` or `1.5 h`, as whole milliseconds.
 *
 * @param shortest the shortest that is allowed, a duration too
 * @param longest the longest that is allowed, a duration too
 */
export function duration(shortest: ms.StringValue, longest: ms.StringValue): z.ZodType<number, string> {
  return text(DURATION).transform((value, context) => {
    // ms() reads a bare number as milliseconds and a sign as a direction: in a setting both are mistakes.
    const read = /^\d*\.?\d+ *[a-z]+$/i.test(value) ? ms(value as ms.StringValue) : undefined;
    if (read === undefined || Number.isNaN(read)) {
      context.addIssue('is not a duration with its unit, like 500ms, 30s, 15m, 24h');
      return z.NEVER;
    }
    if (read < ms(shortest) || read > ms(longest)) {
      context.addIssue(`is not between ${shortest} and ${longest}`);
      return z.NEVER;
    }
    return Math.round(read);
  });
}

/** Durations separated by commas, in ascending order, as whole milliseconds. `none`: no duration. */
export function ascendingDurations(longest: ms.StringValue, most: number): z.ZodType<number[], string> {
  const one = duration('1ms', longest);
  return text(most * (DURATION + 2)).transform((value, context) => {
    if (value === 'none') return [];
    const parts = value.split(',').map((part) => part.trim());
    if (parts.length > most) context.addIssue(`has ${parts.length} durations, more than ${most}`);
    const read = parts.map((part) => ({ part, ...one.safeParse(part) }));
    for (const { part, error } of read)
      if (error) context.addIssue(`has ${JSON.stringify(part)}, which ${messagesOf(error)}`);
    const durations = read.flatMap(({ data }) => data ?? []);
    if (durations.some((each, index) => each <= (durations[index - 1] ?? 0)))
      context.addIssue('is not in ascending order');
    return durations;
  });
}

export const port = wholeNumber(0, 65_535);

export const httpUrl = text(URL_TEXT).refine((value) => ['http:', 'https:'].includes(protocolOf(value)), {
  error: 'is not an http:// or https:// URL',
  abort: true,
});

/** A URL that is passed on to Alipay, in every request or in the buyer's: Alipay takes no longer one. */
export const urlForAlipay = httpUrl.refine(
  (value) => value.length <= 256,
  'has more than 256 characters, which Alipay refuses',
);

export const databaseUrl = text(URL_TEXT).refine(
  (value) => ['postgres:', 'postgresql:'].includes(protocolOf(value)),
  'is not a postgres:// URL (in its password / is written %2F, # %23, ? %3F, @ %40)',
);

/** A URL to which results are posted. */
export const webhookUrl = httpUrl.refine(
  (value) => new URL(value).username === '' && new URL(value).password === '',
  'holds a user or password, which is not sent; leave it out: posts are signed',
);

/** Secrets of the Standard Webhooks convention, one or two. */
export const webhookSecrets = text(KEY_TEXT).transform((value, context) => {
  const secrets = value.split(',').map((part) => part.trim());
  if (secrets.length > 2) context.addIssue('has more than two secrets');
  for (const secret of secrets) {
    const [, base64 = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? [];
    const { length } = Buffer.from(base64, 'base64');
    if (length < 24 || length > 64)
      context.addIssue(
        'is not whsec_ and base64 of 24 to 64 random bytes, or two of them, separated by a comma',
      );
  }
  return secrets;
});

/** Origins like `https://ui.example`, separated by commas. */
export const origins = text(URL_TEXT).transform((value, context) => {
  const all = value.split(',').map((one) => one.trim());
  const wrong = all.filter((one) => !isOrigin(one));
  if (wrong.length > 0)
    context.addIssue(`has something that is not an origin like https://ui.example: ${wrong.join(' ')}`);
  return all;
});

/** `host:port`. */
export const address = text(HOST_NAME)
  .regex(/^[^\s:]+:\d{1,5}$/, { error: 'is not host:port', abort: true })
  .refine((value) => Number(value.split(':')[1]) <= 65_535, 'names a port above 65535');

export const host = word(HOST_NAME);

/** A bearer token. */
export const token = text(1_024).regex(
  /^[\x21-\x7e]{16,}$/,
  'is shorter than 16 characters, or has characters outside printable ASCII',
);

/** What `parse` reads. It throws a KeyFault whose message says what is wrong and does not show the key. */
export function key<T>(parse: (value: string) => T, longest = KEY_TEXT): z.ZodType<T, string> {
  return text(longest).transform((value, context) => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      context.addIssue(error.message);
      return z.NEVER;
    }
  });
}

/** What `parse` reads from the file that the variable names. It throws a KeyFault. */
export function file<T>(parse: (bytes: Buffer) => T): z.ZodType<T, string> {
  return files(parse)
    .refine((all) => all.length === 1, 'names more than one file')
    .transform((all) => all[0] as T);
}

/** {@link file} for one or more files, separated by commas. */
export function files<T>(parse: (bytes: Buffer) => T): z.ZodType<T[], string> {
  return key((value) => {
    const paths = value.split(',').map((path) => path.trim());
    return paths.map((path) => {
      try {
        return parse(readFileSync(path));
      } catch (error) {
        const which = paths.length === 1 ? '' : `names ${path}, which `;
        throw new KeyFault(`${which}${faultOf(error)}`, { cause: error });
      }
    });
  }, PATHS);
}

/** @throws any error that is neither a KeyFault nor a system error */
function faultOf(error: unknown): string {
  if (error instanceof KeyFault) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  return `cannot be read (${code}); fix the path or its permission`;
}

/** A cron expression for Temporal; when a Schedule is installed, the server refuses a wrong one. */
export const cron = text(1_024).superRefine((value, context) => {
  // The server accepts six fields, but reads them as minutes first and year last.
  if (value.split(/\s+/).length !== 6) return;
  context.addIssue(
    'has six fields, which the server reads as minutes first and year last ("0/30 * * * * *" would run every ' +
      `30 minutes): with seconds first and a year it is "${value} *"`,
  );
});

/** Everything that is wrong with a value, in words. */
export function messagesOf(error: z.ZodError): string {
  return error.issues.map(({ message }) => message).join(', and ');
}

const protocolOf = (value: string): string => (URL.canParse(value) ? new URL(value).protocol : '');

const isOrigin = (value: string): boolean =>
  ['http:', 'https:'].includes(protocolOf(value)) && new URL(value).origin === value;
