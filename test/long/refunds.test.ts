import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import { revivePayment } from '../../activities/payment-workflow';
import { storeAnswer } from '../../activities/payments';
import { insertRefund } from '../../db/refunds';
import type { PaymentState, RefundState } from '../../workflows/messages';
import { QUERIES, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { inActivity, openShop, waitFor } from '../support';
import { Story } from '../integration/story';

const REFUND = 'alipay.trade.refund';

let shop: Shop;
let story: Story;
/** Its buyers have time to pay before the last check, even on a busy machine. */
let unhurried: Story;
let gatewayCalls: ReturnType<typeof createAlipayQueueActivities>;
let writes: ReturnType<typeof createPaymentsQueueActivities>;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { intervalMs: 1_000 } });
  story = new Story(shop);
  unhurried = new Story(shop, shop.clientWith({ intervalMs: 5_000 }));
  gatewayCalls = createAlipayQueueActivities(shop.deps);
  writes = createPaymentsQueueActivities(shop.deps);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.down(false);
  await shop.alipay.control.refunds({ visibleAfterMs: 0, spacingMs: 0 });
});

/** An order that is CLOSED here, whose payment can still be made at Alipay. */
async function closedOrder() {
  const checkout = await story.checkOut();
  await story.ended(checkout.outTradeNo);
  await story.expire(checkout.orderId);
  await story.sweep();
  expect(await story.standing(checkout.orderId)).toBe('CLOSED: CLOSED');
  return checkout;
}

/** The number of the first refund that is decided here. */
const numberOf = (outTradeNo: string): string => `LATE_${outTradeNo}`;

/** One try of the activity, as the worker makes it, with the pause after the last try over. */
const refund = async (outTradeNo: string): Promise<RefundState> => {
  await shop.sql(`UPDATE payments SET refund_turn_until = NULL WHERE out_trade_no = :outTradeNo`, {
    outTradeNo,
  });
  return inActivity(() => gatewayCalls.refundAtAlipay({ outTradeNo, outRequestNo: numberOf(outTradeNo) }));
};

const refundsOf = async (outTradeNo: string) => (await shop.alipay.control.trade(outTradeNo))?.refunds ?? [];

/** The row says REFUNDING, its refund is REQUESTED, and no run advances it: the test does. */
async function refundingAlone() {
  const checkout = await story.checkOut();
  const { orderId, outTradeNo } = checkout;
  // First end its run, which might find it paid.
  await story.terminate(outTradeNo);
  await story.pay(outTradeNo);
  await shop.sql(
    `UPDATE payments SET status = 'REFUNDING', paid_amount = 12.30, revive_at = now() + interval '1 hour'
     WHERE out_trade_no = :no`,
    { no: outTradeNo },
  );
  await insertRefund(shop.db, {
    ...{ orderId, outTradeNo, outRequestNo: numberOf(outTradeNo), amount: '12.30', kind: 'late' },
    reason: 'too late',
    requestedBy: 'a test',
  });
  return checkout;
}

const failureOf = (call: Promise<unknown>): Promise<ApplicationFailure> =>
  call.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => {
      if (error instanceof ApplicationFailure) return error;
      throw error;
    },
  );

describe('an order that is paid in two tabs', () => {
  it("with every notification lost: one PAID, one REFUNDED, without anybody's help", async () => {
    const { orderId, outTradeNo } = await unhurried.checkOut();
    const other = await unhurried.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(outTradeNo);
    await story.pay(other.outTradeNo);
    const ends = await Promise.all([story.ended(outTradeNo), story.ended(other.outTradeNo)]);
    expect(ends.map(({ status }) => status).sort()).toEqual(['PAID', 'REFUNDED']);
    expect(await story.standing(orderId)).toBe('PAID: PAID, REFUNDED');

    const refunded = (await Promise.all([outTradeNo, other.outTradeNo].map(refundsOf))).flat();
    expect(refunded).toMatchObject([{ amount: '12.30' }]);
    expect(await story.told(orderId, 1)).toHaveLength(1);
  });

  it('with both notifications at once: the same', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await Promise.all([
      story.pay(outTradeNo, { notify: true }),
      story.pay(other.outTradeNo, { notify: true }),
    ]);
    const ends = await Promise.all([story.ended(outTradeNo), story.ended(other.outTradeNo)]);
    expect(ends.map(({ status }) => status).sort()).toEqual(['PAID', 'REFUNDED']);
    expect(await story.standing(orderId)).toBe('PAID: PAID, REFUNDED');
  });

  it('the second one long after, with no run left: the follow-up finds it when its time is over', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await story.ended(other.outTradeNo);
    await shop.payments.followUp.run();
    expect(await story.status(other.outTradeNo)).toBe('UNPAID');

    await story.pay(other.outTradeNo);
    await story.expire(orderId);
    await story.age('payments', other.outTradeNo, 'recheck_at', 0);
    await shop.payments.followUp.run();
    await story.until(other.outTradeNo, 'REFUNDED');
    expect(await story.standing(orderId)).toBe('PAID: PAID, REFUNDED');
    expect(await refundsOf(outTradeNo)).toEqual([]);
  });
});

describe('a payment that comes after its order was closed', () => {
  it('is refunded in full under its fixed number, and the order service never hears of it', async () => {
    const { orderId, outTradeNo } = await closedOrder();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'REFUNDED');
    expect(await refundsOf(outTradeNo)).toMatchObject([
      { outRequestNo: `LATE_${outTradeNo}`, amount: '12.30' },
    ]);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      refundedAmount: '12.30',
      refundedAt: expect.any(Date) as unknown,
    });
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('is refunded once, though the answer to the refund was lost and the proof comes late', async () => {
    const { outTradeNo } = await closedOrder();
    await shop.alipay.control.fault({ mode: 'reset', method: REFUND, outTradeNo, when: 'after', times: 1 });
    await shop.alipay.control.refunds({ visibleAfterMs: 8_000 });
    await story.pay(outTradeNo, { notify: true });
    await waitFor(async () => (await refundsOf(outTradeNo)).length === 1, { what: 'the refund' });
    expect(await story.status(outTradeNo)).toBe('REFUNDING');
    await story.until(outTradeNo, 'REFUNDED', 120_000);
    expect(await refundsOf(outTradeNo)).toHaveLength(1);
  });

  it('goes to a person where Alipay refuses the refund', async () => {
    const { orderId, outTradeNo } = await closedOrder();
    await shop.alipay.control.fault({ mode: 'ACQ.TRADE_NOT_ALLOW_REFUND', method: REFUND, outTradeNo });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'REVIEW');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      reviewReason: 'REFUND_REFUSED ACQ.TRADE_NOT_ALLOW_REFUND',
    });
    expect(await story.standing(orderId)).toBe('CLOSED: REVIEW');
    expect(await story.isRunning(outTradeNo)).toBe(true);
  });

  it('goes to a person by policy', async () => {
    await shop.stopWorkers();
    shop.deps.latePaymentPolicy = 'review';
    await shop.startWorkers();
    try {
      const { outTradeNo } = await closedOrder();
      await story.pay(outTradeNo, { notify: true });
      await story.until(outTradeNo, 'REVIEW');
      expect(await shop.payments.payment(outTradeNo)).toMatchObject({ reviewReason: 'LATE_PAYMENT' });
      expect(await refundsOf(outTradeNo)).toEqual([]);
    } finally {
      await shop.stopWorkers();
      shop.deps.latePaymentPolicy = 'refund';
      await shop.startWorkers();
    }
  });
});

describe('a good payment', () => {
  it('is never refunded, however often its evidence is recorded again', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
    for (let i = 0; i < 20; i += 1) {
      await shop.sql(`UPDATE evidence SET recorded_at = NULL WHERE out_trade_no = :outTradeNo`, {
        outTradeNo,
      });
      const both = await Promise.all([
        writes.recordAndTell({ outTradeNo }),
        writes.recordAndTell({ outTradeNo }),
      ]);
      for (const { status } of both) expect(status).toBe('PAID');
    }
    expect(await story.events(outTradeNo, 'paid')).toHaveLength(1);
    expect(await refundsOf(outTradeNo)).toEqual([]);
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('is recorded once where twenty recordings of it race', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.terminate(outTradeNo);
    await story.pay(outTradeNo);
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
    const race = Array.from({ length: 20 }, () => writes.recordAndTell({ outTradeNo }));
    for (const { status } of await Promise.all(race)) expect(status).toBe('PAID');
    expect(await story.events(outTradeNo, 'paid')).toHaveLength(1);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('knows of no refund that nobody asked for', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await failureOf(refund(outTradeNo))).toMatchObject({ type: 'REFUND_UNKNOWN', nonRetryable: true });
    expect(await refundsOf(outTradeNo)).toEqual([]);
  });
});

describe('a refund whose end could not be told', () => {
  it("is DONE, and the next try tells the payment's run", async () => {
    const { orderId, outTradeNo } = await refundingAlone();
    await revivePayment(shop.temporal, { outTradeNo, orderId, totalAmount: '12.30', status: 'REFUNDING' });
    const run = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await waitFor(async () => (await run.query<PaymentState>(QUERIES.payment)).status === 'REFUNDING', {
      what: 'the run to wait for its refund',
    });
    const temporal = new Client({ connection: Connection.lazy({ address: '127.0.0.1:9' }) });
    const cutOff = createAlipayQueueActivities({ ...shop.deps, temporal });
    const ending = inActivity(() =>
      cutOff.refundAtAlipay({ outTradeNo, outRequestNo: numberOf(outTradeNo) }),
    );
    expect(await failureOf(ending)).toMatchObject({ type: 'TEMPORAL_UNAVAILABLE', nonRetryable: false });
    expect(await story.status(outTradeNo)).toBe('REFUNDED');

    expect(await refund(outTradeNo)).toMatchObject({ status: 'DONE' });
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'REFUNDED' });
  });
});

describe('a refund that cannot be made now', () => {
  it('because our configuration is wrong is tried again, and does not end the run', async () => {
    const { outTradeNo } = await refundingAlone();
    await shop.alipay.control.fault({ mode: '40006', method: REFUND, outTradeNo });
    expect(await failureOf(refund(outTradeNo))).toMatchObject({
      type: 'ALIPAY_MISCONFIGURED',
      nonRetryable: false,
    });
    expect(await story.status(outTradeNo)).toBe('REFUNDING');
  });

  it('because the circuit is open is made when the gateway is back, by the same run', async () => {
    const alone = await refundingAlone();
    const { outTradeNo } = await closedOrder();
    await story.pay(outTradeNo);
    await shop.alipay.control.down(true, 'reset');
    await waitFor(
      async () => {
        await shop.gateway.query('breaks_the_circuit').catch(() => undefined);
        return shop.gateway.circuit.isOpen;
      },
      { what: 'the breaker to open', everyMs: 1 },
    );
    expect(await failureOf(refund(alone.outTradeNo))).toMatchObject({
      type: 'ALIPAY_DOWN',
      nonRetryable: false,
    });
    await shop.alipay.control.notify(outTradeNo);
    await story.until(outTradeNo, 'REFUNDING');
    await shop.alipay.control.down(false);
    await story.until(outTradeNo, 'REFUNDED', 120_000);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'REFUNDED' });
  });
});

describe('a refund that Alipay never proves', () => {
  it('goes to a person at last, with the reason', async () => {
    const { outTradeNo } = await refundingAlone();
    await shop.alipay.control.refunds({ visibleAfterMs: 3_600_000 });
    await shop.alipay.control.fault({ mode: 'reset', method: REFUND, outTradeNo, when: 'after', times: 1 });
    await failureOf(refund(outTradeNo));
    let tries = 0;
    await waitFor(
      async () => {
        tries += 1;
        return refund(outTradeNo).then(
          ({ status }) => status === 'REVIEW',
          () => false,
        );
      },
      { what: 'the payment to be in REVIEW', everyMs: 1 },
    );
    expect(tries).toBeGreaterThan(5);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'REVIEW',
      reviewReason: 'REFUND_NOT_PROVEN',
    });
    expect(await refundsOf(outTradeNo)).toHaveLength(1);
  });

  it("waits longer for a seller's balance, then is REFUSED and the payment goes to a person", async () => {
    const { outTradeNo } = await refundingAlone();
    await shop.alipay.control.fault({ mode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH', method: REFUND, outTradeNo });
    const failure = await failureOf(refund(outTradeNo));
    expect(failure).toMatchObject({ nonRetryable: false, nextRetryDelay: 1_800_000 });
    await waitFor(
      () =>
        refund(outTradeNo).then(
          ({ status }) => status === 'REFUSED',
          () => false,
        ),
      { what: 'the refund to be REFUSED', everyMs: 1 },
    );
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'REVIEW',
      reviewReason: 'REFUND_REFUSED ACQ.SELLER_BALANCE_NOT_ENOUGH',
    });
  });

  it("a seller's empty account does not count against the proof", async () => {
    const { outTradeNo } = await refundingAlone();
    await shop.alipay.control.fault({
      mode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH',
      method: REFUND,
      outTradeNo,
      times: 10,
    });
    for (let i = 0; i < 10; i += 1) await failureOf(refund(outTradeNo));
    // The account is topped up, the refund is made, its answer is lost, and the proof comes late.
    await shop.alipay.control.refunds({ visibleAfterMs: 3_600_000 });
    await shop.alipay.control.fault({ mode: 'reset', method: REFUND, outTradeNo, when: 'after', times: 1 });
    await failureOf(refund(outTradeNo));
    expect(await failureOf(refund(outTradeNo))).toMatchObject({ nextRetryDelay: 10_000 });
    expect(await story.status(outTradeNo)).toBe('REFUNDING');

    await shop.alipay.control.refunds({ visibleAfterMs: 0 });
    expect(await refund(outTradeNo)).toMatchObject({ status: 'DONE' });
    expect(await refundsOf(outTradeNo)).toHaveLength(1);
  });

  it('an outage does not count against the proof', async () => {
    const { outTradeNo } = await refundingAlone();
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', method: REFUND, outTradeNo });
    for (let i = 0; i < 30; i += 1) await failureOf(refund(outTradeNo));
    await shop.alipay.control.clearFaults();
    expect(await refund(outTradeNo)).toMatchObject({ status: 'DONE' });
  });
});
