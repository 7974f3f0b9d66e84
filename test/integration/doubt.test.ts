import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { transaction } from '../../db/connect';
import { holdOrder } from '../../db/orders';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

// A payment in doubt holds its order: it hides no sibling, and is not queried more often than is useful.

const QUERY = 'alipay.trade.query';
const CLOSE = 'alipay.trade.close';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  // Payments make no checks: here the sweep queries Alipay.
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await story.forgetOthers();
});

/** An order with two payments, both scanned. */
async function twoTabs() {
  const first = await story.checkOut();
  await shop.alipay.control.scan(first.outTradeNo);
  const second = await story.secondTab(first.orderId, `${first.outTradeNo}b`);
  await shop.alipay.control.scan(second.outTradeNo);
  return { orderId: first.orderId, a: first.outTradeNo, b: second.outTradeNo };
}

/** Alipay took a different amount than the order's: a person decides. */
async function putInReview(outTradeNo: string): Promise<void> {
  await story.pay(outTradeNo);
  await shop.alipay.control.notify(outTradeNo, { total_amount: '12.31' });
  await story.until(outTradeNo, 'REVIEW');
}

/** Written directly, once its run has ended: a run would act on the status. */
async function setStatus(outTradeNo: string, status: 'REVIEW' | 'REFUNDING'): Promise<void> {
  await story.ended(outTradeNo);
  await shop.sql(`UPDATE payments SET status = :status WHERE out_trade_no = :outTradeNo`, {
    outTradeNo,
    status,
  });
}

/** In seconds; null: it is not held. */
async function pauseOf(orderId: string): Promise<number | null> {
  const [row] = await shop.sql<{ seconds: number | null }>(
    `SELECT CASE WHEN isfinite(held_until) THEN CAST(EXTRACT(EPOCH FROM held_until - now()) AS float8)
       WHEN held_until IS NOT NULL THEN 'Infinity' END AS seconds FROM orders WHERE id = :orderId`,
    { orderId },
  );
  return row?.seconds ?? null;
}

describe('a payment in doubt hides no sibling: one paid with its notification lost is found by the next sweep', () => {
  it.each<[string, (outTradeNo: string) => Promise<unknown>]>([
    ['beside one in REVIEW', putInReview],
    ['beside one in REFUNDING', (outTradeNo) => setStatus(outTradeNo, 'REFUNDING')],
    [
      'beside one that Alipay never answers clearly about',
      (outTradeNo) => shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: QUERY, outTradeNo }),
    ],
    [
      'beside one that Alipay never lets be closed',
      (outTradeNo) =>
        shop.alipay.control.fault({ mode: 'ACQ.TRADE_STATUS_ERROR', method: CLOSE, outTradeNo }),
    ],
  ])('%s', async (_, putInDoubt) => {
    const { orderId, a, b } = await twoTabs();
    await putInDoubt(a);
    await story.pay(b);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ scanned: 1, closed: 0, rescued: 1, rescuedIds: [orderId] });
    await story.until(b, 'PAID');
    expect((await shop.payments.order(orderId)).status).toBe('PAID');
  });

  it('all that were paid are handed over: one pays the order, the others are given back', async () => {
    const { orderId, a, b } = await twoTabs();
    await story.pay(a);
    await story.pay(b);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    const [first, second] = await Promise.all([a, b].map((one) => story.ended(one)));
    expect([first?.status, second?.status].sort()).toEqual(['PAID', 'REFUNDED']);
    expect(await story.standing(orderId)).toBe('PAID: PAID, REFUNDED');
  });

  it('an order with many payments is closed, too', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    for (let i = 0; i < 24; i += 1) await story.secondTab(orderId, `${outTradeNo}_${i}`);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    expect(new Set((await story.standing(orderId)).split(/[:,] /))).toEqual(new Set(['CLOSED']));
  });
});

describe('a held order is asked about again after a pause', () => {
  /** Consecutive sweeps hold the order for these seconds each, counted from some moment of that sweep. */
  async function expectPauses(
    orderId: string,
    expected: number[],
    outcome: 'held' | 'rescued' = 'held',
  ): Promise<void> {
    for (const seconds of expected) {
      await story.endPause(orderId);
      const [{ begun } = { begun: 0 }] = await shop.sql<{ begun: number }>(
        `SELECT CAST(EXTRACT(EPOCH FROM now()) AS float8) AS begun`,
      );
      expect(await story.sweep()).toMatchObject({ scanned: 1, [outcome]: 1 });
      const [{ end, left } = { end: 0, left: 0 }] = await shop.sql<{ end: number; left: number }>(
        `SELECT CAST(EXTRACT(EPOCH FROM held_until) AS float8) AS "end",
           CAST(EXTRACT(EPOCH FROM held_until - now()) AS float8) AS "left" FROM orders WHERE id = :orderId`,
        { orderId },
      );
      expect(end - begun).toBeGreaterThanOrEqual(seconds);
      expect(left).toBeLessThanOrEqual(seconds);
    }
  }

  it('that doubles from 30 s to an hour, where Alipay does not let the trade be closed', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.alipay.control.scan(outTradeNo);
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_STATUS_ERROR', method: CLOSE, outTradeNo });
    await story.expire(orderId);
    await expectPauses(orderId, [30, 60, 120]);
    await shop.sql(`UPDATE orders SET holds = 6 WHERE id = :orderId`, { orderId });
    await expectPauses(orderId, [1_920, 3_600]);
    await shop.sql(`UPDATE orders SET holds = 1000000 WHERE id = :orderId`, { orderId });
    await expectPauses(orderId, [3_600]);
  });

  it('of two minutes at most, where its answer is unknown', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: QUERY, outTradeNo });
    await story.expire(orderId);
    await expectPauses(orderId, [30, 60, 120, 120]);
  });

  it('that a long outage before has not made long, where the trade is what it waits for', async () => {
    const { orderId } = await story.checkOut();
    await story.expire(orderId);
    for (let i = 0; i < 8; i += 1) await holdOrder(shop.db, orderId, 'answer');
    await holdOrder(shop.db, orderId, 'trade');
    expect(await pauseOf(orderId)).toBeLessThanOrEqual(240);
  });

  it('and not before', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: QUERY, outTradeNo });
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ scanned: 1, held: 1 });
    const calls = await story.calls(outTradeNo);
    expect(await story.sweep()).toMatchObject({ scanned: 0, held: 0 });
    expect(await story.calls(outTradeNo)).toEqual(calls);
  });

  it('that doubles, too, where what it took cannot be recorded', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await story.expire(orderId);
    await shop.sql(`ALTER TABLE payments ADD CONSTRAINT unrecordable CHECK (status <> 'PAID') NOT VALID`);
    try {
      await expectPauses(orderId, [30, 60, 120], 'rescued');
      const calls = await story.calls(outTradeNo);
      expect(await story.sweep()).toMatchObject({ scanned: 0 });
      expect(await story.calls(outTradeNo)).toEqual(calls);
      expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');
    } finally {
      await shop.sql(`ALTER TABLE payments DROP CONSTRAINT unrecordable`);
    }
    // Its run may have recorded it by now.
    await story.endPause(orderId);
    await story.sweep();
    await story.until(outTradeNo, 'PAID');
    expect(await pauseOf(orderId)).toBeNull();
  });

  it('that doubles, too, where a notification cannot be recorded and Alipay knows of no trade', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const { sellerId } = shop.alipay;
    const fields = { seller_id: sellerId, total_amount: '12.30', trade_status: 'TRADE_SUCCESS' };
    await shop.sql(`ALTER TABLE payments ADD CONSTRAINT unrecordable CHECK (status <> 'PAID') NOT VALID`);
    try {
      expect(await shop.alipay.control.notify(outTradeNo, fields)).toMatchObject({ body: 'success' });
      await story.expire(orderId);
      await expectPauses(orderId, [30, 60, 120]);
    } finally {
      await shop.sql(`ALTER TABLE payments DROP CONSTRAINT unrecordable`);
    }
  });

  it('which keeps no first rescue from being recorded at once, and ends with it', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    await story.until(outTradeNo, 'PAID');
    expect(await pauseOf(orderId)).toBeNull();
  });
});

describe('an order held by a payment in REVIEW or REFUNDING', () => {
  it('has its other payments closed at Alipay, and is then not asked about any more', async () => {
    const { orderId, a, b } = await twoTabs();
    await setStatus(a, 'REFUNDING');
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ held: 1, heldIds: [orderId] });
    expect((await shop.alipay.control.trade(b))?.status).toBe('TRADE_CLOSED');
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDING, UNPAID');
    expect(await pauseOf(orderId)).toBe(Infinity);
    expect(await story.sweep()).toMatchObject({ scanned: 0 });
  });

  it('is closed by the next sweep after the decision', async () => {
    const { orderId, a } = await twoTabs();
    await putInReview(a);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ held: 1, heldIds: [orderId] });
    expect(await pauseOf(orderId)).toBe(Infinity);
    await shop.payments.resolveReview(a, { to: 'REFUNDING', actor: 'anna', reason: 'too late' });
    await story.until(a, 'REFUNDED');
    expect(await pauseOf(orderId)).toBeNull();
    expect(await story.sweep()).toMatchObject({ scanned: 1, closed: 1 });
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED, REFUNDED');
  });

  it('is asked about again where another payment of it is in doubt as well', async () => {
    const { orderId, a, b } = await twoTabs();
    await setStatus(a, 'REFUNDING');
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: QUERY, outTradeNo: b });
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ held: 1 });
    expect(await pauseOf(orderId)).toBeLessThanOrEqual(30);
  });

  it('does not wait for a decision that has been made while it was asked about', async () => {
    const { orderId, a } = await twoTabs();
    await setStatus(a, 'REVIEW');
    let holding: Promise<void> | undefined;
    // As a decision does: under the order's lock, which the hold must wait for.
    await transaction(shop.db, async (trx) => {
      await trx.raw('SELECT FROM orders WHERE id = ? FOR UPDATE', [orderId]);
      await trx.raw(`UPDATE payments SET status = 'CLOSED' WHERE out_trade_no = ?`, [a]);
      await trx.raw('UPDATE orders SET held_until = NULL WHERE id = ?', [orderId]);
      holding = holdOrder(shop.db, orderId, 'decision');
      // In this database: other test files wait for their own locks.
      const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await waitFor(async () => (await shop.sql(waiting)).length > 0, {
        what: 'the hold to wait for the lock',
        everyMs: 10,
      });
    });
    await holding;
    expect(await pauseOf(orderId)).toBeNull();
  });
});
