import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Database } from '../../db/connect';
import { openDatabase, rows } from '../../db/connect';
import { MIGRATIONS } from '../../db/migrations';
import {
  assertIndexesWhole,
  assertMigrated,
  migrateDown,
  migrateUp,
  pendingMigrations,
} from '../../db/migrator';
import { freshDatabase } from '../support';

const SCHEMA = 'shop_1';

/** Listed by name, since a migration that has run anywhere is never renamed. */
const ALL = [
  '20261124_create_ledger',
  '20261124_resolve_unmatched',
  '20261129_know_money',
  '20261129_keep_evidence',
  '20261129_add_due_times',
  '20261129_name_merchants',
  '20261129_remember_temporal_stores',
  '20261129_prune_unmatched',
  '20261129_tell_by_webhook',
  '20261129_tell_refunds',
  '20261129_add_products',
  '20261129_reconcile_bills',
  '20261129_refund_if_paid_later',
  '20261129_record_refunds',
  '20261129_index_movement',
  '20261129_end_unknown_refunds',
  '20261129_audit_books',
  '20261129_supersede_payments',
  '20261129_tell_in_process',
  '20261129_note_other_sellers',
  '20261129_keep_pauses',
  '20261129_time_results',
  '20261130_index_due_work_by_merchant',
  '20261130_look_after_runs_of_settled_payments',
  '20261130_pause_telling',
  '20261130_index_paid_by',
];

let url: string;
let db: Database;

beforeAll(async () => {
  url = await freshDatabase({ empty: true });
  db = openDatabase({ url: within(url), schema: SCHEMA });
});
afterAll(() => db.destroy());

/** So that the test's own statements can omit the schema. */
const within = (database: string): string =>
  `${database}?options=${encodeURIComponent(`-c search_path=${SCHEMA}`)}`;

const tablesOf = async (schema: string): Promise<string[]> =>
  (
    await rows<{ name: string }>(
      db,
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = :schema ORDER BY 1`,
      { schema },
    )
  ).map(({ name }) => name);

interface Part {
  kind: string;
  name: string;
  detail: string;
}

/** Everything a schema contains, from Postgres' own catalogue. */
const shape = (of: Database = db) =>
  rows<Part>(
    of,
    `SELECT 'column' AS kind, table_name || '.' || column_name AS name,
       concat_ws(' ', data_type, numeric_precision, numeric_scale, is_nullable, column_default, identity_generation) AS detail
     FROM information_schema.columns WHERE table_schema = :schema
     UNION ALL
     SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
     FROM pg_constraint WHERE connamespace = CAST(:schema AS regnamespace)
     UNION ALL
     SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = :schema
     UNION ALL
     SELECT 'trigger', tgname, pg_get_triggerdef(t.oid)
     FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
     WHERE c.relnamespace = CAST(:schema AS regnamespace) AND NOT tgisinternal
     ORDER BY 1, 2, 3`,
    { schema: SCHEMA },
  );

describe('migrations in a schema of their own', () => {
  it('go up, down to nothing, and up to the same again', async () => {
    expect(await pendingMigrations(db, SCHEMA)).toEqual(ALL);
    expect(await migrateUp(db, SCHEMA)).toEqual(ALL);
    const first = await shape();
    expect(first.length).toBeGreaterThan(50);
    expect(await tablesOf(SCHEMA)).toEqual(
      expect.arrayContaining([
        'orders',
        'payments',
        'order_messages',
        'order_log',
        'payment_events',
        'unmatched_notifications',
      ]),
    );

    expect(await migrateDown(db, SCHEMA)).toEqual(ALL.toReversed());
    expect(
      (await tablesOf(SCHEMA)).filter((table) => !table.startsWith('durable_alipay_migrations')),
    ).toEqual([]);
    expect(
      await rows(db, `SELECT proname FROM pg_proc WHERE pronamespace = CAST(:schema AS regnamespace)`, {
        schema: SCHEMA,
      }),
    ).toEqual([]);

    await migrateUp(db, SCHEMA);
    expect(await shape()).toEqual(first);
  });

  it("leave every other schema alone, knex's own tables included", async () => {
    expect(await tablesOf('public')).toEqual([]);
    expect(await tablesOf(SCHEMA)).toEqual(
      expect.arrayContaining(['durable_alipay_migrations', 'durable_alipay_migrations_lock']),
    );
  });

  it('let an older worker, which lacks the newest one, start and run on', async () => {
    await rows(
      db,
      `INSERT INTO durable_alipay_migrations (name, batch, migration_time) VALUES ('29990101_from_the_future', 99, now())`,
    );
    expect(await pendingMigrations(db, SCHEMA)).toEqual([]);
    await assertMigrated(db);
    await migrateUp(db, SCHEMA);
    await rows(db, `DELETE FROM durable_alipay_migrations WHERE batch = 99`);
  });

  it('have nothing to do the second time, and nothing is pending', async () => {
    expect(await migrateUp(db, SCHEMA)).toEqual([]);
    expect(await pendingMigrations(db, SCHEMA)).toEqual([]);
  });

  it.each([
    [1, /^The schema lacks migration 20261130_index_paid_by\. Run: durable-alipay migrate/],
    [2, /^The schema lacks 2 migrations, from 20261130_pause_telling on\. Run: durable-alipay migrate/],
  ])('of which %i are pending keep a server from being ready', async (count, told) => {
    const undone = await rows(
      db,
      `DELETE FROM durable_alipay_migrations WHERE name = ANY(:names) RETURNING id, name, batch, migration_time`,
      { names: ALL.slice(-count) },
    );
    await expect(assertMigrated(db)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(told) as unknown,
    });
    await db('durable_alipay_migrations').insert(undone);
    await assertMigrated(db);
  });

  it('stay applied when a later one fails', async () => {
    const [before = '', last = ''] = ALL.slice(-2);
    await rows(db, `DELETE FROM durable_alipay_migrations WHERE name IN (:before, :last)`, { before, last });
    await rows(db, `ALTER TABLE order_messages DROP COLUMN not_before`);
    await rows(db, `ALTER TABLE orders RENAME TO orders_elsewhere`);
    await expect(migrateUp(db, SCHEMA)).rejects.toThrow('relation "orders" does not exist');
    expect(await pendingMigrations(db, SCHEMA)).toEqual([last]);
    await rows(db, `ALTER TABLE orders_elsewhere RENAME TO orders`);
    expect(await migrateUp(db, SCHEMA)).toEqual([last]);
  });

  it('are followed by a complaint about an index that was created by hand and is invalid, which says what to do', async () => {
    const mark = (isValid: boolean) =>
      rows(db, `UPDATE pg_index SET indisvalid = :isValid WHERE indexrelid = 'payments_newest'::regclass`, {
        isValid,
      });
    await mark(false);
    // The migrations themselves have run.
    expect(await migrateUp(db, SCHEMA)).toEqual([]);
    await expect(assertIndexesWhole(db, SCHEMA)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('REINDEX INDEX CONCURRENTLY shop_1.payments_newest;') as unknown,
    });
    await mark(true);
    await assertIndexesWhole(db, SCHEMA);
  });

  it('may be run by several processes at once, also the first time', async () => {
    const processes = Array.from({ length: 5 }, () => openDatabase({ url, schema: 'shop_2' }));
    try {
      const done = await Promise.all(processes.map((one) => migrateUp(one, 'shop_2')));
      expect(done.flat()).toEqual(ALL);
    } finally {
      await Promise.all(processes.map((one) => one.destroy()));
    }
  });

  it('index each foreign key to payments and orders, of which archiving deletes', async () => {
    const keys = await rows<{ key: string; isIndexed: boolean }>(
      db,
      `SELECT c.conrelid::regclass || '.' || a.attname AS key, EXISTS (
         SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1] AND i.indisvalid
           AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = '(' || a.attname || ' IS NOT NULL)')) AS "isIndexed"
       FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
       WHERE c.contype = 'f' AND c.connamespace = CAST(:schema AS regnamespace)
         AND c.confrelid IN ('orders'::regclass, 'payments'::regclass)`,
      { schema: SCHEMA },
    );
    expect(keys.length).toBeGreaterThanOrEqual(5);
    expect(keys.filter(({ isIndexed }) => !isIndexed)).toEqual([]);
  });

  it('say in the database what each table is for', async () => {
    const uncommented = await rows(
      db,
      `SELECT c.relname FROM pg_class c WHERE c.relnamespace = CAST(:schema AS regnamespace) AND c.relkind = 'r'
         AND c.relname NOT LIKE 'durable_alipay_migrations%' AND obj_description(c.oid) IS NULL`,
      { schema: SCHEMA },
    );
    expect(uncommented).toEqual([]);
  });
});

describe('the database itself refuses', () => {
  const order = (id: string, more: Record<string, unknown> = {}) => {
    const columns = { id, subject: 'tea', total_amount: '12.30', expires_at: new Date(), ...more };
    return db('orders').insert(columns);
  };
  const payment = (outTradeNo: string, orderId: string, more: Record<string, unknown> = {}) =>
    db('payments').insert({ out_trade_no: outTradeNo, order_id: orderId, total_amount: '12.30', ...more });

  beforeAll(async () => {
    await order('A');
    await order('B');
    await payment('A1', 'A', { status: 'PAID' });
    await payment('A2', 'A');
  });

  const CHECK = { code: '23514' };
  const UNIQUE = { code: '23505' };
  const FOREIGN = { code: '23503' };

  it('a second PAID payment of one order', async () => {
    await expect(
      db('payments').where({ out_trade_no: 'A2' }).update({ status: 'PAID' }),
    ).rejects.toMatchObject(UNIQUE);
    await expect(payment('A3', 'A', { status: 'PAID' })).rejects.toMatchObject(UNIQUE);
    await payment('B1', 'B', { status: 'PAID' });
  });

  it('a notification that is resolved by half; one from a worker that knows nothing of it is open', async () => {
    await rows(
      db,
      `INSERT INTO unmatched_notifications (out_trade_no, notify_id, content) VALUES ('old', 'n1', '{}')`,
    );
    expect(await db('unmatched_notifications').where({ resolved_at: null })).toHaveLength(1);
    const half = db('unmatched_notifications').update({ resolved_at: new Date() });
    await expect(half).rejects.toMatchObject(CHECK);
  });

  it.each(['0', '-0.01', '0.004'])('an amount of %s', async (amount) => {
    await expect(
      order(`amount${amount.replace(/\W/g, '_')}`, { total_amount: amount }),
    ).rejects.toMatchObject(CHECK);
    await expect(payment('A9', 'A', { total_amount: amount })).rejects.toMatchObject(CHECK);
  });

  it('a status that there is not', async () => {
    await expect(order('C', { status: 'REFUNDED' })).rejects.toMatchObject(CHECK);
    await expect(order('C', { status: 'paid' })).rejects.toMatchObject(CHECK);
    await expect(payment('A9', 'A', { status: 'UNCONFIRMED' })).rejects.toMatchObject(CHECK);
    await expect(order('C', { close_by: 'hand' })).rejects.toMatchObject(CHECK);
    await expect(payment('A9', 'A', { product: 'barcode' })).rejects.toMatchObject(CHECK);
  });

  it('ids that Alipay would refuse', async () => {
    await expect(payment('A-9', 'A')).rejects.toMatchObject(CHECK);
    await expect(payment('9'.repeat(65), 'A')).rejects.toMatchObject(CHECK);
    await expect(order('C D')).rejects.toMatchObject(CHECK);
  });

  it('a negative refund, and a payment of no order', async () => {
    await expect(payment('A9', 'A', { refunded_amount: '-1' })).rejects.toMatchObject(CHECK);
    await expect(payment('A9', 'nobody')).rejects.toMatchObject(FOREIGN);
  });

  it('any change of what happened', async () => {
    await db('payment_events').insert({ out_trade_no: 'A1', actor: 'a test', event: 'paid' });
    await expect(db('payment_events').update({ actor: 'another' })).rejects.toThrow(/append-only/);
    await expect(db('payment_events').where({ out_trade_no: 'A1' }).delete()).rejects.toThrow(/append-only/);
    await expect(db('payments').where({ out_trade_no: 'A1' }).delete()).rejects.toMatchObject(FOREIGN);
    expect(await db('payment_events').where({ out_trade_no: 'A1' })).toHaveLength(1);
  });

  it('one notification twice', async () => {
    const notification = {
      out_trade_no: 'A1',
      kind: 'notification',
      notify_id: 'n1',
      body: Buffer.from('notify_id=n1'),
      digest: Buffer.from('1'),
      signature: 's',
      charset: 'utf-8',
      key_fingerprint: 'k',
    };
    await db('evidence').insert(notification);
    await expect(db('evidence').insert(notification)).rejects.toMatchObject(UNIQUE);
    await db('evidence').insert({ ...notification, out_trade_no: 'A2' });
  });
});

/**
 * Those that remove or tighten something on purpose: each in a release after the one that stopped using it, or before
 * the first. Widening a set of values counts too, since its constraint is recreated.
 */
const CONTRACTING: readonly string[] = [
  '20261129_know_money',
  '20261129_prune_unmatched',
  '20261129_tell_refunds',
  '20261129_add_products',
  '20261129_audit_books',
  '20261129_tell_in_process',
];

/** What an old worker would miss from the old schema, or stumble over. Empty for a migration that only expands. */
function contractions(before: Part[], after: Part[]): string[] {
  const told = ({ kind, name, detail }: Part): string => `${kind} ${name}: ${detail}`;
  const tableOf = ({ name }: Pick<Part, 'name'>): string => name.split('.')[0] ?? '';
  const [was, is] = [new Set(before.map(told)), new Set(after.map(told))];
  const oldTables = new Set(before.filter(({ kind }) => kind === 'column').map(tableOf));
  // A constraint on new columns only does not concern an old worker. A foreign key also names another table's columns.
  const bindsOld = (table: string, [own = '']: string[]): boolean =>
    before.some(
      ({ kind, name }) =>
        kind === 'column' &&
        name.startsWith(`${table}.`) &&
        new RegExp(`\\b${name.slice(table.length + 1)}\\b`).test(own),
    );
  const gone = before
    .filter((part) => part.kind !== 'index' && !is.has(told(part)))
    .map((part) => `gone: ${told(part)}`);
  const added = after.filter((part) => !was.has(told(part)) && oldTables.has(tableOf(part)));
  const tighter = added.filter(
    ({ kind, name, detail }) =>
      (kind === 'column' && / NO$/.test(detail)) ||
      (kind === 'constraint' &&
        !/^NOT NULL/.test(detail) &&
        bindsOld(tableOf({ name }), detail.split(' REFERENCES '))),
  );
  const unique = after.filter(
    (part) =>
      part.kind === 'index' &&
      !was.has(told(part)) &&
      /CREATE UNIQUE/.test(part.detail) &&
      [...oldTables].some((table) => part.detail.includes(`.${table} `)),
  );
  return [...gone, ...[...tighter, ...unique].map((part) => `tighter: ${told(part)}`)];
}

describe('a migration', () => {
  let other: Database;
  beforeAll(async () => {
    other = openDatabase({ url: within(await freshDatabase({ empty: true })), schema: SCHEMA });
    await other.raw(`CREATE SCHEMA ${SCHEMA}`);
  });
  afterAll(() => other.destroy());

  const changes = async (migrate: () => PromiseLike<unknown>): Promise<string[]> => {
    const before = await shape(other);
    await migrate();
    return contractions(before, await shape(other));
  };

  it('only expands the schema of before, unless it is listed as contracting', async () => {
    for (const [name, { up }] of MIGRATIONS) {
      const found = await changes(() => up(other));
      if (!CONTRACTING.includes(name)) expect([name, found]).toEqual([name, []]);
    }
  });

  it.each<[string, string, RegExp | null]>([
    ['adds a table', 'CREATE TABLE vouchers (id text PRIMARY KEY)', null],
    ['adds a column that may be empty', 'ALTER TABLE payments ADD voucher text', null],
    ['adds one with a default', `ALTER TABLE payments ADD channel text NOT NULL DEFAULT 'page'`, null],
    ['adds an index', 'CREATE INDEX payments_by_voucher ON payments (voucher)', null],
    [
      'wants a new column filled',
      'ALTER TABLE vouchers ADD owner text NOT NULL',
      /tighter: column vouchers.owner/,
    ],
    ['drops a column', 'ALTER TABLE payments DROP product', /gone: column payments.product/],
    ['renames one', 'ALTER TABLE orders RENAME subject TO title', /gone: column orders.subject/],
    ['changes a type', 'ALTER TABLE payments ALTER checks TYPE smallint', /gone: column payments.checks/],
    ['forbids what was allowed', 'ALTER TABLE orders ADD CHECK (total_amount < 1000)', /tighter: constraint/],
    [
      'makes a column unique',
      'CREATE UNIQUE INDEX one_trade ON payments (trade_no)',
      /tighter: index one_trade/,
    ],
  ])('that %s is told apart', async (_what, statement, contraction) => {
    const found = await changes(() => other.raw(statement));
    if (contraction === null) expect(found).toEqual([]);
    else expect(found.join('\n')).toMatch(contraction);
  });
});
