import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createAlipayQueueActivities } from '../../activities';
import { openGateways } from '../../activities/alipay/open';
import { query } from '../../dev/postgres';
import type { KindReport } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop } from '../support';

const MINUTE = 60_000;
const TURNS = [5, 10, 20, 40, 80, 160, 320, 640].map((minutes) => minutes * MINUTE);

let shop: Shop;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [], alipay: { timeoutMs: 5_000 } });
});
afterAll(() => shop.close());

const askSlowly = (activities: ReturnType<typeof createAlipayQueueActivities>): Promise<KindReport> =>
  new MockActivityEnvironment().run(() => activities.askSlowly());

describe('a backlog of 100,000 slow checks under a quota of 50 a second', () => {
  const BACKLOG = 100_000;
  const MAX_RPS = 50;

  it('asks the youngest first, none twice for turns it missed, and leaves half of the quota to the main line', async () => {
    // Checked out an hour and 40 minutes ago or earlier, with real minutes here; five turns were missed.
    await query(
      shop.databaseUrl,
      `WITH placed AS (
         INSERT INTO orders (id, subject, total_amount, expires_at)
         SELECT 'backlog_' || n, 'A pot of tea', 12.30, now() + interval '12 hours' FROM generate_series(1, ${BACKLOG}) AS n
         RETURNING id, total_amount, CAST(substr(id, 9) AS int) * interval '36 milliseconds' AS age)
       INSERT INTO payments (out_trade_no, order_id, total_amount, checked_out_at, slow_check_at)
       SELECT id, id, total_amount, now() - interval '100 minutes' - age, now() - interval '95 minutes' - age FROM placed`,
    );
    const limited = openGateways(shop.db, [{ ...shop.gateway.settings, maxRps: MAX_RPS }]);
    const activities = createAlipayQueueActivities({ ...shop.deps, alipay: limited, slowChecksMs: TURNS });

    let mainLine = 0;
    let isOver = false as boolean;
    const checks = Promise.all(
      Array.from({ length: 20 }, async (_, lane) => {
        while (!isOver) {
          // A busy machine may exceed a call's deadline; the call has had its slot.
          await limited.own.query(`main_${lane}`).catch(() => undefined);
          mainLine += 1;
        }
      }),
    );
    const first = await askSlowly(activities);
    isOver = true;
    await checks;
    const second = await askSlowly(activities);

    expect(first.left).toBe(true);
    expect(first.done).toBeGreaterThan(0);
    // However fast the machine is: both always wait for slots, and each gets its half.
    expect(mainLine).toBeGreaterThan(0.8 * (first.done + first.failed));
    // The youngest, without a gap: a payment that was queried is not due before its next turn.
    const asked = await shop.sql<{ n: number }>(
      `SELECT CAST(substr(out_trade_no, 9) AS int) AS n FROM payments WHERE slow_check_at > now()`,
    );
    expect(asked).toHaveLength(first.done + first.failed + second.done + second.failed);
    expect(Math.max(...asked.map(({ n }) => n))).toBe(asked.length);
    const journal = await shop.alipay.control.journal();
    const calls = journal.flatMap((entry) => (entry.kind === 'call' ? (entry.outTradeNo ?? '') : []));
    const ofBacklog = calls.filter((outTradeNo) => outTradeNo.startsWith('backlog'));
    expect(new Set(ofBacklog).size).toBe(ofBacklog.length);
  }, 400_000);
});
