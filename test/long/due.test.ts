import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import { query } from '../../dev/postgres';
import type { Shop } from '../support';
import { openShop } from '../support';

// What it costs to find due work among very many open rows.

const OPEN = 1_000_000;
/** Rows that are done with, in each of the other tables. */
const DONE = 200_000;

const TABLES = ['orders', 'payments', 'order_messages', 'evidence', 'refunds'];

let shop: Shop;
let url: string;

beforeAll(async () => {
  // No workers: the test runs the activities itself.
  shop = await openShop(__filename, { queues: [] });
  const { config } = shop.db.client as { config: { connection: { connectionString: string } } };
  url = config.connection.connectionString;
  // The inserted rows are consistent; checking each reference would take a minute.
  await query(
    url,
    `SET session_replication_role = replica;
     INSERT INTO orders (id, subject, total_amount, expires_at)
       SELECT 'open-' || n, 'A pot of tea', 12.30, now() + interval '12 hours' + n * interval '10 milliseconds'
       FROM generate_series(1000001, ${1_000_000 + OPEN}) AS n;
     INSERT INTO payments (out_trade_no, order_id, total_amount, checked_out_at, next_check_at, slow_check_at)
       SELECT 'open_' || n, 'open-' || n, 12.30, now() - interval '1 minute',
         now() + interval '5 minutes' + n * interval '1 millisecond', now() + interval '5 minutes' + n * interval '1 millisecond'
       FROM generate_series(1000001, ${1_000_000 + OPEN}) AS n;
     INSERT INTO order_messages (id, order_id, out_trade_no, status, amount, told_at, told_by)
       SELECT 'PAID-open_' || n, 'open-' || n, 'open_' || n, 'PAID', 12.30, now(), 'signal' FROM generate_series(1000001, ${1_000_000 + DONE}) AS n;
     INSERT INTO evidence (out_trade_no, kind, body, digest, signature, charset, key_fingerprint, recorded_at)
       SELECT 'open_' || n, 'answer', '\\x00', decode(md5(CAST(n AS text)), 'hex'), 's', 'utf-8', 'k', now()
       FROM generate_series(1000001, ${1_000_000 + DONE}) AS n;
     INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by, done_at)
       SELECT 'open_' || n, 'R-' || n, 'open-' || n, 1.00, 'r', 'shop', 'DONE', 'shop', now()
       FROM generate_series(1000001, ${1_000_000 + DONE}) AS n;`,
  );
  for (const table of TABLES) await query(url, `ANALYZE ${table}`);
}, 600_000);
afterAll(() => shop.close());

/** Every statement that `act` sends. */
async function statementsOf(act: () => Promise<unknown>): Promise<{ sql: string; bindings: unknown[] }[]> {
  const sent: { sql: string; bindings: unknown[] }[] = [];
  const hear = ({ sql, bindings }: { sql: string; bindings: unknown[] }) => sent.push({ sql, bindings });
  shop.db.on('query', hear);
  try {
    await act();
  } finally {
    shop.db.off('query', hear);
  }
  return sent;
}

const activity = <T>(act: () => Promise<T>): Promise<T> => new MockActivityEnvironment().run(act);

/** One page of a sweep, and a whole follow-up. */
async function sweepAndFollowUp() {
  const payments = createPaymentsQueueActivities(shop.deps);
  const alipay = createAlipayQueueActivities(shop.deps);
  const page = await activity(() => payments.findExpiredOrders({ after: null, limit: 500 }));
  const reports = [
    await activity(() => payments.tellUndelivered()),
    await activity(() => payments.wakeUnrecorded()),
    await activity(() => alipay.askSlowly()),
    await activity(() => payments.watchUnwatched()),
    await activity(() => payments.attendUnattended()),
    await activity(() => payments.startRefunds()),
    await activity(() => alipay.closeLeftovers()),
    await activity(() => alipay.recheckClosed()),
  ];
  return { page, reports };
}

const NOTHING = { done: 0, failed: 0, left: false };

describe('with a million open payments, and nothing due', () => {
  it('one sweep and one follow-up together take less than 50 ms of SQL', async () => {
    const { page, reports } = await sweepAndFollowUp();
    expect(page).toEqual([]);
    expect(reports).toEqual(Array<unknown>(8).fill(NOTHING));
    const statements = await statementsOf(sweepAndFollowUp);
    const spent: number[] = [];
    // By Postgres' own clock. The first round reads from disk; a busy machine may delay any later one, but not all.
    for (let round = 0; round < 6; round += 1) {
      let ms = 0;
      for (const { sql, bindings } of statements) ms += await msOf(sql, bindings);
      spent.push(ms);
    }
    expect(Math.min(...spent)).toBeLessThan(50);
  });

  it('no statement of them reads a table from end to end', async () => {
    const statements = await statementsOf(sweepAndFollowUp);
    expect(statements).toHaveLength(9);
    for (const { sql, bindings } of statements) {
      // The plan for these values, and the generic one of a prepared statement.
      for (const plan of [
        await explain(`EXPLAIN ${sql}`, bindings),
        await explain(`EXPLAIN (GENERIC_PLAN) ${sql}`),
      ]) {
        expect([sql, plan]).toEqual([sql, expect.not.stringMatching(READS_ALL)]);
      }
    }
  });
});

describe("with a million checks overdue, which is nobody's doing but a mistake", () => {
  it('each follow-up starts a batch of runs and no herd, and the next one goes on where it ended', async () => {
    await query(
      url,
      `UPDATE payments SET next_check_at = now() - interval '2 hours' + (next_check_at - now()) WHERE status = 'UNPAID'`,
    );
    const payments = createPaymentsQueueActivities(shop.deps);
    const [first, second] = [
      await activity(() => payments.watchUnwatched()),
      await activity(() => payments.watchUnwatched()),
    ];
    for (const report of [first, second]) {
      expect(report).toMatchObject({ failed: 0, left: true });
      expect(report.done).toBeLessThanOrEqual(1_000);
    }
    const [row] = await query<{ started: number; until: number }>(
      url,
      `SELECT CAST(count(*) AS int) AS started, CAST(max(substr(out_trade_no, 6)) AS int) - 1000000 AS until
       FROM payments WHERE revivals = 1`,
    );
    // The longest overdue first, and none twice.
    const started = first.done + second.done;
    expect(started).toBeGreaterThan(0);
    expect(row).toEqual({ started, until: started });
    await terminateAll();
  }, 600_000);
});

/** No worker serves them, and other tests share the server. */
async function terminateAll(): Promise<void> {
  const { temporal } = shop;
  for await (const { workflowId } of temporal.workflow.list({ query: `ExecutionStatus = 'Running'` })) {
    await temporal.workflow.getHandle(workflowId).terminate('a test');
  }
}

const READS_ALL = new RegExp(`Seq Scan on (${TABLES.join('|')})`);

/** How long Postgres takes to plan and execute a statement. */
async function msOf(sql: string, bindings: unknown[]): Promise<number> {
  const plan = await explain(`EXPLAIN (ANALYZE, SUMMARY) ${sql}`, bindings);
  const times = [...plan.matchAll(/^(?:Planning|Execution) Time: ([\d.]+) ms$/gm)].map(([, ms]) =>
    Number(ms),
  );
  expect(times).toHaveLength(2);
  return times.reduce((sum, ms) => sum + ms, 0);
}

async function explain(sql: string, bindings: unknown[] = []): Promise<string> {
  const plan = await query<{ 'QUERY PLAN': string }>(url, sql, bindings);
  return plan.map((line) => line['QUERY PLAN']).join('\n');
}
