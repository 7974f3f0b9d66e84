import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createAlipayQueueActivities } from '../../activities';
import { openGateways } from '../../activities/alipay/open';
import { planSlowCheck } from '../../db/due';
import type { KindReport } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from '../integration/story';

// Payments that stay open after their checks are queried on their own, slower schedule. A minute is three seconds here.

/** Long enough for a busy machine to make a slow check within five of them, before the next turn. */
const MINUTE = 3_000;
const TURNS = [5, 10, 20, 40, 80, 160, 320, 640].map((minutes) => minutes * MINUTE);

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 3, intervalMs: 1_000, slowChecksMs: TURNS },
    alipay: { timeoutMs: 5_000 },
  });
  story = new Story(shop);
});
afterEach(() => shop.sql(`UPDATE payments SET slow_check_at = NULL WHERE slow_check_at IS NOT NULL`));
afterAll(() => shop.close());

const NOTHING = { done: 0, failed: 0, left: false };

/** When the next slow check is due, in "minutes" after the checkout; null: there is none. */
async function nextTurn(outTradeNo: string): Promise<number | null> {
  const [row] = await shop.sql<{ ms: number | null }>(
    `SELECT CAST(EXTRACT(EPOCH FROM slow_check_at - checked_out_at) * 1000 AS float8) AS ms
     FROM payments WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  return row?.ms == null ? null : Math.round(row.ms) / MINUTE;
}

/** Moves the checkout this many "minutes" back. */
const later = (outTradeNo: string, minutes: number) =>
  shop.sql(
    `UPDATE payments SET checked_out_at = now() - :ms * interval '1 millisecond',
       slow_check_at = slow_check_at - checked_out_at + now() - :ms * interval '1 millisecond'
     WHERE out_trade_no = :outTradeNo`,
    { outTradeNo, ms: minutes * MINUTE },
  );

const askSlowly = (activities = createAlipayQueueActivities(shop.deps)): Promise<KindReport> =>
  new MockActivityEnvironment().run(() => activities.askSlowly());

const queriesOf = async (outTradeNo: string) =>
  (await story.calls(outTradeNo)).filter((method) => method === 'query').length;

describe('a payment whose notifications are all lost', () => {
  it('and that is paid in minute 7 is PAID by the turn of minute 10', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(await nextTurn(outTradeNo)).toBe(5);
    const followUps = async (turn: number) =>
      waitFor(async () => (await story.followUp()).slowChecks?.done === 1, {
        what: `the turn of minute ${turn}`,
      });

    await followUps(5);
    expect(await nextTurn(outTradeNo)).toBe(10);
    expect(await queriesOf(outTradeNo)).toBe(4);
    await story.pay(outTradeNo);
    await followUps(10);
    await story.until(outTradeNo, 'PAID');
    expect(await queriesOf(outTradeNo)).toBe(5);
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
    expect(await story.followUp()).toMatchObject({ slowChecks: NOTHING });
  });
});

describe('the plan of slow checks', () => {
  it.each([
    ['minute 5: the next is minute 10', 5, 10],
    ['minute 6, for a turn that was missed: the next is minute 10', 6, 10],
    ['minute 100, for four turns that were missed: the next is minute 160', 100, 160],
    ['the last turn: its pause repeats', 640, 960],
    ['after the last, whatever was missed: its pause repeats', 1_290, 1_600],
  ])('after an ask in %s', async (_what, now, next) => {
    const { outTradeNo } = await story.checkOut();
    await later(outTradeNo, now + 0.01);
    await planSlowCheck(shop.db, outTradeNo, TURNS);
    expect(await nextTurn(outTradeNo)).toBe(next);
    await story.terminate(outTradeNo);
  });

  it('ends when the order expires', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await later(outTradeNo, 6);
    await shop.sql(`UPDATE orders SET expires_at = now() + interval '3 seconds' WHERE id = :orderId`, {
      orderId,
    });
    await planSlowCheck(shop.db, outTradeNo, TURNS);
    expect(await nextTurn(outTradeNo)).toBeNull();
    await story.terminate(outTradeNo);
  });

  it('starts anew with each checkout, and is empty where none are wanted', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await later(outTradeNo, 30);
    await planSlowCheck(shop.db, outTradeNo, TURNS);
    expect(await nextTurn(outTradeNo)).toBe(40);
    await story.checkOut({ orderId });
    expect(await nextTurn(outTradeNo)).toBe(5);
    await later(outTradeNo, 30);
    await planSlowCheck(shop.db, outTradeNo, []);
    expect(await nextTurn(outTradeNo)).toBeNull();
    await story.terminate(outTradeNo);
  });
});

describe('a turn', () => {
  /** A payment whose turn at minute 5 is due, and whose run is gone. */
  async function due(): Promise<string> {
    const { outTradeNo } = await story.checkOut();
    await story.terminate(outTradeNo);
    await shop.sql(`UPDATE payments SET next_check_at = NULL WHERE out_trade_no = :outTradeNo`, {
      outTradeNo,
    });
    await later(outTradeNo, 6);
    return outTradeNo;
  }

  it('is used up by an answer that nobody understands', async () => {
    const outTradeNo = await due();
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', outTradeNo, times: 1 });
    expect(await askSlowly()).toEqual({ ...NOTHING, failed: 1 });
    expect(await nextTurn(outTradeNo)).toBe(10);
  });

  it('is kept where the gateway cannot be reached, and the kind is left to another worker', async () => {
    const outTradeNo = await due();
    const unreachable = openGateways(shop.db, [
      {
        ...shop.gateway.settings,
        gateway: 'http://127.0.0.1:9/gateway.do',
      },
    ]);
    const activities = createAlipayQueueActivities({ ...shop.deps, alipay: unreachable });
    await expect(askSlowly(activities)).rejects.toMatchObject({ type: 'ALIPAY_DOWN' });
    expect(await nextTurn(outTradeNo)).toBe(5);
    expect(await askSlowly()).toEqual({ ...NOTHING, done: 1 });
  });

  it('is kept where there is no place under the quota', async () => {
    const outTradeNo = await due();
    const { appId } = shop.gateway.settings;
    const activities = createAlipayQueueActivities({
      ...shop.deps,
      alipay: openGateways(shop.db, [{ ...shop.gateway.settings, maxRps: 10 }]),
    });
    await shop.sql(
      `INSERT INTO alipay_quota (app_id, next_at) VALUES (:appId, now() + interval '30 seconds')
       ON CONFLICT (app_id) DO UPDATE SET next_at = excluded.next_at`,
      { appId },
    );
    const asked = await queriesOf(outTradeNo);
    const report = await askSlowly(activities);
    await shop.sql(`DELETE FROM alipay_quota`);
    expect(report).toEqual({ ...NOTHING, left: true });
    expect(await queriesOf(outTradeNo)).toBe(asked);
    expect(await nextTurn(outTradeNo)).toBe(5);
  });
});
