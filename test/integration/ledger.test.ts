import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { readEvidence } from '../../activities/evidence';
import { storeAnswer } from '../../activities/payments';
import { closeOrderWithPayments, recordEvidence } from '../../db/ledger';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 }, alipay: { timeoutMs: 1_000 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

const undeliveredOf = (orderId: string) =>
  shop.sql(`SELECT id FROM order_messages WHERE order_id = :orderId AND told_at IS NULL`, { orderId });

async function paidOrder() {
  const checkout = await story.checkOut();
  await story.pay(checkout.outTradeNo, { notify: true });
  await story.until(checkout.outTradeNo, 'PAID');
  await story.ended(checkout.outTradeNo);
  await story.told(checkout.orderId, 1);
  return checkout;
}

describe('what the order service was not told', () => {
  it('is told by the sweep after a minute, under the id that it acts on once', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const id = `PAID-${outTradeNo}`;
    await shop.sql(`UPDATE order_messages SET told_at = NULL WHERE id = :id`, { id });
    expect(await story.sweep()).toMatchObject({ owed: 0 });
    expect(await undeliveredOf(orderId)).toHaveLength(1);

    await story.age('order_messages', id, 'created_at', 1 / 59);
    expect(await story.sweep()).toMatchObject({ owed: 1 });
    expect(await undeliveredOf(orderId)).toEqual([]);
    await shop.temporal.workflow.getHandle(orderWorkflowId(orderId)).result();
    expect(await story.told(orderId, 1)).toEqual([id]);
  });

  it('is told also where the run that recorded it was terminated right after', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await story.terminate(outTradeNo).catch(() => undefined);
    await storeAnswer(shop.db, outTradeNo, 0, await shop.deps.alipay.query(outTradeNo));
    const rules = { read: readEvidence, policy: 'refund' } as const;
    expect(await recordEvidence(shop.db, outTradeNo, rules)).toMatchObject({
      recorded: { status: 'PAID', undelivered: true },
    });
    await story.age('order_messages', `PAID-${outTradeNo}`, 'created_at', 1);
    await story.sweep();
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('is told while the gateway is down, too', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.sql(
      `UPDATE order_messages SET told_at = NULL, created_at = now() - interval '1 hour' WHERE order_id = :orderId`,
      { orderId },
    );
    await shop.alipay.control.down(true, 'reset');
    await waitFor(
      async () => {
        await shop.deps.alipay.query('breaks_the_circuit').catch(() => undefined);
        return shop.deps.alipay.circuit.isOpen;
      },
      { what: 'the breaker to open', everyMs: 1 },
    );
    expect(await story.sweep()).toMatchObject({ owed: 1, gatewayDown: true });
    expect(await undeliveredOf(orderId)).toEqual([]);
    await shop.alipay.control.down(false);
    await waitFor(
      () =>
        shop.deps.alipay.query(outTradeNo).then(
          () => true,
          () => false,
        ),
      { what: 'the breaker to close', timeoutMs: 20_000, everyMs: 500 },
    );
  });
});

describe('a payment whose run was terminated', () => {
  it('in REFUNDING is refunded by a new run after an hour, and not before', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await story.pay(outTradeNo);
    await shop.sql(
      `UPDATE payments SET status = 'REFUNDING', updated_at = now() WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    await story.sweep();
    expect(await story.isRunning(outTradeNo)).toBe(false);
    await story.age('payments', outTradeNo, 'updated_at', 1.01);
    await story.sweep();
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
  });

  it('in REFUNDING with the refund made and its answer lost is refunded once', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await story.pay(outTradeNo);
    await shop.deps.alipay.refund({
      outTradeNo,
      amount: '12.30',
      outRequestNo: `LATE_${outTradeNo}`,
      reason: 'before the crash',
    });
    await shop.sql(
      `UPDATE payments SET status = 'REFUNDING', updated_at = now() - interval '2 hours' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await story.sweep();
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
  });

  it('in REVIEW gets a new one at once, which waits for the decision', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo);
    await shop.alipay.control.notify(outTradeNo, { total_amount: '12.31' });
    await story.until(outTradeNo, 'REVIEW');
    await story.terminate(outTradeNo);
    expect(await story.isRunning(outTradeNo)).toBe(false);
    await story.sweep();
    await waitFor(() => story.isRunning(outTradeNo), { what: 'a new run' });
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', actor: 'anna', reason: 'r' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    await story.told(orderId, 1);
  });

  it('while it waited for checks, with the trade paid and the notification lost, is found at expiry', async () => {
    const orderId = 'terminated';
    const { outTradeNo } = await story.checkOut({ orderId, closeBy: 'timer' });
    expect(await story.isRunning(outTradeNo)).toBe(true);
    await story.pay(outTradeNo);
    await story.terminate(outTradeNo);
    await shop.sql(`UPDATE orders SET expires_at = now() - interval '10 minutes' WHERE id = :orderId`, {
      orderId,
    });
    expect(await story.sweep()).toMatchObject({ rescued: 1, closed: 0 });
    await story.until(outTradeNo, 'PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('with a notification that nobody recorded is found at expiry', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.stopWorkers();
    try {
      await story.pay(outTradeNo);
      expect(await shop.alipay.control.notify(outTradeNo)).toMatchObject({ body: 'success' });
      await story.terminate(outTradeNo);
    } finally {
      await shop.startWorkers();
    }
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    await story.until(outTradeNo, 'PAID');
  });
});

describe('a leftover UNPAID payment of a settled order', () => {
  it('is closed at Alipay first, and alone', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await shop.alipay.control.scan(other.outTradeNo);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await story.sweep()).toMatchObject({ owed: 1 });
    expect((await shop.alipay.control.trade(other.outTradeNo))?.status).toBe('TRADE_CLOSED');
    expect(await story.standing(orderId)).toBe('PAID: CLOSED, PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it("is left open while Alipay's answer is unknown, and does not block the others", async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const [b, c] = [
      await story.secondTab(orderId, `${outTradeNo}b`),
      await story.secondTab(orderId, `${outTradeNo}c`),
    ];
    for (const tab of [b, c]) await shop.alipay.control.scan(tab.outTradeNo);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', outTradeNo: b.outTradeNo });
    expect(await story.sweep()).toMatchObject({ owed: 1 });
    expect(await story.status(b.outTradeNo)).toBe('UNPAID');
    expect(await story.status(c.outTradeNo)).toBe('CLOSED');
    await shop.alipay.control.clearFaults();
    await story.age('payments', b.outTradeNo, 'recheck_at', 0);
    expect(await story.sweep()).toMatchObject({ owed: 1 });
    expect(await story.status(b.outTradeNo)).toBe('CLOSED');
  });
});

describe('a database that was restored to before the payment', () => {
  it('learns of it again, and the order service acts once', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.sql(
      `UPDATE payments SET status = 'UNPAID', trade_no = NULL WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await shop.sql(`UPDATE orders SET status = 'UNPAID', paid_at = NULL WHERE id = :orderId`, { orderId });
    await shop.sql(`DELETE FROM order_messages WHERE order_id = :orderId`, { orderId });
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    await story.until(outTradeNo, 'PAID');
    await waitFor(async () => (await undeliveredOf(orderId)).length === 0, {
      what: 'the order service to be told again',
    });
    await shop.temporal.workflow.getHandle(orderWorkflowId(orderId)).result();
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });
});

describe('an order and its payments are closed together or not at all', () => {
  const close = (orderId: string, ...asked: string[]) =>
    closeOrderWithPayments(shop.db, {
      orderId,
      asked: asked.map((outTradeNo) => ({ outTradeNo, recheckInMs: null })),
      actor: 'a test',
      reason: 'expired',
    });

  it('not where a payment was opened that Alipay was not asked about', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    expect(await close(orderId, outTradeNo)).toBe('changed');
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID, UNPAID');
    expect(await close(orderId, outTradeNo, other.outTradeNo)).toBe('closed');
    expect(await close(orderId, outTradeNo, other.outTradeNo)).toBe('already-closed');
  });

  it('not where the payment became PAID, REFUNDING or REVIEW meanwhile', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    expect(await close(orderId, outTradeNo)).toBe('paid');
    const held = await story.checkOut();
    await shop.sql(`UPDATE payments SET status = 'REVIEW' WHERE out_trade_no = :no`, { no: held.outTradeNo });
    expect(await close(held.orderId, held.outTradeNo)).toBe('held');
    expect(await close(held.orderId)).toBe('held');
  });

  it('against a checkout at the same moment: the order ends open with both, or closed with none', async () => {
    for (let i = 0; i < 10; i += 1) {
      const { orderId, outTradeNo } = await story.checkOut();
      const [closed, opened] = await Promise.allSettled([
        close(orderId, outTradeNo),
        story.secondTab(orderId, `${outTradeNo}b`),
      ]);
      const standing = await story.standing(orderId);
      if (opened.status === 'fulfilled') {
        expect(closed).toMatchObject({ value: 'changed' });
        expect(standing).toBe('UNPAID: UNPAID, UNPAID');
      } else {
        expect(opened.reason).toMatchObject({ code: 'ORDER_CLOSED' });
        expect(closed).toMatchObject({ value: 'closed' });
        expect(standing).toBe('CLOSED: CLOSED');
      }
    }
  });
});

describe('checkouts at the same moment', () => {
  it('of one order give one payment and one run', async () => {
    await shop.payments.registerOrder({ orderId: 'double-click', subject: 'tea', totalAmount: '12.30' });
    const place = () =>
      shop.payments.checkout({ orderId: 'double-click', subject: 'tea', totalAmount: '12.30' });
    const all = await Promise.all(Array.from({ length: 8 }, place));
    expect(new Set(all.map(({ outTradeNo }) => outTradeNo)).size).toBe(1);
    expect(
      new Set(all.map(({ paymentUrl }) => new URL(paymentUrl).searchParams.get('biz_content'))).size,
    ).toBe(1);
    expect(await shop.payments.payments({ orderId: 'double-click' })).toHaveLength(1);
  });

  it('of two orders with one outTradeNo: one gets it, the other is told that it is taken', async () => {
    for (let i = 0; i < 10; i += 1) {
      const outTradeNo = `shared_${i}`;
      const settled = await Promise.allSettled(
        ['x', 'y'].map((order) => story.checkOut({ orderId: `${order}-${i}`, outTradeNo })),
      );
      const refused = settled.filter((one) => one.status === 'rejected');
      expect(refused).toMatchObject([{ reason: { code: 'OUT_TRADE_NO_TAKEN', status: 409 } }]);
      const [row] = await shop.sql<{ orders: number }>(
        `SELECT CAST(count(*) AS integer) AS orders FROM payments WHERE out_trade_no = :outTradeNo`,
        { outTradeNo },
      );
      expect(row?.orders).toBe(1);
      await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
    }
  });
});
