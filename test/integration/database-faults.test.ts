import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { diagnose } from '../../client/doctor';
import { buildHttpServer } from '../../client/http';
import { PaymentClient } from '../../client/payment-client';
import type { Database } from '../../db/connect';
import { openDatabase, row, rows, transaction } from '../../db/connect';
import { databaseFault } from '../../db/faults';
import { migrateUp } from '../../db/migrator';
import { query } from '../../dev/postgres';
import type { Shop } from '../support';
import { freshDatabase, openShop, startProcess, waitFor } from '../support';
import { describeWithPooler, startPooler } from '../support/pooler';
import { durableAlipay, environmentOf } from './operator';

const ROOT = join(__dirname, '..', '..');
const PASSWORD = 'hunter2';

let shop: Shop;
let env: Record<string, string>;
let url: string;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  env = environmentOf(shop);
  url = env['DATABASE_URL'] ?? '';
});
afterAll(() => shop.close());

const changed = (change: Partial<URL>): string => Object.assign(new URL(url), change).href;

/** The causes that an operator meets, and how each is reported everywhere. */
const CAUSES: [kind: string, url: () => string | Promise<string>, told: RegExp][] = [
  [
    'a wrong password',
    () => changed({ password: PASSWORD }),
    /refuses the user or its password.*Set the right user and password in DATABASE_URL/,
  ],
  [
    'a database that does not exist',
    () => changed({ pathname: 'nowhere' }),
    /no such database.*Create it, or set the right name/,
  ],
  ['a port where nothing listens', () => changed({ port: '9' }), /Nothing listens where.*Start Postgres/],
  [
    'a host without an address',
    () => changed({ hostname: 'postgres.invalid' }),
    /host in DATABASE_URL cannot be resolved/,
  ],
  [
    'TLS that the server does not speak',
    () => `${url}?sslmode=verify-full`,
    /TLS connection to Postgres fails.*Set sslmode/,
  ],
  [
    'a schema without tables',
    () => freshDatabase({ empty: true }),
    /lacks tables or columns.*Run: durable-alipay migrate/,
  ],
];

describe.each(CAUSES)('%s', (cause, wrong, told) => {
  let broken: Record<string, string>;
  let payments: PaymentClient;
  beforeAll(async () => {
    broken = { ...env, DATABASE_URL: await wrong() };
    payments = await PaymentClient.connect(broken, { log: pino({ level: 'silent' }) });
  });
  afterAll(() => payments.close());

  it('is what a checkout fails with', async () => {
    const checkout = payments.checkout({ orderId: 'A1', subject: 'tea', totalAmount: '12.30' });
    const error: unknown = await checkout.catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: 'DATABASE_UNAVAILABLE', status: 503 });
    expect((error as Error).message).toMatch(told);
    expect((error as Error).message).not.toMatch(PASSWORD);
  });

  it('is what the doctor finds', async () => {
    const findings = await diagnose(broken, { deadlineMs: 60_000 });
    const fault = findings.find(
      ({ check, verdict }) => /^(database|schema)$/.test(check) && verdict === 'fault',
    );
    expect(fault).toBeDefined();
    if (cause !== 'a schema without tables') expect(`${fault?.says} ${fault?.advice}`).toMatch(told);
    expect(JSON.stringify(findings)).not.toMatch(PASSWORD);
  });

  it('is what health tells', async () => {
    expect(await payments.health()).toEqual({
      database: false,
      temporal: true,
      reason: expect.stringMatching(told) as unknown,
    });
  });
});

describe('a wrong password', () => {
  const [, wrong, told] = CAUSES[0] as (typeof CAUSES)[number];
  const broken = async () => ({ ...env, DATABASE_URL: await wrong() });

  it('is what the command line prints', async () => {
    const { code, out, err } = await durableAlipay(await broken(), 'payment', 'list');
    expect({ code, out }).toEqual({ code: 5, out: '' });
    expect(err).toMatch(/^DATABASE_UNAVAILABLE: /);
    expect(err).toMatch(told);
    expect(err).not.toMatch(PASSWORD);
  });

  it('is what the worker logs while it waits', async () => {
    const worker = startProcess('worker/main.ts', await broken());
    try {
      await waitFor(() => worker.output().includes('not reachable yet'), {
        what: 'the worker to miss its database',
        timeoutMs: 45_000,
      });
    } finally {
      worker.kill();
    }
    expect(worker.output()).toMatch(told);
    expect(worker.output()).not.toMatch(PASSWORD);
  });

  it('is what a migration prints', async () => {
    const migrate = ['run', '--silent', 'migrate'];
    const printed = await new Promise<string>((resolve) => {
      void broken().then((bad) =>
        execFile('npm', migrate, { cwd: ROOT, env: { ...process.env, ...bad } }, (_error, _out, err) =>
          resolve(err),
        ),
      );
    });
    expect(printed).toMatch(told);
    expect(printed).not.toMatch(PASSWORD);
  });

  it('is what /healthz answers', async () => {
    const payments = await PaymentClient.connect(await broken(), { log: pino({ level: 'silent' }) });
    const http = buildHttpServer({
      payments,
      config: { host: '127.0.0.1', port: 0 },
      log: pino({ level: 'silent' }),
    });
    const answer = await http.inject('/healthz');
    expect([answer.statusCode, answer.json()]).toMatchObject([503, { code: 'DATABASE_UNAVAILABLE' }]);
    expect(answer.json<{ message: string }>().message).toMatch(told);
    await http.close();
    await payments.close();
  });
});

describeWithPooler('a pooler that gives each transaction another connection', () => {
  it('is what the doctor finds, unless statements go without names', async () => {
    const DATABASE_URL = await startPooler(url, { connections: 1 });
    const findings = await diagnose({ ...env, DATABASE_URL }, { deadlineMs: 60_000 });
    expect(findings.find(({ check }) => check === 'database')).toMatchObject({
      verdict: 'fault',
      says: expect.stringMatching(/^A pooler gives each transaction another connection.*42P05/) as unknown,
      advice: 'Set DATABASE_POOLER=transaction.',
    });
    const without = { ...env, DATABASE_URL, DATABASE_POOLER: 'transaction' };
    const examined = Object.fromEntries(
      (await diagnose(without, { deadlineMs: 60_000 })).map(({ check, verdict }) => [check, verdict]),
    );
    expect(examined).toMatchObject({
      database: 'ok',
      isolation: 'ok',
      schema: 'ok',
      rights: 'ok',
      migrations: 'ok',
    });
  });
});

describe('a pool', () => {
  const opened: Database[] = [];
  afterAll(() => Promise.all(opened.map((db) => db.destroy())));
  function open(options: Partial<Parameters<typeof openDatabase>[0]>): Database {
    const db = openDatabase({ url, ...options });
    opened.push(db);
    return db;
  }
  const faultOf = async (work: Promise<unknown>) =>
    databaseFault(
      await work.then(
        () => undefined,
        (error: unknown) => error,
      ),
    )?.kind;

  it('whose connections are all busy says so', async () => {
    const db = open({ maxConnections: 1 });
    await transaction(db, async () => {
      expect(await faultOf(row(db, 'SELECT 1 AS up'))).toBe('pool');
    });
  });

  it('that can make no connection tells everybody who waits why, however many', async () => {
    const db = open({ url: changed({ password: PASSWORD }), maxConnections: 2 });
    const waiting = Array.from({ length: 10 }, () => faultOf(row(db, 'SELECT 1 AS up')));
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['credentials']));
  });

  it('gives nobody a connection whose statement came too late, and cancels that statement', async () => {
    const db = open({ maxConnections: 1, queryTimeoutMs: 2_000 });
    await transaction(shop.db, async (trx) => {
      await rows(trx, 'LOCK TABLE :schema:.orders IN ACCESS EXCLUSIVE MODE');
      expect(await faultOf(rows(db, 'DELETE FROM :schema:.orders'))).toBe('late');
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DELETE%' AND state = 'active'`;
      await waitFor(async () => (await query(url, waiting)).length === 0, { what: 'the statement to end' });
      expect(await row(db, 'SELECT 1 AS up')).toEqual({ up: 1 });
    });
  });

  it('ends a transaction that waits for a lock, at the server', async () => {
    const db = open({ maxConnections: 1 });
    await transaction(shop.db, async (trx) => {
      await rows(trx, 'LOCK TABLE :schema:.orders IN ACCESS EXCLUSIVE MODE');
      const late = transaction(db, (other) => rows(other, 'SELECT FROM :schema:.orders'));
      await expect(late).rejects.toMatchObject({ code: '55P03' });
    });
    expect(await row(db, 'SELECT 1 AS up')).toEqual({ up: 1 });
  });

  it('leaves the data of a statement out of its error', async () => {
    const db = open({});
    const document = `{"buyer_id": "2088102146225135", "subject": "\\u0000"}`;
    const refused: unknown = await rows(db, 'SELECT CAST(:document AS jsonb)', { document }).catch(
      (error: unknown) => error,
    );
    expect(databaseFault(refused)).toMatchObject({ kind: 'statement', code: '22P05' });
    expect(JSON.stringify([refused, (refused as Error).message, (refused as Error).stack])).not.toMatch(
      /2088/,
    );
  });
});

describe('a migration', () => {
  it('builds an index for as long as that takes, whatever the time-outs of its role', async () => {
    const fresh = await freshDatabase({ empty: true });
    const role = `hasty_${process.pid}`;
    await query(fresh, `CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD 'hasty'`);
    await query(fresh, `ALTER ROLE ${role} SET statement_timeout = '1s'`);
    await query(
      fresh,
      `CREATE FUNCTION build_slowly() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
         IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%.payments_slow_checks')
         THEN PERFORM pg_sleep(1.5); END IF;
       END $$`,
    );
    await query(
      fresh,
      `CREATE EVENT TRIGGER build_slowly ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION build_slowly()`,
    );
    const hasty = Object.assign(new URL(fresh), { username: role, password: 'hasty' }).href;
    const db = openDatabase({ url: hasty, queryTimeoutMs: 0 });
    const begun = Date.now();
    await migrateUp(db).finally(() => db.destroy());
    expect(Date.now() - begun).toBeGreaterThan(1_500);
  });
});
