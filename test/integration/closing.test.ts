import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createOwedActivities } from '../../activities/owed';
import type { FaultMode } from '../../sandbox';
import { TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import type { sweepExpiredOrders } from '../../workflows/sweep-expired-orders';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

const QUERY = 'alipay.trade.query';
const CLOSE = 'alipay.trade.close';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  // No checks of the payments' own: here the sweep and the shop's cancel do the asking.
  shop = await openShop(__filename, { payments: { checks: 0 }, alipay: { timeoutMs: 500 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.latency(0);
});

/** An order whose payment was scanned, paid, closed at Alipay, or never opened there. */
async function expired(buyer: 'away' | 'scanned' | 'paid' | 'closed', { expire = true } = {}) {
  const checkout = await story.checkOut();
  const { outTradeNo, orderId } = checkout;
  if (buyer === 'scanned' || buyer === 'closed') await shop.alipay.control.scan(outTradeNo);
  if (buyer === 'paid') await story.pay(outTradeNo);
  if (buyer === 'closed') await shop.deps.alipay.close(outTradeNo);
  if (expire) await story.expire(orderId);
  return checkout;
}

describe('the sweep closes', () => {
  it('an order whose buyer never came, together with its payment, and asks once more after 25 hours', async () => {
    const { orderId, outTradeNo } = await expired('away');
    expect(await story.sweep()).toMatchObject({ closed: 1, rescued: 0, held: 0, failed: 0 });
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
    const { recheckAt, closedAt } = await shop.payments.payment(outTradeNo);
    const hours = ((recheckAt?.getTime() ?? 0) - (closedAt?.getTime() ?? 0)) / 3_600_000;
    expect(hours).toBeCloseTo(25, 1);
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('the trade at Alipay first, where the buyer had scanned', async () => {
    const { orderId, outTradeNo } = await expired('scanned');
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    expect((await shop.alipay.control.trade(outTradeNo))?.status).toBe('TRADE_CLOSED');
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
    expect(await story.calls(outTradeNo)).toEqual(['query', 'close', 'query']);
    expect((await shop.payments.payment(outTradeNo)).recheckAt).toBeNull();
  });

  it('an order whose trade Alipay has closed already', async () => {
    const { orderId } = await expired('closed');
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
  });

  it('all payments of an order or none: one paid in another tab rescues it, and the rest is closed alone', async () => {
    const { orderId, outTradeNo } = await expired('scanned', { expire: false });
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(other.outTradeNo);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 1 });
    await story.until(other.outTradeNo, 'PAID');
    await story.sweep();
    expect(await story.standing(orderId)).toBe('PAID: CLOSED, PAID');
    expect(await story.status(outTradeNo)).toBe('CLOSED');
  });

  it('several payments of one order together', async () => {
    const { orderId, outTradeNo } = await expired('scanned', { expire: false });
    await story.secondTab(orderId, `${outTradeNo}b`);
    await story.secondTab(orderId, `${outTradeNo}c`);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED, CLOSED, CLOSED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('nothing that has a minute left', async () => {
    const { orderId, outTradeNo } = await expired('away', { expire: false });
    await shop.sql(`UPDATE orders SET expires_at = now() + interval '1 minute' WHERE id = :orderId`, {
      orderId,
    });
    expect(await story.sweep()).toMatchObject({ scanned: 0, closed: 0 });
    expect(await story.calls(outTradeNo)).toEqual([]);
  });
});

describe('the sweep rescues', () => {
  it('a payment whose notification was lost, and whose own run has ended', async () => {
    const { orderId, outTradeNo } = await expired('paid');
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 1, rescuedIds: [orderId] });
    await story.until(outTradeNo, 'PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('a finished trade as well as a fresh one', async () => {
    const { orderId, outTradeNo } = await expired('paid');
    await shop.alipay.control.finish(outTradeNo, { notify: false });
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    await story.until(outTradeNo, 'PAID');
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('a trade that was paid and refunded at the portal: to a person, not to the closed ones', async () => {
    const { orderId, outTradeNo } = await expired('paid');
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    await shop.alipay.control.notifier({});
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 1 });
    await story.until(outTradeNo, 'REVIEW');
    expect(await story.sweep()).toMatchObject({ closed: 0, held: 1 });
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
    await story.terminate(outTradeNo);
    await shop.sql(`UPDATE orders SET expires_at = now() + interval '1 day' WHERE id = :orderId`, {
      orderId,
    });
  });

  it.each([
    ['query', 'query'],
    ['close', 'close'],
  ] as const)('a buyer who pays while the answer to the first %s is on its way', async (_, during) => {
    const { orderId, outTradeNo } = await expired('scanned');
    await shop.alipay.control.latency(300);
    const sweeping = story.sweep();
    await waitFor(async () => (await story.calls(outTradeNo)).includes(during), {
      what: `the ${during}`,
      everyMs: 10,
    });
    const paid = await story.pay(outTradeNo).then(
      () => true,
      () => false,
    );
    await shop.alipay.control.latency(0);
    const report = await sweeping;
    if (paid) {
      expect(report).toMatchObject({ closed: 0, rescued: 1 });
      await story.until(outTradeNo, 'PAID');
      expect(await story.standing(orderId)).toBe('PAID: PAID');
    } else {
      expect(report).toMatchObject({ closed: 1, rescued: 0 });
      expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
    }
    // Latency holds back the answer, not the effect: after the query the buyer wins, after the close Alipay does.
    expect(paid).toBe(during === 'query');
  });
});

describe('the sweep never takes a status error for "closed"', () => {
  it('where Alipay says afterwards that there is no such trade', async () => {
    const { orderId, outTradeNo } = await expired('away');
    // Alipay's first, true answer was "no such trade"; then the buyer pays, and that old answer is replayed.
    expect((await shop.deps.alipay.query(outTradeNo)).answer).toBe('not-exist');
    await story.pay(outTradeNo);
    await shop.alipay.control.fault({ mode: 'stale', method: QUERY, outTradeNo });
    expect(await story.sweep()).toMatchObject({ closed: 0, held: 1, heldIds: [orderId] });
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');

    await shop.alipay.control.clearFaults();
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 1 });
    await story.until(outTradeNo, 'PAID');
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('where Alipay still says that it waits', async () => {
    const { orderId, outTradeNo } = await expired('scanned');
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_STATUS_ERROR', method: CLOSE, outTradeNo, times: 1 });
    expect(await story.sweep()).toMatchObject({ closed: 0, held: 1 });
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');
    expect(await story.sweep()).toMatchObject({ closed: 1 });
  });
});

describe('an answer that nobody understands closes nothing', () => {
  const unknown: FaultMode[] = [
    '20000',
    'SYSTEM_ERROR',
    '40001',
    '40005',
    '40006',
    'http-500',
    'html',
    'hang',
    'reset',
    'truncated',
    'no-signature',
    'bad-signature',
    'other-order',
    'ACQ.SOMETHING_NEW',
  ];

  it('to the query', async () => {
    const modes = [...unknown];
    const orders = new Map<string, FaultMode>();
    for (const mode of modes) {
      const { orderId, outTradeNo } = await expired('scanned');
      await shop.alipay.control.fault({ mode, method: QUERY, outTradeNo });
      orders.set(orderId, mode);
    }
    // A breaker that opens would spare the later ones the question: fewer in a row than it takes.
    const report = await story.sweep({ parallel: 1, pageSize: 5 });
    expect(report).toMatchObject({ closed: 0, rescued: 0 });
    for (const [orderId, mode] of orders)
      expect([mode, await story.standing(orderId)]).toEqual([mode, 'UNPAID: UNPAID']);
    await shop.alipay.control.clearFaults();
    await closeAll([...orders.keys()]);
  });

  it('to the close, whether it took effect or not', async () => {
    const orders = new Map<string, string>();
    for (const mode of unknown) {
      for (const when of ['before', 'after'] as const) {
        const { orderId, outTradeNo } = await expired('scanned');
        await shop.alipay.control.fault({ mode, method: CLOSE, outTradeNo, when });
        orders.set(orderId, `${mode} ${when}`);
      }
    }
    const report = await story.sweep({ parallel: 1 });
    expect(report).toMatchObject({ closed: 0, rescued: 0, failed: 0 });
    for (const [orderId, fault] of orders)
      expect([fault, await story.standing(orderId)]).toEqual([fault, 'UNPAID: UNPAID']);
    await shop.alipay.control.clearFaults();
    await closeAll([...orders.keys()]);
  });

  async function closeAll(orderIds: string[]): Promise<void> {
    await waitFor(
      async () => {
        await story.sweep();
        const standings = await Promise.all(orderIds.map((orderId) => story.standing(orderId)));
        return standings.every((standing) => standing === 'CLOSED: CLOSED');
      },
      { what: 'the next sweeps to close them all', timeoutMs: 30_000, everyMs: 500 },
    );
  }
});

describe('what is in doubt holds its order', () => {
  it.each(['REVIEW', 'REFUNDING'] as const)(
    'a payment in %s, against sweep, cancel and checkout',
    async (status) => {
      const { orderId, outTradeNo } = await expired('scanned', { expire: false });
      const other = await story.secondTab(orderId, `${outTradeNo}b`);
      await shop.sql(
        `UPDATE payments SET status = :status, updated_at = now() WHERE out_trade_no = :outTradeNo`,
        {
          status,
          outTradeNo,
        },
      );
      await expect(story.checkOut({ orderId })).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
      await expect(shop.payments.closeOrder({ orderId, actor: 'a', reason: 'r' })).rejects.toMatchObject({
        code: 'ORDER_HELD',
      });
      await story.expire(orderId);
      const { heldIds, closed } = await story.sweep();
      expect(heldIds).toContain(orderId);
      expect(closed).toBe(0);
      expect(await story.status(other.outTradeNo)).toBe('UNPAID');
      expect((await shop.payments.order(orderId)).status).toBe('UNPAID');
      await shop.sql(`UPDATE orders SET expires_at = now() + interval '1 day' WHERE id = :orderId`, {
        orderId,
      });
    },
  );
});

describe('one order that breaks', () => {
  it('never keeps sixty others from being closed', async () => {
    const placed = [];
    for (let i = 0; i < 60; i += 1) {
      const orderId = `many-${i}`;
      await shop.sql(
        `INSERT INTO orders (id, subject, total_amount, expires_at)
         VALUES (:orderId, 'tea', 1, now() - :i * interval '1 second' - interval '1 minute')`,
        { orderId, i },
      );
      await shop.sql(
        `INSERT INTO payments (out_trade_no, order_id, total_amount) VALUES (:no, :orderId, 1)`,
        {
          no: `many_${i}`,
          orderId,
        },
      );
      placed.push(orderId);
    }
    // The transaction that closes this one breaks at its last statement but one.
    await shop.sql(`ALTER TABLE orders ADD CONSTRAINT poison CHECK (id <> 'many-30' OR status <> 'CLOSED')`);
    const report = await story.sweep({ pageSize: 7 });
    expect(report).toMatchObject({ scanned: 60, closed: 59, failed: 1, failedIds: ['many-30'] });
    expect(await story.standing('many-30')).toBe('UNPAID: UNPAID');
    await shop.sql(`ALTER TABLE orders DROP CONSTRAINT poison`);
    expect(await story.sweep()).toMatchObject({ scanned: 1, closed: 1, failed: 0 });
    for (const orderId of placed) expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
  });

  it('two sweeps at once close each order once', async () => {
    const { orderId } = await expired('scanned');
    const beside = shop.temporal.workflow.execute<typeof sweepExpiredOrders>(WORKFLOWS.sweepExpiredOrders, {
      workflowId: 'sweep-beside',
      taskQueue: TASK_QUEUES.payments,
      args: [{ parallel: 4, pageSize: 500 }],
    });
    const reports = await Promise.all([story.sweep(), beside]);
    expect(reports.map(({ failed }) => failed)).toEqual([0, 0]);
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });
});

describe('a dry run', () => {
  it('asks, and writes nothing here or at Alipay', async () => {
    const [away, scanned, paid] = [await expired('away'), await expired('scanned'), await expired('paid')];
    const before = await story.everything();
    expect(await story.sweep({ dryRun: true })).toMatchObject({ scanned: 3, closed: 2, rescued: 1 });
    expect(await story.everything()).toEqual(before);
    expect((await shop.alipay.control.trade(scanned.outTradeNo))?.status).toBe('WAIT_BUYER_PAY');
    expect(await story.sweep()).toMatchObject({ closed: 2, rescued: 1 });
    await story.until(paid.outTradeNo, 'PAID');
    expect(await story.standing(away.orderId)).toBe('CLOSED: CLOSED');
  });
});

describe('the shop cancels an order', () => {
  const cancel = (orderId: string) =>
    shop.payments.closeOrder({ orderId, actor: 'shop', reason: 'changed mind' });

  it('that nobody went to pay: closed at once, and again is fine', async () => {
    await shop.payments.registerOrder({ orderId: 'unvisited', subject: 'tea', totalAmount: '1.00' });
    expect(await cancel('unvisited')).toMatchObject({ status: 'CLOSED' });
    expect(await cancel('unvisited')).toMatchObject({ status: 'CLOSED' });
    expect(await story.told('unvisited', 1)).toEqual(['CLOSED-unvisited']);
  });

  it('whose buyer has scanned: the trade is closed first', async () => {
    const { orderId, outTradeNo } = await expired('scanned', { expire: false });
    expect(await cancel(orderId)).toMatchObject({ status: 'CLOSED' });
    expect((await shop.alipay.control.trade(outTradeNo))?.status).toBe('TRADE_CLOSED');
  });

  it('whose page is open, not scanned: held before expiry, and closed by the sweep after it', async () => {
    const { orderId, outTradeNo } = await expired('away', { expire: false });
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');
    expect(await story.calls(outTradeNo)).toEqual(['query']);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
  });

  it('that is paid: refused, whether that was known or not', async () => {
    const { orderId, outTradeNo } = await expired('paid', { expire: false });
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_PAID', status: 409 });
    await story.until(outTradeNo, 'PAID');
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_PAID', status: 409 });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('that does not exist: 404', async () => {
    await expect(cancel('nobody')).rejects.toMatchObject({ code: 'ORDER_UNKNOWN', status: 404 });
  });
});

describe('25 hours after a close, Alipay is asked once more', () => {
  it('all that are due in one sweep, however many a busy day has left', async () => {
    const LEFT = 250;
    await shop.sql(
      `WITH closed AS (
         INSERT INTO orders (id, subject, total_amount, status, created_at, expires_at, closed_at)
         SELECT 'busy-' || n, 'A pot of tea', 12.30, 'CLOSED', now() - interval '50 hours', now() - interval '26 hours', now()
         FROM generate_series(1, :left) AS n RETURNING id, total_amount)
       INSERT INTO payments (out_trade_no, order_id, total_amount, status, recheck_at)
       SELECT replace(id, '-', '_'), id, total_amount, 'CLOSED', now() - interval '1 minute' FROM closed`,
      { left: LEFT },
    );
    expect(((await story.sweep()) as { owed?: number }).owed ?? 0).toBeGreaterThanOrEqual(LEFT);
    expect(await shop.sql(`SELECT FROM payments WHERE recheck_at <= now()`)).toEqual([]);
  });

  it('and finds a late payment, which is refunded', async () => {
    const { orderId, outTradeNo } = await expired('away');
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    await story.pay(outTradeNo);
    expect(await story.sweep()).toMatchObject({ owed: 0 });
    expect(await story.status(outTradeNo)).toBe('CLOSED');

    await story.age('payments', outTradeNo, 'recheck_at', 0);
    expect(await story.sweep()).toMatchObject({ owed: 1 });
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refundedAmount).toBe('12.30');
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('and not again, where there is still no trade', async () => {
    const { outTradeNo } = await expired('away');
    await story.sweep();
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    expect(await story.sweep()).toMatchObject({ owed: 1 });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'CLOSED', recheckAt: null });
    expect(await story.sweep()).toMatchObject({ owed: 0 });
  });

  it('and again later, where the answer is unknown', async () => {
    const { outTradeNo } = await expired('away');
    await story.sweep();
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', outTradeNo, times: 1 });
    expect(await story.sweep()).toMatchObject({ owed: 0 });
    expect((await shop.payments.payment(outTradeNo)).recheckAt?.getTime()).toBeGreaterThan(Date.now());
  });

  it('and again, where the run that was to record the payment was terminated before it did', async () => {
    const { outTradeNo } = await expired('away');
    await story.sweep();
    await story.pay(outTradeNo);
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await shop.stopWorkers();
    try {
      const owed = createOwedActivities(shop.deps);
      const sweeping = () => owed.doWhatIsOwed({ dryRun: false });
      expect(await new MockActivityEnvironment().run(sweeping)).toMatchObject({ done: 1 });
      await story.terminate(outTradeNo);
    } finally {
      await shop.startWorkers();
    }
    expect((await shop.payments.payment(outTradeNo)).recheckAt).not.toBeNull();
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await story.sweep();
    await story.until(outTradeNo, 'REFUNDED');
  });
});
