import { types } from 'node:util';
import { PaymentError } from '../workflows/errors';

const HIDDEN = '[hidden]';

/** Keys, signatures, credentials, and whatever tells who the buyer is, in any spelling. */
const SENSITIVE =
  /^(sign|signature|authorization|cookie|set-cookie|password|.*(private|public)_?key|payload_?keys|.*token|buyer_?.*)$/i;

/** The same inside a form body or a URL. */
const SENSITIVE_PARAMETER = /\b(sign|buyer_\w+|\w*token)=[^&\s"']+/gi;

/**
 * The password of a connection string. The length of the scheme is limited, because strangers choose what is logged (a
 * path, before any token is checked): without the limit, 64 KB of `a.a.a.…` would take seconds.
 */
const URL_PASSWORD = /([a-z][a-z0-9+.-]{0,20}:\/\/[^\s:/@"]*):[^\s/@"]+@/gi;

/**
 * A copy without what must not appear in a log or on an operator's screen; an error becomes a {@link LoggedError}.
 * Instances of other classes are left alone: they have their own serializers, and some (a socket, a request) have no
 * end.
 */
export function redact<T>(value: T): T {
  return hide(value) as T;
}

function hide(value: unknown): unknown {
  if (typeof value === 'string') {
    return value.replace(SENSITIVE_PARAMETER, `$1=${HIDDEN}`).replace(URL_PASSWORD, `$1:${HIDDEN}@`);
  }
  if (Array.isArray(value)) return value.map(hide);
  if (isError(value)) return logged(value);
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

/**
 * What a log shows of an error. Everything else that libraries attach to one (Postgres' detail and where, a statement
 * and its values, a gRPC failure, a body) may contain a buyer's data.
 */
interface LoggedError {
  type: string;
  code?: string | number;
  message: string;
  stack: string;
  cause?: LoggedError;
  /** Of an AggregateError. */
  errors?: LoggedError[];
}

const LONGEST_MESSAGE = 1_000;
const MOST_FRAMES = 30;
const DEEPEST_CAUSE = 5;
const MOST_ERRORS = 5;

const isError = (value: unknown): value is Error => types.isNativeError(value) || value instanceof Error;

function logged(error: Error, depth = 0): LoggedError {
  const { cause, errors, code } = error as Error & { code?: unknown; errors?: unknown };
  const type = error.constructor.name || error.name;
  const message = messageOf(error);
  const deeper = (inner: Error): LoggedError => logged(inner, depth + 1);
  const goOn = depth < DEEPEST_CAUSE;
  return {
    type,
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    message,
    stack: [`${type}: ${message}`, ...framesOf(error)].join('\n'),
    ...(goOn && isError(cause) && { cause: deeper(cause) }),
    ...(goOn &&
      Array.isArray(errors) && { errors: errors.filter(isError).slice(0, MOST_ERRORS).map(deeper) }),
  };
}

/** An error's message as anybody may read it: shortened, without secrets, and without a statement and its values. */
export function messageOf(error: Error): string {
  const message = redact(withoutStatement(error));
  return message.length > LONGEST_MESSAGE ? `${message.slice(0, LONGEST_MESSAGE)}…` : message;
}

/** Why a process exits, for a person at a terminal: JSON would fold a list of missing settings into one line. */
export function inWords(error: unknown): string {
  if (error instanceof PaymentError) return `${error.code}: ${error.message}`;
  if (!isError(error)) return redact(String(error));
  // If a host has several addresses and all are unreachable, Node reports an AggregateError without a message.
  const { message, errors = [] } = error as Error & { errors?: unknown[] };
  return message === '' && errors.length > 0 ? errors.map(inWords).join(', ') : messageOf(error);
}

/** How statements begin in the message of an error that is not from Postgres itself: a lost connection, for example. */
const STATEMENT =
  /^\s*(?:--|(?:with|select|insert|update|delete|lock|set|begin|commit|rollback|alter|create|drop)\b)/i;

/** knex puts the statement with all its values, and ` - `, before the message of any error in it. */
function withoutStatement(error: Error & { severity?: unknown }): string {
  const { message, severity } = error;
  if (typeof severity !== 'string' && !STATEMENT.test(message)) return message;
  return message.split(' - ').at(-1) ?? '';
}

function framesOf({ stack = '' }: Error): string[] {
  const lines = stack.split('\n');
  const first = lines.findLastIndex((line) => !line.startsWith('    at ')) + 1;
  return lines.slice(first, first + MOST_FRAMES);
}
