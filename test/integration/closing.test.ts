import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
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
  // Payments make no checks: here the sweep and the shop's cancel query Alipay.
  shop = await openShop(__filename, { payments: { checks: 0 }, alipay: { timeoutMs: 5_000 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.latency(0);
  await story.forgetOthers();
});

/** Runs something after Alipay has answered the next query, and before the answer is read. */
function afterNextQuery(happens: () => Promise<void>): void {
  const { gateway: alipay } = shop;
  const query = alipay.query.bind(alipay);
  alipay.query = async (...question) => {
    alipay.query = query;
    const answer = await query(...question);
    await happens();
    return answer;
  };
}

/** An order whose payment was scanned, paid, closed at Alipay, or never opened there. */
async function expired(buyer: 'away' | 'scanned' | 'paid' | 'closed', { expire = true } = {}) {
  const checkout = await story.checkOut();
  const { outTradeNo, orderId } = checkout;
  if (buyer === 'scanned' || buyer === 'closed') await shop.alipay.control.scan(outTradeNo);
  if (buyer === 'paid') await story.pay(outTradeNo);
  if (buyer === 'closed') await shop.gateway.close(outTradeNo);
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

  it('all payments of an order or none: one paid in another tab rescues it', async () => {
    const { orderId, outTradeNo } = await expired('scanned', { expire: false });
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(other.outTradeNo);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 1 });
    await story.until(other.outTradeNo, 'PAID');
    expect(await story.sweep()).toMatchObject({ scanned: 0 });
    expect(await story.standing(orderId)).toBe('PAID: PAID, UNPAID');
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
    await story.endPause(orderId);
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
    // Latency delays the answer, not the effect: after the query the buyer wins, after the close Alipay does.
    expect(paid).toBe(during === 'query');
  });
});

describe('the sweep never takes a status error for "closed"', () => {
  it('where Alipay says afterwards that there is no such trade', async () => {
    const { orderId, outTradeNo } = await expired('away');
    // Alipay's first, true answer was "no such trade"; then the buyer pays, and that old answer is replayed.
    expect((await shop.gateway.query(outTradeNo)).answer).toBe('not-exist');
    await story.pay(outTradeNo);
    await shop.alipay.control.fault({ mode: 'stale', method: QUERY, outTradeNo });
    expect(await story.sweep()).toMatchObject({ closed: 0, held: 1, heldIds: [orderId] });
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');

    await shop.alipay.control.clearFaults();
    await story.endPause(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 1 });
    await story.until(outTradeNo, 'PAID');
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('where Alipay still says that it waits', async () => {
    const { orderId, outTradeNo } = await expired('scanned');
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_STATUS_ERROR', method: CLOSE, outTradeNo, times: 1 });
    expect(await story.sweep()).toMatchObject({ closed: 0, held: 1 });
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');
    await story.endPause(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
  });

  it('where a trade that was there is said not to be', async () => {
    const { orderId, outTradeNo } = await expired('scanned');
    afterNextQuery(async () => {
      for (const method of [QUERY, CLOSE]) {
        await shop.alipay.control.fault({ mode: 'ACQ.TRADE_NOT_EXIST', method, outTradeNo, times: 1 });
      }
    });
    expect(await story.sweep()).toMatchObject({ closed: 0, held: 1 });
    expect(await story.calls(outTradeNo)).toEqual(['query', 'close', 'query']);
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID');
    await story.endPause(orderId);
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
    // An open circuit breaker would skip the queries of the later ones: so fewer in a row than open it.
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
        await story.endPause(...orderIds);
        await story.sweep();
        const standings = await Promise.all(orderIds.map((orderId) => story.standing(orderId)));
        return standings.every((standing) => standing === 'CLOSED: CLOSED');
      },
      { what: 'the next sweeps to close them all', timeoutMs: 30_000, everyMs: 500 },
    );
  }
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
    // The transaction that closes this one fails at its last statement but one.
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
    const unclear = await expired('scanned');
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', outTradeNo: unclear.outTradeNo, times: 1 });
    const before = await story.everything();
    const report = await story.sweep({ dryRun: true });
    expect(report).toMatchObject({ scanned: 4, closed: 2, rescued: 1, held: 1, heldIds: [unclear.orderId] });
    expect(await story.everything()).toEqual(before);
    for (const { outTradeNo } of [away, scanned, paid, unclear]) {
      expect(await story.calls(outTradeNo)).toEqual(['query']);
    }
    expect((await shop.alipay.control.trade(scanned.outTradeNo))?.status).toBe('WAIT_BUYER_PAY');
    expect(await story.sweep()).toMatchObject({ closed: 3, rescued: 1 });
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

  it('with a page not scanned and one that is: held, and nothing is closed at Alipay', async () => {
    const { orderId, outTradeNo } = await expired('scanned', { expire: false });
    await story.secondTab(orderId, `${outTradeNo}b`);
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    expect((await shop.alipay.control.trade(outTradeNo))?.status).toBe('WAIT_BUYER_PAY');
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
  });

  it('with a payment in review: held, and nothing is asked', async () => {
    const { orderId, outTradeNo } = await expired('scanned', { expire: false });
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(outTradeNo);
    await shop.alipay.control.notify(outTradeNo, { total_amount: '12.31' });
    await story.until(outTradeNo, 'REVIEW');
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    await expect(story.checkOut({ orderId })).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    expect(await story.calls(other.outTradeNo)).toEqual([]);
    await story.terminate(outTradeNo);
  });

  it('that is paid: refused, whether that was known or not', async () => {
    const { orderId, outTradeNo } = await expired('paid', { expire: false });
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_PAID', status: 409 });
    await story.until(outTradeNo, 'PAID');
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_PAID', status: 409 });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('whose buyer has paid at a price that it no longer has: held, not paid, and the money goes back', async () => {
    const { orderId, outTradeNo } = await expired('away', { expire: false });
    await story.checkOut({ orderId, totalAmount: '8.00', reprice: true });
    await story.pay(outTradeNo);
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    await story.until(outTradeNo, 'REFUNDED');
    expect(await story.standing(orderId)).toBe('UNPAID: REFUNDED, UNPAID');
  });

  it('whose buyer has paid at the old price in one tab, and at the new one in another: refused', async () => {
    const { orderId, outTradeNo } = await expired('away', { expire: false });
    const other = await story.checkOut({ orderId, totalAmount: '8.00', reprice: true });
    await story.pay(outTradeNo);
    await story.pay(other.outTradeNo);
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_PAID', status: 409 });
    await story.until(other.outTradeNo, 'PAID');
  });

  it('of which Alipay took another amount: held for a person', async () => {
    const { orderId, outTradeNo } = await expired('away', { expire: false });
    await story.payTooMuch(outTradeNo);
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    await story.until(outTradeNo, 'REVIEW');
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
    await story.terminate(outTradeNo);
  });

  it('whose trade was paid and then closed: held for a person', async () => {
    const { orderId, outTradeNo } = await expired('paid', { expire: false });
    await shop.gateway.refund({ outTradeNo, outRequestNo: 'by-hand', amount: '12.30', reason: 'by hand' });
    await expect(cancel(orderId)).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    await story.until(outTradeNo, 'REVIEW');
    await story.terminate(outTradeNo);
  });

  it('that does not exist: 404', async () => {
    await expect(cancel('nobody')).rejects.toMatchObject({ code: 'ORDER_UNKNOWN', status: 404 });
  });
});
