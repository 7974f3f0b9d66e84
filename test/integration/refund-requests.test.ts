import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { pino } from 'pino';
import { createAlipayQueueActivities } from '../../activities';
import type { AcquireSlot, QuotaLine } from '../../activities/alipay/caller';
import type { GatewaySettings } from '../../activities/alipay/gateway';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { AlipayGateways } from '../../activities/alipay/gateways';
import type { RefundInput } from '../../client/index';
import type { FaultMode } from '../../sandbox';
import type { RefundState } from '../../workflows/messages';
import type { Shop } from '../support';
import { Hands, inActivity, openShop, waitFor } from '../support';
import { Story } from './story';

const QUERY = 'alipay.trade.fastpay.refund.query';

// What may be requested, and one try after the other. No worker runs: the test takes each step itself.

let shop: Shop;
let story: Story;
let hands: Hands;
let activities: ReturnType<typeof createAlipayQueueActivities>;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  story = new Story(shop);
  hands = new Hands(shop);
  activities = createAlipayQueueActivities(shop.deps);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.refunds({ visibleAfterMs: 0, spacingMs: 0, outcomeAfterMs: 0, balance: null });
});

async function paidOrder(totalAmount = '12.30') {
  const checkout = await story.checkOut({ totalAmount });
  await story.pay(checkout.outTradeNo);
  await hands.check(checkout.outTradeNo);
  expect(await story.standing(checkout.orderId)).toBe('PAID: PAID');
  return checkout;
}

let numbers = 0;
const newNumber = (): string => `R-${(numbers += 1)}`;

const ask = (orderId: string, amount: string, refundId = newNumber()) =>
  shop.payments.refund({ orderId, refundId, amount, reason: 'one cup was broken' });

const attempt = (outTradeNo: string, outRequestNo: string): Promise<RefundState> =>
  inActivity(() => activities.refundAtAlipay({ outTradeNo, outRequestNo }));

const hasUnrecorded = async (outTradeNo: string): Promise<boolean> => {
  const sql = `SELECT 1 FROM evidence WHERE out_trade_no = :outTradeNo AND recorded_at IS NULL`;
  return (await shop.sql(sql, { outTradeNo })).length > 0;
};

const endTurn = (outTradeNo: string): Promise<unknown> =>
  shop.sql(`UPDATE payments SET refund_turn_until = NULL WHERE out_trade_no = :outTradeNo`, { outTradeNo });

/** A second refund is requested, its turn has come, and Alipay's query does not show it for an hour. */
async function secondRefundNotVisible(): Promise<{ outTradeNo: string; refundId: string }> {
  const { orderId, outTradeNo } = await paidOrder();
  await ask(orderId, '2.30');
  await hands.refund(outTradeNo);
  const { refundId } = await ask(orderId, '3.00');
  await endTurn(outTradeNo);
  await shop.alipay.control.refunds({ visibleAfterMs: 3_600_000 });
  return { outTradeNo, refundId };
}

describe('a refund that a shop asks for', () => {
  it('gives back a part, then the rest: the order is told of each, and the payment is REFUNDED by the last', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const part = await ask(orderId, '2.30');
    expect(part).toEqual({
      ...{ refundId: part.refundId, orderId, outTradeNo, amount: '2.30', status: 'REQUESTED', kind: 'shop' },
      ...{ reason: 'one cup was broken', because: null, waitsFor: null, requestedBy: 'shop' },
      ...{ requestedAt: expect.any(Date) as unknown, doneAt: null },
    });
    await hands.refund(outTradeNo);
    expect(await shop.payments.refundStatus(part.refundId)).toMatchObject({ status: 'DONE' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'PAID', refundedAmount: '2.30' });
    expect(await shop.payments.order(orderId)).toMatchObject({ status: 'PAID', refundedAmount: '2.30' });

    const rest = await ask(orderId, '10');
    await hands.refund(outTradeNo);
    expect(await shop.payments.refundStatus(rest.refundId)).toMatchObject({
      status: 'DONE',
      amount: '10.00',
    });
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
    const told = await shop.sql(
      `SELECT status, amount, refund_id, refund_amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`,
      { orderId },
    );
    expect(told.slice(1)).toEqual([
      { status: 'PARTIALLY_REFUNDED', amount: '2.30', refund_id: part.refundId, refund_amount: '2.30' },
      { status: 'REFUNDED', amount: '12.30', refund_id: rest.refundId, refund_amount: '10.00' },
    ]);
  });

  it('again is the same refund, made once; with another amount or order it is refused', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const other = await paidOrder();
    const { refundId, ...first } = await ask(orderId, '2.30');
    const again = await Promise.all(Array.from({ length: 10 }, () => ask(orderId, '2.3', refundId)));
    for (const refund of again) expect(refund).toEqual({ refundId, ...first });
    await hands.refund(outTradeNo);
    expect(await ask(orderId, '2.30', refundId)).toMatchObject({ status: 'DONE' });
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);

    for (const [of, amount] of [
      [orderId, '2.31'],
      [other.orderId, '2.30'],
    ] as const)
      await expect(ask(of, amount, refundId)).rejects.toMatchObject({ code: 'REFUND_DIFFERS', status: 409 });
  });

  it('fifty at once of 3.00 each on 100.00: thirty-three are made, to the fen', async () => {
    const { orderId, outTradeNo } = await paidOrder('100.00');
    const asked = await Promise.allSettled(Array.from({ length: 50 }, () => ask(orderId, '3.00')));
    const refused = asked.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
    expect(refused).toHaveLength(17);
    for (const error of refused) expect(error).toMatchObject({ code: 'REFUND_TOO_LARGE', status: 409 });

    await hands.refund(outTradeNo);
    expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ refundedAmount: '99.00' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'PAID',
      refundedAmount: '99.00',
    });
    await expect(ask(orderId, '1.01')).rejects.toMatchObject({ code: 'REFUND_TOO_LARGE' });
    await ask(orderId, '1.00');
    await hands.refund(outTradeNo);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
  });

  it('whose number two orders take in the same moment is the one or the other', async () => {
    const [one, two] = [await paidOrder(), await paidOrder()];
    for (let round = 0; round < 10; round += 1) {
      const refundId = newNumber();
      const ends = await Promise.allSettled([
        ask(one.orderId, '0.01', refundId),
        ask(two.orderId, '0.01', refundId),
      ]);
      const refused = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
      expect(refused).toMatchObject([{ code: 'REFUND_DIFFERS' }]);
    }
  });
});

describe('bad input', () => {
  const good = { orderId: 'order-1', refundId: 'R1', amount: '1.00' };

  it.each<[string, unknown]>([
    ['no fields', undefined],
    ['an amount of 0', { ...good, amount: '0' }],
    ['an amount below 0', { ...good, amount: '-1.00' }],
    ['three decimals', { ...good, amount: '1.001' }],
    ['a number for an amount', { ...good, amount: 1 }],
    ['a number of its own without one', { orderId: 'order-1', amount: '1.00' }],
    ['a number with a blank', { ...good, refundId: 'R 1' }],
    ['a number of 65 letters', { ...good, refundId: 'R'.repeat(65) }],
    ['a number like our own', { ...good, refundId: 'LATE_20261129' }],
    ['a blank reason', { ...good, reason: ' ' }],
    ['an unknown field', { ...good, outTradeNo: 'x' }],
  ])('%s is INVALID_INPUT, and nothing is written', async (_, input) => {
    await expect(shop.payments.refund(input as RefundInput)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      status: 400,
    });
    expect(await shop.sql(`SELECT 1 FROM refunds WHERE out_request_no = 'R1'`)).toEqual([]);
  });

  it('an order that is not there, not paid, or in review', async () => {
    await expect(ask('nowhere', '1.00')).rejects.toMatchObject({ code: 'ORDER_UNKNOWN', status: 404 });
    const open = await story.checkOut();
    await expect(ask(open.orderId, '1.00')).rejects.toMatchObject({ code: 'ORDER_NOT_PAID', status: 409 });
    const { orderId, outTradeNo } = await paidOrder();
    await shop.sql(`UPDATE payments SET review_reason = 'AMOUNT_DIFFERS' WHERE out_trade_no = :outTradeNo`, {
      outTradeNo,
    });
    await expect(ask(orderId, '1.00')).rejects.toMatchObject({ code: 'ORDER_HELD', status: 409 });
    await expect(shop.payments.refundStatus('nowhere')).rejects.toMatchObject({
      code: 'REFUND_UNKNOWN',
      status: 404,
    });
  });

  it("another merchant's order", async () => {
    const { orderId } = await paidOrder();
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway) VALUES ('A/1', 'other', 'A', '1', 'https://x')`,
    );
    await shop.sql(`UPDATE orders SET merchant = 'A/1' WHERE id = :orderId`, { orderId });
    await expect(ask(orderId, '1.00')).rejects.toMatchObject({ code: 'MERCHANT_DIFFERS' });
  });
});

describe('one try', () => {
  it('waits for its turn while another refund of the trade is asked for, and for three seconds after', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const [one, two] = [await ask(orderId, '1.00'), await ask(orderId, '1.00')];
    await shop.alipay.control.latency(300);
    const ends = await Promise.allSettled([
      attempt(outTradeNo, one.refundId),
      attempt(outTradeNo, two.refundId),
    ]);
    await shop.alipay.control.latency(0);
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [turn] = await shop.sql<{ seconds: number }>(
      `SELECT CAST(EXTRACT(EPOCH FROM p.refund_turn_until - r.asked_at) AS float8) AS seconds
       FROM payments p JOIN refunds r USING (out_trade_no)
       WHERE p.out_trade_no = :outTradeNo AND r.asked_at IS NOT NULL`,
      { outTradeNo },
    );
    expect(turn?.seconds).toBeGreaterThanOrEqual(3);
    expect(turn?.seconds).toBeLessThan(45);

    await shop.sql(
      `UPDATE payments SET refund_turn_until = now() + interval '1 minute' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    const { refundId } = ends[0].status === 'rejected' ? one : two;
    const failure: unknown = await attempt(outTradeNo, refundId).catch((error: unknown) => error);
    expect(failure).toMatchObject({ type: 'ALIPAY_BUSY', nonRetryable: false });
    // It tries every three seconds, in case the turn ends sooner.
    expect((failure as { nextRetryDelay: number }).nextRetryDelay).toBeLessThan(4_100);
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);

    await hands.refund(outTradeNo);
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(2);
  });

  it('a turn that nobody ended, since its process died, ends by itself', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '1.00');
    await shop.sql(
      `UPDATE payments SET refund_turn_until = now() - interval '1 ms' WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
  });

  it('is proven by its own query where something was given back before: the answer tells a sum', async () => {
    const { outTradeNo, refundId } = await secondRefundNotVisible();
    await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({
      type: 'ALIPAY_UNKNOWN',
      nextRetryDelay: 10_000,
    });
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({
      ...{ status: 'REQUESTED', waitsFor: 'REFUND_NOT_PROVEN' },
    });
    await shop.alipay.control.refunds({ visibleAfterMs: 0 });
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({ waitsFor: null });
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(2);
  });

  it('whose outcome comes later is asked about again, and made once', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    await shop.alipay.control.refunds({ outcomeAfterMs: 5_000 });
    await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
    await waitFor(async () => (await shop.alipay.control.trade(outTradeNo))?.refundedAmount === '3.00', {
      what: 'the outcome',
    });
    await endTurn(outTradeNo);
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
  });

  it("is asked for slowly while the seller's account is empty, and made when it is filled", async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    await shop.alipay.control.refunds({ balance: '2.99' });
    const half = { type: 'ALIPAY_UNKNOWN', nextRetryDelay: 1_800_000 };
    for (let i = 0; i < 3; i += 1) {
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject(half);
      await endTurn(outTradeNo);
    }
    expect(
      await shop.sql(`SELECT unproven, unfunded FROM refunds WHERE out_request_no = :refundId`, { refundId }),
    ).toEqual([{ unproven: 0, unfunded: 3 }]);
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({
      waitsFor: 'ACQ.SELLER_BALANCE_NOT_ENOUGH',
    });
    await shop.alipay.control.refunds({ balance: '3.00' });
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
  });

  it('says in lists, too, that it waits for the end of a pause, or for an answer that can be used', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    const waitsFor = async () => (await shop.payments.refunds({ orderId })).map((one) => one.waitsFor);
    expect(await waitsFor()).toEqual([null]);
    await shop.sql(`UPDATE refunds SET unknown_since = now() WHERE out_request_no = :refundId`, { refundId });
    expect(await waitsFor()).toEqual(['ALIPAY_UNKNOWN']);
    const pause = { what: 'refunds', actor: 'li', reason: 'a test' } as const;
    await shop.payments.pauses.pause(pause);
    expect(await waitsFor()).toEqual(['REFUNDS_PAUSED']);
    await shop.payments.pauses.resume(pause);
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
    expect(await waitsFor()).toEqual([null]);
  });

  it('of a finished trade is REFUSED with the reason, and the payment stays PAID', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.alipay.control.finish(outTradeNo, { notify: false });
    const { refundId } = await ask(orderId, '3.00');
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'REFUSED' });
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({ because: 'ACQ.TRADE_HAS_FINISHED' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    // What was refused may be requested again.
    expect(await ask(orderId, '12.30')).toMatchObject({ status: 'REQUESTED' });
  });

  describe('and that ends REFUSED', () => {
    const telling = () => {
      const log = pino({ level: 'silent' });
      const told = jest.spyOn(log, 'error');
      const refused: string[] = [];
      const metrics = { ...shop.deps.metrics, refundRefused: (code: string) => void refused.push(code) };
      const deps = { ...shop.deps, log, metrics };
      return { activities: createAlipayQueueActivities(deps), told, refused };
    };

    it('is told to a person, as the order service is not; again where the process died before it had ended', async () => {
      const { orderId, outTradeNo } = await paidOrder();
      await shop.alipay.control.finish(outTradeNo, { notify: false });
      const { refundId: outRequestNo } = await ask(orderId, '3.00');
      const { activities: watched, told, refused } = telling();
      await inActivity(() => watched.refundAtAlipay({ outTradeNo, outRequestNo }));
      const because = 'ACQ.TRADE_HAS_FINISHED';
      const alert = { outTradeNo, outRequestNo, because, code: 'REFUND_REFUSED', alert: true };
      expect(told.mock.calls).toEqual([[alert, expect.any(String)]]);
      await inActivity(() => watched.refundAtAlipay({ outTradeNo, outRequestNo }));
      expect(told).toHaveBeenCalledTimes(2);
      expect(refused).toEqual([because, because]);
      expect(await shop.payments.results(orderId)).toMatchObject([{ status: 'PAID' }]);
    });

    it('because the money went back in the portal, is not told: nobody shall pay the buyer twice', async () => {
      const { orderId, outTradeNo } = await paidOrder();
      const { refundId: outRequestNo } = await ask(orderId, '12.30');
      const refund = { outTradeNo, outRequestNo };
      await shop.alipay.control.refundByHand(outTradeNo, '2.00');
      await waitFor(() => hasUnrecorded(outTradeNo), { what: 'the notification' });
      await hands.hear(outTradeNo);
      await hands.refund(outTradeNo);
      const { activities: watched, told, refused } = telling();
      expect(await inActivity(() => watched.refundAtAlipay(refund))).toMatchObject({ status: 'REFUSED' });
      expect(told).not.toHaveBeenCalled();
      expect(refused).toEqual([]);
    });

    it('because a person withdrew it, is not told', async () => {
      const { orderId, outTradeNo } = await paidOrder();
      const { refundId: outRequestNo } = await ask(orderId, '3.00');
      const refund = { outTradeNo, outRequestNo };
      const { activities: watched, told, refused } = telling();
      const decision = { to: 'REFUSED', actor: 'anna', reason: 'a mistake' } as const;
      await inActivity(() => watched.resolveRefund({ ...refund, ...decision }));
      expect(await inActivity(() => watched.refundAtAlipay(refund))).toMatchObject({ status: 'REFUSED' });
      expect(told).not.toHaveBeenCalled();
      expect(refused).toEqual([]);
    });
  });

  it('was made, and only its query is refused: it is not proven, and never REFUSED', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await ask(orderId, '2.30');
    await hands.refund(outTradeNo);
    const { refundId } = await ask(orderId, '3.00');
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_NOT_EXIST', method: QUERY, outTradeNo });
    // The first try queries after the refund call, the second one before it too.
    for (let i = 0; i < 2; i += 1) {
      await endTurn(outTradeNo);
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
      expect(await shop.payments.refundStatus(refundId)).toMatchObject({ status: 'REQUESTED' });
    }
    await shop.alipay.control.clearFaults();
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(2);
  });

  it('is refused after it was made: its query proves it, and it is DONE', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    await shop.alipay.control.fault({
      ...{ mode: 'ACQ.TRADE_NOT_ALLOW_REFUND', method: 'alipay.trade.refund', outTradeNo },
      ...{ when: 'after', times: 1 },
    });
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '3.00' });
  });

  describe('that ten answers do not prove', () => {
    const nineAnswers = (refundId: string): Promise<unknown> =>
      shop.sql(`UPDATE refunds SET unproven = 9 WHERE out_request_no = :refundId`, { refundId });

    it('comes before a person', async () => {
      const { outTradeNo, refundId } = await secondRefundNotVisible();
      await nineAnswers(refundId);
      expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'REVIEW' });
      expect(await shop.payments.refundStatus(refundId)).toMatchObject({ because: 'REFUND_NOT_PROVEN' });
    });

    it('and was named by a notification alone, is REFUSED: it is not asked for here', async () => {
      const { orderId, outTradeNo } = await paidOrder();
      await shop.sql(
        `INSERT INTO refunds (out_trade_no, out_request_no, order_id, reason, kind, status, requested_by)
         VALUES (:outTradeNo, :refundId, :orderId, 'made in the merchant portal', 'portal', 'REQUESTED', 'alipay')`,
        { outTradeNo, orderId, refundId: `P_${outTradeNo}` },
      );
      const refundId = `P_${outTradeNo}`;
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
      await nineAnswers(refundId);
      expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'REFUSED' });
      expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toEqual([]);
    });

    it('of a late payment, of which Alipay has less left than we know, is REFUSED, and says so', async () => {
      const { orderId, outTradeNo } = await paidOrder();
      const refundId = `LATE_${outTradeNo}`;
      await shop.sql(
        `INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by)
         VALUES (:outTradeNo, :refundId, :orderId, 3, 'r', 'late', 'REQUESTED', 'ledger')`,
        { outTradeNo, orderId, refundId },
      );
      const mode = 'ACQ.REASON_TRADE_REFUND_FEE_ERR';
      await shop.alipay.control.fault({ mode, method: 'alipay.trade.refund', outTradeNo });
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
      await nineAnswers(refundId);
      await endTurn(outTradeNo);
      expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'REFUSED' });
      expect((await shop.payments.refunds({ orderId }))[0]).toMatchObject({ because: mode });
    });
  });

  it('nobody knows what Alipay did: it stays REQUESTED, and keeps its room', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '12.30');
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: 'alipay.trade.refund', outTradeNo });
    for (let i = 0; i < 12; i += 1) {
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
      await endTurn(outTradeNo);
    }
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({ status: 'REQUESTED' });
    await expect(ask(orderId, '0.01')).rejects.toMatchObject({ code: 'REFUND_TOO_LARGE' });
  });

  describe('nobody knows for a day what Alipay did', () => {
    const aDayLater = (outRequestNo: string): Promise<unknown> =>
      shop.sql(
        `UPDATE refunds SET unknown_since = unknown_since - interval '1 day' WHERE out_request_no = :outRequestNo`,
        { outRequestNo },
      );

    it.each<[string, FaultMode, string]>([
      ['its answers are unknown', 'SYSTEM_ERROR', 'ALIPAY_UNKNOWN'],
      ['our configuration is wrong', '40006', 'ALIPAY_MISCONFIGURED'],
    ])('%s: a person decides, and it keeps its room', async (_, mode, type) => {
      const { orderId, outTradeNo } = await paidOrder();
      const { refundId } = await ask(orderId, '12.30');
      await shop.alipay.control.fault({ mode, method: 'alipay.trade.refund', outTradeNo });
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type });
      await aDayLater(refundId);
      await endTurn(outTradeNo);
      expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'REVIEW' });
      expect(await shop.payments.refundStatus(refundId)).toMatchObject({ because: 'REFUND_NOT_PROVEN' });
      await expect(ask(orderId, '0.01')).rejects.toMatchObject({ code: 'REFUND_TOO_LARGE' });
    });

    it('but Alipay has answered between: it goes on', async () => {
      const { orderId, outTradeNo } = await paidOrder();
      const { refundId } = await ask(orderId, '3.00');
      const rule = { method: 'alipay.trade.refund', outTradeNo, times: 1 } as const;
      await shop.alipay.control.fault({ ...rule, mode: 'SYSTEM_ERROR' });
      await shop.alipay.control.fault({ ...rule, mode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH' });
      await shop.alipay.control.fault({ ...rule, mode: 'SYSTEM_ERROR' });
      for (let i = 0; i < 3; i += 1) {
        await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
        await aDayLater(refundId);
        await endTurn(outTradeNo);
      }
      expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
    });

    it('made in the merchant portal it is REFUSED, and what Alipay told of counts as a gap', async () => {
      const { outTradeNo } = await paidOrder();
      await shop.alipay.control.refundByHand(outTradeNo, '2.00');
      await waitFor(() => hasUnrecorded(outTradeNo), { what: 'the notification' });
      await hands.hear(outTradeNo);
      const [portal] = await shop.payments.refunds({
        orderId: (await shop.payments.payment(outTradeNo)).orderId,
      });
      const refundId = portal?.refundId ?? '';
      await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: QUERY, outTradeNo });
      await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
      await aDayLater(refundId);
      expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'REFUSED' });
      expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '2.00' });
    });
  });
});

describe('a try that sends nothing', () => {
  const WHO = { actor: 'anna', reason: 'a bad day' };
  const NOBODY_LISTENS = 'http://127.0.0.1:9/gateway.do';

  const gatewayWith = (settings: Partial<GatewaySettings>, acquireSlot?: AcquireSlot): AlipayGateway =>
    new AlipayGateway({ ...shop.gateway.settings, ...settings }, acquireSlot ? { acquireSlot } : {});

  const attemptBy = (gateway: AlipayGateway, outTradeNo: string, outRequestNo: string) => {
    const cutOff = createAlipayQueueActivities({ ...shop.deps, alipay: new AlipayGateways([gateway]) });
    return inActivity(() => cutOff.refundAtAlipay({ outTradeNo, outRequestNo }));
  };

  const withdraw = (outTradeNo: string, outRequestNo: string): Promise<RefundState> =>
    inActivity(() => activities.resolveRefund({ outTradeNo, outRequestNo, to: 'REFUSED', ...WHO }));

  const askedAt = async (refundId: string): Promise<string | null | undefined> => {
    const sql = `SELECT CAST(asked_at AS text) AS at FROM refunds WHERE out_request_no = :refundId`;
    return (await shop.sql<{ at: string | null }>(sql, { refundId }))[0]?.at;
  };

  afterEach(() => shop.sql(`DELETE FROM pauses`));

  const callsAbout = async (outTradeNo: string): Promise<string[]> =>
    (await story.calls(outTradeNo)).filter((method) => method.includes('refund'));

  it.each<[string, string, () => Promise<AlipayGateway>]>([
    [
      'the quota is used up',
      'ALIPAY_BUSY',
      () => Promise.resolve(gatewayWith({}, () => Promise.resolve(undefined))),
    ],
    ['no connection is made', 'ALIPAY_DOWN', () => Promise.resolve(gatewayWith({ gateway: NOBODY_LISTENS }))],
    [
      'the circuit is open',
      'ALIPAY_DOWN',
      async () => {
        const gateway = gatewayWith({ gateway: NOBODY_LISTENS });
        for (let i = 0; i < 10; i += 1) await gateway.query('breaks_the_circuit').catch(() => undefined);
        expect(gateway.circuit.isOpen).toBe(true);
        return gateway;
      },
    ],
  ])('since %s: it was never asked for, and can be withdrawn while Alipay is down', async (_, type, open) => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '12.00');
    const failure: unknown = await attemptBy(await open(), outTradeNo, refundId).catch(
      (error: unknown) => error,
    );
    expect(failure).toMatchObject({ type });
    // 20 to 40 s.
    expect(Math.floor((failure as { nextRetryDelay: number }).nextRetryDelay / 20_000)).toBe(1);
    expect(await askedAt(refundId)).toBeNull();
    await shop.alipay.control.down(true, 'reset');
    const withdrawn = await withdraw(outTradeNo, refundId).finally(() => shop.alipay.control.down(false));
    expect(withdrawn).toMatchObject({ status: 'REFUSED' });
    await ask(orderId, '12.30');
  });

  it('leaves the time at which it was sent before', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: 'alipay.trade.refund', outTradeNo });
    await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
    const sentAt = await askedAt(refundId);
    expect(sentAt).not.toBeNull();
    await endTurn(outTradeNo);
    // The refund query that precedes it still gets an answer.
    const lost = gatewayWith({ gateway: NOBODY_LISTENS });
    lost.refundQuery = (asked) => shop.gateway.refundQuery(asked);
    await expect(attemptBy(lost, outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_DOWN' });
    expect(await askedAt(refundId)).toBe(sentAt);
    await expect(withdraw(outTradeNo, refundId)).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
  });

  it('since refunds were paused while it waited for its slot; while they are, it takes none', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    let slots = 0;
    const slow = gatewayWith({}, async () => {
      slots += 1;
      await shop.payments.pauses.pause({ what: 'refunds', ...WHO });
      return 1;
    });
    for (let i = 0; i < 2; i += 1) {
      await expect(attemptBy(slow, outTradeNo, refundId)).rejects.toMatchObject({ type: 'REFUNDS_PAUSED' });
      await endTurn(outTradeNo);
    }
    await shop.payments.pauses.resume({ what: 'refunds', ...WHO });
    expect(slots).toBe(1);
    expect(await callsAbout(outTradeNo)).toEqual([]);
    expect(await askedAt(refundId)).toBeNull();
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
  });

  it('since refunds are paused after it was sent: it is queried behind the checks of buyers, and more and more seldom', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    await shop.alipay.control.refunds({ balance: '2.99' });
    await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'ALIPAY_UNKNOWN' });
    await shop.payments.pauses.pause({ what: 'refunds', ...WHO });
    const lines: QuotaLine[] = [];
    const gateway = gatewayWith({}, (line) => {
      lines.push(line);
      return Promise.resolve(0);
    });
    const delays: number[] = [];
    for (const minutes of [0, 2, 60]) {
      await shop.sql(
        `UPDATE refunds SET asked_at = now() - :minutes * interval '1 minute' WHERE out_request_no = :refundId`,
        { minutes, refundId },
      );
      const paused = attemptBy(gateway, outTradeNo, refundId).catch((error: unknown) => error);
      const { type, nextRetryDelay } = (await paused) as { type: string; nextRetryDelay: number };
      expect(type).toBe('REFUNDS_PAUSED');
      delays.push(Math.floor(nextRetryDelay / 10_000));
    }
    expect(delays).toEqual([1, 12, 60]);
    expect(lines).toEqual(['background', 'main', 'background', 'main', 'background', 'main']);
  });

  it('since refunds of its merchant were paused by an id that was corrected twice; all its ids are resumed', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    const { appId, sellerId } = shop.gateway.settings;
    const [first, second, now] = ['2088000000000008', '2088000000000009', sellerId].map(
      (id) => `${appId}/${id}`,
    );
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway, corrected_to) VALUES
         (:first, 'was', :appId, '2088000000000008', 'https://x', :second),
         (:second, 'was', :appId, '2088000000000009', 'https://x', :now)`,
      { appId, first, second, now },
    );
    const { pauses } = shop.payments;
    expect(await pauses.pause({ what: 'refunds', merchant: first ?? '', ...WHO })).toMatchObject({
      merchant: now,
    });
    await expect(attempt(outTradeNo, refundId)).rejects.toMatchObject({ type: 'REFUNDS_PAUSED' });
    expect(new Set((await pauses.list()).map(({ merchant }) => merchant))).toEqual(
      new Set([first, second, now]),
    );
    expect(await pauses.resume({ what: 'refunds', merchant: second ?? '', ...WHO })).toMatchObject({
      merchant: now,
    });
    expect(await pauses.list()).toEqual([]);
    expect(await attempt(outTradeNo, refundId)).toMatchObject({ status: 'DONE' });
  });

  it('since it was withdrawn while it waited for its slot', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    const slow = gatewayWith({}, async () => {
      await withdraw(outTradeNo, refundId);
      return 1;
    });
    expect(await attemptBy(slow, outTradeNo, refundId)).toMatchObject({ status: 'REFUSED' });
    expect(await callsAbout(outTradeNo)).not.toContain('refund');
  });
});

describe('a portal refund that races with one of the shop', () => {
  it('whose notification was lost shows as a gap in the sum when the next refund is made', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '2.00');
    await shop.alipay.control.notifier({});
    const { refundId } = await ask(orderId, '3.00');
    await hands.refund(outTradeNo);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '5.00' });
    expect(await shop.payments.refunds({ orderId })).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ refundId, amount: '3.00', status: 'DONE' }),
        expect.objectContaining({ refundId: 'SEEN_5.00', kind: 'portal', amount: '2.00', status: 'DONE' }),
      ]),
    );
  });

  it('takes the room of one that was asked for and not made: that one is refused', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '12.30');
    await shop.alipay.control.refundByHand(outTradeNo, '2.00');
    await waitFor(() => hasUnrecorded(outTradeNo), { what: 'the notification' });
    await hands.hear(outTradeNo);
    await hands.refund(outTradeNo);
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({ status: 'REFUSED' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'PAID', refundedAmount: '2.00' });
    await ask(orderId, '10.30');
    await hands.refund(outTradeNo);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
  });
});

describe('a refund that waits for a person, while all of its payment has gone back in the portal unheard of', () => {
  it.each([
    ['DONE', ['12.30', '3.00', '12.30']],
    ['REFUSED', ['12.30', '12.30']],
  ] as const)('ends as %s, and the payment is REFUNDED with it', async (to, told) => {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId: outRequestNo } = await ask(orderId, '3.00');
    await shop.sql(
      `UPDATE refunds SET status = 'REVIEW', asked_at = now() - interval '1 hour' WHERE out_request_no = :outRequestNo`,
      { outRequestNo },
    );
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    await shop.alipay.control.notifier({});

    const decision = { outTradeNo, outRequestNo, to, actor: 'anna', reason: 'looked at the portal' };
    expect(await inActivity(() => activities.resolveRefund(decision))).toMatchObject({ status: to });
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '12.30' });
    expect(
      await shop.sql(`SELECT amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`, { orderId }),
    ).toEqual(told.map((amount) => ({ amount })));
    expect((await story.events(outTradeNo, 'answered')).at(-1)).toMatchObject({
      detail: { trade_status: 'TRADE_CLOSED' },
    });
    expect(await hasUnrecorded(outTradeNo)).toBe(false);
  });
});

describe('a refund about which a person decides', () => {
  const decide = (
    { outTradeNo, outRequestNo }: { outTradeNo: string; outRequestNo: string },
    to: 'DONE' | 'REFUSED',
    deps = shop.deps,
  ): Promise<RefundState> => {
    const decision = { outTradeNo, outRequestNo, to, actor: 'anna', reason: 'looked at the portal' };
    return inActivity(() => createAlipayQueueActivities(deps).resolveRefund(decision));
  };

  async function inReview() {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId: outRequestNo } = await ask(orderId, '3.00');
    await shop.sql(
      `UPDATE refunds SET status = 'REVIEW', asked_at = now() - interval '1 hour' WHERE out_request_no = :outRequestNo`,
      { outRequestNo },
    );
    return { orderId, outTradeNo, outRequestNo };
  }

  it('is REFUSED where Alipay has not made it, however often that is said', async () => {
    const refund = await inReview();
    for (let i = 0; i < 2; i += 1)
      expect(await decide(refund, 'REFUSED')).toMatchObject({ status: 'REFUSED' });
    expect(await story.standing(refund.orderId)).toBe('PAID: PAID');
    await ask(refund.orderId, '12.30');
  });

  it('is not DONE where Alipay has not made it', async () => {
    const refund = await inReview();
    await expect(decide(refund, 'DONE')).rejects.toMatchObject({ type: 'REVIEW_REFUSED' });
    expect(await shop.payments.refundStatus(refund.outRequestNo)).toMatchObject({ status: 'REVIEW' });
  });

  it('stays DONE where it was made while Alipay was asked', async () => {
    const refund = await inReview();
    const slow = new AlipayGateway(shop.gateway.settings);
    const query = slow.query.bind(slow);
    slow.query = async (...question) => {
      await shop.sql(
        `UPDATE refunds SET status = 'DONE', done_at = now() WHERE out_request_no = :outRequestNo`,
        refund,
      );
      return query(...question);
    };
    const deps = { ...shop.deps, alipay: new AlipayGateways([slow]) };
    await expect(decide(refund, 'REFUSED', deps)).rejects.toMatchObject({
      type: 'REVIEW_REFUSED',
      message: expect.stringContaining('it is DONE by now') as unknown,
    });
  });
});

describe('a refund that was given up and then made after all', () => {
  async function givenUp() {
    const { orderId, outTradeNo } = await paidOrder();
    const { refundId } = await ask(orderId, '3.00');
    await shop.sql(
      `UPDATE refunds SET status = 'REFUSED', asked_at = now() - interval '1 hour' WHERE out_request_no = :refundId`,
      { refundId },
    );
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.deps.alipay.own.refund({ outTradeNo, outRequestNo: refundId, amount: '3.00', reason: 'late' });
    await shop.alipay.control.notifier({});
    return { orderId, outTradeNo, refundId };
  }

  it('counts once Alipay names it', async () => {
    const { outTradeNo, refundId } = await givenUp();
    await shop.alipay.control.notify(outTradeNo);
    await hands.hear(outTradeNo);
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({ status: 'DONE' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '3.00' });
  });

  it('counts once too where it had stood for a gap in the sum before', async () => {
    const { orderId, outTradeNo, refundId } = await givenUp();
    await shop.alipay.control.notify(outTradeNo, { out_biz_no: '' });
    await hands.hear(outTradeNo);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '3.00' });
    // A person decides about the payment, and that queries Alipay about every refund of it.
    await hands.decide(outTradeNo, 'REFUNDING');
    await hands.refund(outTradeNo);
    expect(await shop.payments.refundStatus(refundId)).toMatchObject({ status: 'DONE' });
    expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ refundedAmount: '12.30' });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'REFUNDED',
      refundedAmount: '12.30',
    });
    expect(
      await shop.sql(`SELECT amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`, { orderId }),
    ).toEqual(['12.30', '3.00', '12.30'].map((amount) => ({ amount })));
  });
});
