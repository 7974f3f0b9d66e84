import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openDatabase, row, rows, transaction } from '../../db/connect';
import type { Database } from '../../db/connect';
import { databaseFault } from '../../db/faults';
import { migrateUp } from '../../db/migrator';
import { query } from '../../dev/postgres';
import { freshDatabase, waitFor } from '../support';
import { describeWithPooler, startPooler } from '../support/pooler';
import { stop } from '../support/processes';
import type { Seen } from './checkouts';

const ROOT = join(__dirname, '..', '..');
const EACH = 150;

/** Two share a schema; the third has the same order ids in another schema, with other amounts. */
const SHOPS = [
  { DATABASE_SCHEMA: 'shop_1', SHOP: 'a', CENTS: '11' },
  { DATABASE_SCHEMA: 'shop_1', SHOP: 'b', CENTS: '22' },
  { DATABASE_SCHEMA: 'shop_2', SHOP: 'a', CENTS: '33' },
];

/** A database with two shops' schemas, migrated over the direct address. */
async function twoSchemas(): Promise<string> {
  const url = await freshDatabase({ empty: true });
  for (const schema of ['shop_1', 'shop_2']) {
    const db = openDatabase({ url, schema, queryTimeoutMs: 0 });
    await migrateUp(db, schema).finally(() => db.destroy());
  }
  return url;
}

/** Runs the three shops' processes at once; returns what each of them saw. */
async function sell(env: Record<string, string>): Promise<Seen[]> {
  const processes = SHOPS.map((shop) => {
    const { PATH, HOME } = process.env;
    const child = spawn(process.execPath, ['--import', 'tsx', join(__dirname, 'checkouts.ts')], {
      cwd: ROOT,
      env: { PATH, HOME, CHECKOUTS: String(EACH), ...shop, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    return { child, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator]() };
  });
  try {
    for (const { lines } of processes) expect((await lines.next()).value).toBe('ready');
    for (const { child } of processes) child.stdin.write('go\n');
    return await Promise.all(
      processes.map(async ({ lines }) => JSON.parse(String((await lines.next()).value)) as Seen),
    );
  } finally {
    await Promise.all(processes.map(({ child }) => stop(child as ChildProcess)));
  }
}

const ALL_PAID = SHOPS.map(() => ({ paid: EACH, strange: [], errors: [] }));

/** What both schemas contain at the end, shop by shop. */
const ledger = (url: string) =>
  query(
    url,
    `SELECT schema, shop, cents, CAST(count(*) AS integer) AS paid FROM (
       SELECT 'shop_1' AS schema, o.* FROM shop_1.orders o UNION ALL SELECT 'shop_2', o.* FROM shop_2.orders o) AS orders,
       LATERAL (SELECT split_part(id, '-', 1) AS shop, split_part(CAST(total_amount AS text), '.', 2) AS cents) AS named
     WHERE status = 'PAID' GROUP BY 1, 2, 3 ORDER BY 3`,
  );

const LEDGER = SHOPS.map((shop) => ({
  schema: shop.DATABASE_SCHEMA,
  shop: shop.SHOP,
  cents: shop.CENTS,
  paid: EACH,
}));

describe('three processes with two schemas in one database', () => {
  it('take 450 of 450 payments with statements prepared by name', async () => {
    const url = await twoSchemas();
    expect(await sell({ DATABASE_URL: url })).toEqual(ALL_PAID);
    expect(await ledger(url)).toEqual(LEDGER);
  });
});

describeWithPooler('behind PgBouncer in transaction mode', () => {
  let url: string;
  let pooled: string;
  beforeAll(async () => {
    url = await twoSchemas();
    pooled = await startPooler(url);
  });

  const opened: Database[] = [];
  afterAll(() => Promise.all(opened.map((db) => db.destroy())));
  function open(options: Partial<Parameters<typeof openDatabase>[0]> = {}): Database {
    const db = openDatabase({ url: pooled, schema: 'shop_1', maxConnections: 1, ...options });
    opened.push(db);
    return db;
  }

  it('three processes take 450 of 450 payments with DATABASE_POOLER=transaction, each of them in its own schema', async () => {
    expect(await sell({ DATABASE_URL: pooled, DATABASE_POOLER: 'transaction' })).toEqual(ALL_PAID);
    expect(await ledger(url)).toEqual(LEDGER);
  });

  it('every transaction is at READ COMMITTED with its time-outs, and leaves nothing to the next client', async () => {
    const one = await startPooler(url, { connections: 1 });
    const shop = open({ url: one, pooler: 'transaction' });
    const other = open({ url: one, pooler: 'transaction' });
    const settings = (db: Database) =>
      row<object>(
        db,
        `SELECT pg_backend_pid() AS pid, current_setting('transaction_isolation') AS isolation,
           current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement,
           current_setting('idle_in_transaction_session_timeout') AS idle`,
      );
    const inside = await transaction(shop, settings);
    expect(inside).toMatchObject({ isolation: 'read committed', lock: '5s', statement: '10s', idle: '15s' });
    expect(await settings(other)).toEqual({ ...inside, lock: '0', statement: '0', idle: '0' });
  });

  it('a statement by name never runs as another one, and its error says what to set', async () => {
    const one = await startPooler(url, { connections: 1 });
    const [shop, other] = [open({ url: one }), open({ url: one, schema: 'shop_2' })];
    expect(await row(shop, `SELECT 'shop' AS mine`)).toEqual({ mine: 'shop' });
    expect(await row(other, `SELECT 'other' AS mine`)).toEqual({ mine: 'other' });
    const again = open({ url: one });
    const error: unknown = await row(again, `SELECT 'shop' AS mine`).catch((caught: unknown) => caught);
    expect(databaseFault(error)).toMatchObject({ kind: 'names', todo: 'Set DATABASE_POOLER=transaction.' });
  });

  it('a statement that nobody waits for any more is cancelled', async () => {
    const db = open({ pooler: 'transaction', queryTimeoutMs: 2_000 });
    const late: unknown = await rows(db, 'SELECT pg_sleep(600) AS late').catch((caught: unknown) => caught);
    expect(databaseFault(late)).toMatchObject({ kind: 'late' });
    await waitFor(
      async () =>
        (await query(url, `SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%AS late'`))
          .length === 0,
      { what: 'the statement to end' },
    );
    expect(await row(db, 'SELECT 1 AS up')).toEqual({ up: 1 });
  });

  it('a parameter in DATABASE_URL is refused, with what to do', async () => {
    const db = open({ url: `${pooled}?options=${encodeURIComponent('-c lock_timeout=5s')}` });
    const error: unknown = await row(db, 'SELECT 1 AS up').catch((caught: unknown) => caught);
    expect(databaseFault(error)).toMatchObject({ kind: 'parameter', code: '08P01' });
  });
});
