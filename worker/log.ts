import pino from 'pino';
import type { DestinationStream, Logger } from 'pino';
import pretty from 'pino-pretty';
import { readConfig } from './config';

export type { Logger } from 'pino';

const HIDDEN = '[hidden]';

/** Keys, signatures, credentials, and whatever tells who the buyer is, in anybody's spelling. */
const SENSITIVE =
  /^(sign|signature|authorization|cookie|set-cookie|password|.*(private|public)_?key|payload_?keys|(api|codec)_?token|buyer_?.*)$/i;

/** The same inside a form body or a URL. */
const SENSITIVE_PARAMETER = /\b(sign|buyer_\w+)=[^&\s"']+/gi;

/**
 * The password of a connection string. The scheme's length is bounded, because strangers choose what is logged (a path,
 * before any token is asked for): without a bound, 64 KB of `a.a.a.…` would take seconds.
 */
const URL_PASSWORD = /([a-z][a-z0-9+.-]{0,20}:\/\/[^\s:/@"]*):[^\s/@"]+@/gi;

/**
 * A copy without what nobody may read in a log or on an operator's screen. Instances of classes are left alone:
 * they have a serializer of their own, and some (a socket, a request) have no end.
 */
export function redact<T>(value: T): T {
  return hide(value) as T;
}

function hide(value: unknown): unknown {
  if (typeof value === 'string') {
    return value.replace(SENSITIVE_PARAMETER, `$1=${HIDDEN}`).replace(URL_PASSWORD, `$1:${HIDDEN}@`);
  }
  if (Array.isArray(value)) return value.map(hide);
  if (!isPlain(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      SENSITIVE.test(key) && inner != null ? HIDDEN : hide(inner),
    ]),
  );
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** An error as pino shows it (type, message, stack, causes, own properties), without secrets. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return redact(error);
  // pino's object has a prototype with a hidden reference to the error itself; the copy has neither.
  return redact({ ...pino.stdSerializers.err(error) });
}

export interface LoggerOptions {
  /** Which process speaks. */
  name?: string;
  env?: NodeJS.ProcessEnv;
  /** Where lines go. Default: standard output. */
  destination?: DestinationStream & { isTTY?: boolean };
}

/**
 * A logger by LOG_LEVEL and LOG_FORMAT: JSON lines, or readable ones on a terminal. Nothing sensitive leaves it.
 *
 * @throws PaymentError CONFIG_INVALID where one of the two variables is wrong
 */
export function createLogger({
  name,
  env = process.env,
  destination = process.stdout,
}: LoggerOptions = {}): Logger {
  const { log } = readConfig(env, { needs: ['log'] });
  const readable = (log.format ?? (destination.isTTY ? 'pretty' : 'json')) === 'pretty';
  return pino(
    {
      name,
      level: log.level,
      formatters: { log: redact },
      serializers: { err: serializeError, error: serializeError },
      // The whole line once more: messages and bound fields go past the formatter.
      hooks: { streamWrite: redact },
    },
    readable
      ? pretty({ destination, colorize: destination.isTTY ?? false, ignore: 'pid,hostname', sync: true })
      : destination,
  );
}
