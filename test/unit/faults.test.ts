import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { DatabaseError } from 'pg';
import { toFailure } from '../../activities/failures';
import { explain } from '../../client/dependencies';
import { nameCauseOfTimeouts } from '../../db/connection';
import { databaseError, databaseFault } from '../../db/faults';

/** As Postgres or a pooler sends it. */
const told = (code: string, message = 'the words of the server'): Error =>
  Object.assign(new DatabaseError(message, 0, 'error'), { code });
/** As Node creates it. */
const system = (code: string, syscall = 'connect'): Error =>
  Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
/** As knex creates it if no connection becomes free. */
const waitedInVain = (cause?: Error): Error =>
  Object.assign(
    new Error('Knex: Timeout acquiring a connection.', { cause: new Error('timed out', { cause }) }),
    {
      name: 'KnexTimeoutError',
    },
  );

const SQL = 'SELECT "a"\nFROM b';

describe('what is wrong with the database', () => {
  it.each<[kind: string, error: Error]>([
    ['credentials', told('28P01', 'password authentication failed for user "shop"')],
    ['credentials', told('28000', 'role "shop" does not exist')],
    ['credentials', told('08P01', 'password authentication failed')],
    ['credentials', told('08P01', 'empty password returned by client')],
    ['credentials', told('08P01', 'no such user: shop')],
    ['credentials', new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string')],
    [
      'access',
      told('28000', 'no pg_hba.conf entry for host "10.0.0.1", user "shop", database "shop", SSL encryption'),
    ],
    [
      'tls',
      told('28000', 'no pg_hba.conf entry for host "10.0.0.1", user "shop", database "shop", no encryption'),
    ],
    ['tls', new Error('The server does not support SSL connections')],
    ['tls', system('DEPTH_ZERO_SELF_SIGNED_CERT')],
    ['tls', system('UNABLE_TO_VERIFY_LEAF_SIGNATURE')],
    ['tls', system('ERR_TLS_CERT_ALTNAME_INVALID')],
    ['database', told('3D000', 'database "nowhere" does not exist')],
    ['database', told('08P01', 'database "nowhere" does not exist')],
    ['database', told('08P01', 'no such database: nowhere')],
    ['refused', system('ECONNREFUSED')],
    ['refused', system('ENOENT')],
    ['refused', new AggregateError([system('ECONNREFUSED'), system('ECONNREFUSED')])],
    ['host', system('ENOTFOUND', 'getaddrinfo')],
    ['host', system('EAI_AGAIN', 'getaddrinfo')],
    ['silent', system('ETIMEDOUT')],
    ['silent', system('EHOSTUNREACH')],
    ['silent', new Error('timeout expired')],
    ['parameter', told('08P01', 'unsupported startup parameter: statement_timeout')],
    ['parameter', told('08P01', 'unsupported startup parameter in options: lock_timeout')],
    ['names', told('42P05', 'prepared statement "durable-alipay-1" already exists')],
    ['names', told('26000', 'prepared statement "durable-alipay-1" does not exist')],
    ['connections', told('53300', 'sorry, too many clients already')],
    ['connections', told('08P01', 'no more connections allowed (max_client_conn)')],
    ['connections', told('08P01', 'query_wait_timeout')],
    ['pool', waitedInVain()],
    ['pool', Object.assign(new Error('Knex: Timeout'), { name: 'KnexTimeoutError' })],
    ['credentials', waitedInVain(told('28P01'))],
    ['silent', waitedInVain(new Error('timeout expired'))],
    ['unmigrated', told('42P01', `${SQL} - relation "b" does not exist`)],
    ['unmigrated', told('42703')],
    ['unmigrated', told('3F000')],
    ['rights', told('42501', 'permission denied for table orders')],
    ['standby', told('25006', 'cannot execute INSERT in a read-only transaction')],
    ['late', told('57014', 'canceling statement due to statement timeout')],
    ['late', told('55P03', 'canceling statement due to lock timeout')],
    ['late', new Error(`${SQL} - Query read timeout`)],
    ['conflict', told('40P01', 'deadlock detected')],
    ['conflict', told('40001')],
    ['resources', told('53100', 'could not extend file')],
    ['lost', told('57P01', 'terminating connection due to administrator command')],
    ['lost', told('57P03', 'the database system is starting up')],
    ['lost', told('08P01', 'server_login_retry')],
    ['lost', system('ECONNRESET', 'read')],
    ['lost', system('EPIPE', 'write')],
    ['lost', new Error(`${SQL} - Connection terminated unexpectedly`)],
    ['lost', new Error('Client has encountered a connection error and is not queryable')],
    ['statement', told('23505', 'duplicate key value violates unique constraint "payments_pkey"')],
    ['statement', told('22P05', 'unsupported Unicode escape sequence')],
    ['statement', told('42601')],
  ])('is %s for %s', (kind, error) => {
    expect(databaseFault(error)).toMatchObject({ kind });
  });

  it.each([
    ['another error', new Error('no such order')],
    ['a missing file', system('ENOENT', 'open')],
    ["gRPC's codes", Object.assign(new Error('14 UNAVAILABLE'), { code: 14 })],
    ['no error at all', 'timeout expired'],
  ])('is nothing for %s', (_what, error) => {
    expect(databaseFault(error)).toBeUndefined();
  });

  it('is told to callers and in histories alike: the cause in words, its code, what to do', () => {
    const error = told('28P01', 'password authentication failed for user "shop"');
    const message =
      'Postgres refuses the user or its password (28P01). Set the right user and password in DATABASE_URL.';
    const code = 'DATABASE_UNAVAILABLE';
    expect(databaseError(error)).toMatchObject({ code, message, cause: error });
    expect(explain(error)).toMatchObject({ code, message, cause: error });
    expect(toFailure(error)).toMatchObject({ type: code, message, nonRetryable: false });
  });

  it('is INTERNAL where a statement is to blame, without its text or its data', () => {
    const error = told('22P02', 'INSERT INTO evidence - invalid input syntax for type json: "buyer_id"');
    const message =
      'Postgres refuses a statement (22P02). This is a bug, or somebody changed a row or the schema by hand.';
    expect(explain(error)).toMatchObject({ code: 'INTERNAL', message });
    expect(toFailure(error)).toMatchObject({ type: 'INTERNAL', message });
  });
});

describe('whoever waits for a connection in vain', () => {
  const refused = system('ECONNREFUSED');
  const waited = (pool: EventEmitter, error: Error): Error => {
    pool.emit('acquireFail', 1, error);
    return error;
  };

  it('is told why none could be made, until one is', () => {
    const pool = new EventEmitter();
    nameCauseOfTimeouts(pool);
    expect(waited(pool, new Error('timed out')).cause).toBeUndefined();
    pool.emit('createFail', 1, refused);
    expect(waited(pool, new Error('timed out')).cause).toBe(refused);
    pool.emit('createSuccess');
    expect(waited(pool, new Error('timed out')).cause).toBeUndefined();
  });

  it('is told nothing where that is the error itself, or has a cause of its own', () => {
    const pool = new EventEmitter();
    nameCauseOfTimeouts(pool);
    pool.emit('createFail', 1, refused);
    expect(waited(pool, refused).cause).toBeUndefined();
    const own = new Error('timed out', { cause: SQL });
    expect(waited(pool, own).cause).toBe(SQL);
  });
});
