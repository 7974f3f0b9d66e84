import { types } from 'node:util';
import { DatabaseError } from 'pg';
import type { ErrorCode } from '../workflows/errors';
import { PaymentError } from '../workflows/errors';

/** What may be wrong between this process and its tables, each in plain words and with what to do. */
const FAULTS = {
  credentials: [
    'Postgres refuses the user or its password',
    'Set the right user and password in DATABASE_URL.',
  ],
  access: [
    'Postgres does not let this user in from this host',
    'Add a line for it to pg_hba.conf, or set the right user and database in DATABASE_URL.',
  ],
  database: ['There is no such database', 'Create it, or set the right name in DATABASE_URL.'],
  refused: [
    'Nothing listens where DATABASE_URL points',
    'Start Postgres, or set the right host and port in DATABASE_URL.',
  ],
  host: ['The host in DATABASE_URL cannot be resolved', 'Set the right host in DATABASE_URL, or fix DNS.'],
  silent: [
    'Nothing answers where DATABASE_URL points',
    'Set the right host and port in DATABASE_URL, or open the firewall in between.',
  ],
  tls: [
    'The TLS connection to Postgres fails',
    'Set sslmode in DATABASE_URL to what the server offers, and check its certificate.',
  ],
  parameter: [
    'A pooler refuses a parameter of DATABASE_URL',
    'Remove what follows the ? in DATABASE_URL, except sslmode.',
  ],
  names: [
    'A pooler gives each transaction another connection and keeps no prepared statements',
    'Set DATABASE_POOLER=transaction.',
  ],
  connections: [
    'Postgres, or a pooler in front of it, accepts no more connections',
    'End idle ones, raise the limit, or put a pooler in front.',
  ],
  pool: [
    'All connections of this process were busy for too long',
    'Trying again is safe. If it keeps happening, look for locks and slow statements in pg_stat_activity.',
  ],
  unmigrated: [
    'The schema lacks tables or columns',
    'Run: durable-alipay migrate. Or set the right DATABASE_SCHEMA.',
  ],
  rights: ['The user lacks a permission', 'Run: durable-alipay doctor. It says what to grant.'],
  standby: ['This Postgres is read-only', 'Set the host of the primary in DATABASE_URL.'],
  late: [
    'Postgres did not finish a statement in time',
    'Trying again is safe. If it keeps happening, look for locks and slow statements in pg_stat_activity.',
  ],
  conflict: ['Postgres ended a transaction that blocked another', 'Trying again is safe.'],
  resources: ['Postgres is out of memory or disk space', 'Give it more.'],
  lost: ['The connection to Postgres was lost', 'Trying again is safe.'],
  statement: [
    'Postgres refuses a statement',
    'This is a bug, or somebody changed a row or the schema by hand.',
  ],
} as const;

interface DatabaseFault {
  kind: keyof typeof FAULTS;
  /** SQLSTATE, or the system's name for it; empty if the driver gives none. */
  code: string;
  /** What happened, without a full stop. No name, address or secret. */
  what: string;
  /** What to do: whole sentences. */
  todo: string;
}

/** What a database error means; undefined if it is not one. */
export function databaseFault(error: unknown): DatabaseFault | undefined {
  if (!types.isNativeError(error)) return undefined;
  // Several addresses of one host, none of which can be reached.
  if (error.name === 'AggregateError') return databaseFault((error as AggregateError).errors[0]);
  // Why no connection could be made, if that is known (see openDatabase).
  if (error.name === 'KnexTimeoutError') return databaseFault(causeOf(causeOf(error))) ?? faultOf('pool', '');
  const { code = '', syscall } = error as { code?: unknown; syscall?: unknown };
  // A missing file is not a fault of the database.
  if (typeof code !== 'string' || (code === 'ENOENT' && syscall !== 'connect')) return undefined;
  const known = SIGNS.find(([, sign]) => sign.test(`${code}: ${error.message}`));
  if (known) return faultOf(known[0], code);
  return error instanceof DatabaseError ? faultOf('statement', code) : undefined;
}

/** The same as a PaymentError: DATABASE_UNAVAILABLE, or INTERNAL if a statement is to blame. */
export function databaseError(error: unknown): PaymentError | undefined {
  const fault = databaseFault(error);
  return fault && new PaymentError(codeOf(fault), inWords(fault), { cause: error });
}

const codeOf = ({ kind }: DatabaseFault): ErrorCode =>
  kind === 'statement' ? 'INTERNAL' : 'DATABASE_UNAVAILABLE';

const inWords = ({ what, code, todo }: DatabaseFault): string =>
  `${what}${code === '' ? '' : ` (${code})`}. ${todo}`;

const causeOf = (error: unknown): unknown => (types.isNativeError(error) ? error.cause : undefined);

function faultOf(kind: DatabaseFault['kind'], code: string): DatabaseFault {
  const [what, todo] = FAULTS[kind];
  return { kind, code, what, todo };
}

/**
 * Patterns for `code: message`; the first that matches counts. PgBouncer reports every error as 08P01, a protocol
 * violation, and the driver itself gives no code at all.
 */
const SIGNS: ReadonlyArray<[kind: DatabaseFault['kind'], sign: RegExp]> = [
  ['parameter', /^08P01: .*startup parameter/s],
  ['database', /^(3D000|08P01: .*(no such database|database .* does not exist))/s],
  ['tls', /^(28000: .*(no encryption|SSL off)|08P01: .*SSL required)/s],
  ['access', /^28000: .*pg_hba/s],
  ['credentials', /^(28|08P01: .*(password|no such user|auth)|: SASL)/s],
  ['connections', /^(53300|08P01: .*(no more connections|query_wait_timeout))/s],
  ['unmigrated', /^(3F000|42P01|42703):/],
  ['rights', /^42501:/],
  ['names', /^(42P05|26000):/],
  ['standby', /^25006:/],
  ['late', /^(57014|55P03|25P03|25P04):|^: (.* - )?Query read timeout$/s],
  ['conflict', /^(40001|40P01):/],
  ['resources', /^53\w{3}:/],
  ['refused', /^(ECONNREFUSED|ENOENT):/],
  ['host', /^(ENOTFOUND|EAI_AGAIN):/],
  ['silent', /^(ETIMEDOUT|EHOSTUNREACH|ENETUNREACH):|^: timeout expired$/],
  [
    'tls',
    /^(\w*CERT\w*|UNABLE_TO_VERIFY\w*|ERR_(TLS|SSL)\w*|EPROTO):|^: (The server does not support|There was an error establishing an) SSL/,
  ],
  [
    'lost',
    /^(08\w{3}|57\w{3}|ECONNRESET|ECONNABORTED|EPIPE):|^: (.* - )?(Connection terminated|Client (has encountered a connection error|was closed))/s,
  ],
];
