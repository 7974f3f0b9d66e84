import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import { tellFromOutbox } from '../../activities/orders';
import { storeAnswer } from '../../activities/payments';
import { tellRefunds } from '../../activities/refund-workflow';
import { recordReview } from '../../db/ledger';
import { insertOrderMessage } from '../../db/order-messages';
import { findRefundsOfPayment } from '../../db/refunds';
import { FOLLOW_UP_SCHEDULE_ID, orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import { PAYMENT_STATUS } from '../../workflows/search-attributes';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  // Payments make no checks: here the follow-up does what is due.
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

const NOTHING = { done: 0, failed: 0, left: false };
const ONE = { ...NOTHING, done: 1 };

const untell = (orderId: string) =>
  shop.sql(
    `UPDATE order_messages SET told_at = NULL, retry_at = now() + interval '1 minute' WHERE order_id = :orderId`,
    { orderId },
  );

/** Payments of this shop that expired yesterday and are closed, or whatever `columns` says. */
const closedOrders = (count: number, prefix: string) =>
  shop.sql(
    `WITH closed AS (
       INSERT INTO orders (id, subject, total_amount, status, created_at, expires_at, closed_at)
       SELECT :prefix || n, 'A pot of tea', 12.30, 'CLOSED', now() - interval '50 hours', now() - interval '26 hours', now()
       FROM generate_series(1, :count) AS n RETURNING id, total_amount)
     INSERT INTO payments (out_trade_no, order_id, total_amount, status, recheck_at)
     SELECT id, id, total_amount, 'CLOSED', now() - interval '1 minute' FROM closed`,
    { count, prefix },
  );

describe('what the order service was not told', () => {
  it('is told by the follow-up after a minute, under the id that it acts on once', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    const id = `PAID-${outTradeNo}`;
    await untell(orderId);
    expect(await story.followUp()).toMatchObject({ undelivered: NOTHING });
    expect(await story.undelivered(orderId)).toHaveLength(1);

    await story.age('order_messages', id, 'retry_at', 0);
    expect(await story.followUp()).toMatchObject({ undelivered: ONE });
    expect(await story.undelivered(orderId)).toEqual([]);
    await shop.temporal.workflow.getHandle(orderWorkflowId(orderId)).result();
    expect(await story.told(orderId, 1)).toEqual([id]);
  });

  it('is told also where the run that recorded it was terminated right after', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await story.pay(outTradeNo);
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
    const temporal = new Client({ connection: Connection.lazy({ address: '127.0.0.1:9' }) });
    const activities = createPaymentsQueueActivities({ ...shop.deps, temporal });
    const recording = new MockActivityEnvironment().run(() => activities.recordAndTell({ outTradeNo }));
    expect(await recording).toMatchObject({ status: 'PAID', undelivered: true });
    await waitFor(
      async () => {
        const [row] = await shop.sql(
          `SELECT leased_until <= now() AS over FROM order_messages WHERE order_id = :orderId`,
          {
            orderId,
          },
        );
        return row?.['over'] === true;
      },
      { what: 'the lease to be given back' },
    );
    await story.age('order_messages', `PAID-${outTradeNo}`, 'retry_at', 0);
    expect(await story.followUp()).toMatchObject({ undelivered: ONE });
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('is free for another worker after four seconds, where the one that signalled it was killed', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    await untell(orderId);
    const temporal = { withDeadline: () => new Promise(() => undefined) } as unknown as Client;
    const telling = tellFromOutbox({ ...shop.deps, temporal }, orderId);
    let leftSeconds = 0;
    await Promise.all([
      expect(telling).rejects.toMatchObject({ details: 'Deadline exceeded' }),
      waitFor(
        async () => {
          const [row] = await shop.sql<{ left: number | null }>(
            `SELECT CAST(EXTRACT(EPOCH FROM leased_until - clock_timestamp()) AS float8) AS left
             FROM order_messages WHERE id = :id`,
            { id: `PAID-${outTradeNo}` },
          );
          return (leftSeconds = row?.left ?? 0) > 0;
        },
        { what: 'it to be leased', everyMs: 20 },
      ),
    ]);
    expect(leftSeconds).toBeLessThanOrEqual(4);
    expect(await tellFromOutbox(shop.deps, orderId)).toMatchObject({ told: 1 });
  });

  it('is told while the gateway is down, too', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    await untell(orderId);
    await story.age('order_messages', `PAID-${outTradeNo}`, 'retry_at', 1);
    await shop.alipay.control.down(true, 'reset');
    try {
      expect(await story.followUp()).toMatchObject({ undelivered: ONE });
    } finally {
      await shop.alipay.control.down(false);
    }
    expect(await story.undelivered(orderId)).toEqual([]);
  });

  it('leaves in the order in which it happened, one message after the other, whoever tells it', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    for (const amount of ['1.00', '2.00', '3.00']) {
      await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'REFUNDED', amount });
    }
    const told = await Promise.all(Array.from({ length: 5 }, () => tellFromOutbox(shop.deps, orderId)));
    expect(told.reduce((sum, one) => sum + one.told, 0)).toBe(3);
    expect(await story.undelivered(orderId)).toEqual([]);
    expect(await story.told(orderId, 4)).toEqual([
      `PAID-${outTradeNo}`,
      `REFUND-${outTradeNo}-1.00`,
      `REFUND-${outTradeNo}-2.00`,
      `REFUND-${outTradeNo}-3.00`,
    ]);
  });

  it('is tried again after pauses that double, and from the fifth time on an alert tells of it', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    await untell(orderId);
    const temporal = new Client({ connection: Connection.lazy({ address: '127.0.0.1:9' }) });
    const log = pino({ level: 'silent' });
    const alerts = jest.spyOn(log, 'error');
    const activities = createPaymentsQueueActivities({ ...shop.deps, temporal, log });
    for (const [attempts, minutes] of [
      [1, 1],
      [2, 2],
      [3, 4],
      [4, 8],
      [5, 10],
    ]) {
      expect(alerts).not.toHaveBeenCalled();
      await story.age('order_messages', `PAID-${outTradeNo}`, 'retry_at', 0);
      const telling = new MockActivityEnvironment().run(() => activities.tellUndelivered());
      expect(await telling).toEqual({ ...NOTHING, failed: 1 });
      const [row] = await shop.sql(
        `SELECT attempts, CAST(round(EXTRACT(EPOCH FROM retry_at - now()) / 60) AS int) AS minutes
         FROM order_messages WHERE order_id = :orderId`,
        { orderId },
      );
      expect(row).toEqual({ attempts, minutes });
    }
    expect(alerts.mock.calls).toMatchObject([
      [{ orderId, code: 'UNDELIVERED', alert: true }, expect.anything()],
    ]);
    await story.age('order_messages', `PAID-${outTradeNo}`, 'retry_at', 0);
    expect(await story.followUp()).toMatchObject({ undelivered: ONE });
  });
});

describe('evidence that nobody has recorded', () => {
  /** A paid notification, acknowledged with `success`; the run that it woke was never taken up, and is terminated. */
  async function lost() {
    const checkout = await story.checkOut();
    await story.ended(checkout.outTradeNo);
    await shop.stopWorkers();
    try {
      await story.pay(checkout.outTradeNo);
      expect(await shop.alipay.control.notify(checkout.outTradeNo)).toMatchObject({ body: 'success' });
      await story.terminate(checkout.outTradeNo);
    } finally {
      await shop.startWorkers();
    }
    return checkout;
  }
  const due = (outTradeNo: string) =>
    shop.sql(`UPDATE evidence SET retry_at = now() WHERE out_trade_no = :outTradeNo`, { outTradeNo });

  it('wakes the payment again after a minute, and what was answered `success` is recorded', async () => {
    const { orderId, outTradeNo } = await lost();
    expect(await story.followUp()).toMatchObject({ unrecorded: NOTHING });
    expect(await story.status(outTradeNo)).toBe('UNPAID');
    await due(outTradeNo);
    expect(await story.followUp()).toMatchObject({ unrecorded: ONE });
    await story.until(outTradeNo, 'PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
    await due(outTradeNo);
    expect(await story.followUp()).toMatchObject({ unrecorded: NOTHING });
  });

  it('is woken for after pauses that double, and from the fifth time on an alert tells of it', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await shop.sql(
      `INSERT INTO evidence (out_trade_no, kind, body, digest, signature, charset, key_fingerprint)
       VALUES (:outTradeNo, 'answer', 'poison', 'poison', 's', 'utf-8', 'k')`,
      { outTradeNo },
    );
    // Nothing records it meanwhile.
    await shop.stopWorkers();
    const log = pino({ level: 'silent' });
    const alerts = jest.spyOn(log, 'error');
    const activities = createPaymentsQueueActivities({ ...shop.deps, log });
    try {
      for (const [attempts, minutes] of [
        [1, 1],
        [2, 2],
        [3, 4],
        [4, 8],
        [5, 16],
      ]) {
        expect(alerts).not.toHaveBeenCalled();
        await due(outTradeNo);
        expect(await new MockActivityEnvironment().run(() => activities.wakeUnrecorded())).toEqual(ONE);
        const [row] = await shop.sql(
          `SELECT attempts, CAST(round(EXTRACT(EPOCH FROM retry_at - now()) / 60) AS int) AS minutes
           FROM evidence WHERE out_trade_no = :outTradeNo`,
          { outTradeNo },
        );
        expect(row).toEqual({ attempts, minutes });
      }
    } finally {
      await shop.startWorkers();
      await story.terminate(outTradeNo).catch(() => undefined);
      await shop.sql(`DELETE FROM evidence WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    }
    expect(alerts.mock.calls).toMatchObject([
      [{ outTradeNo, code: 'EVIDENCE_UNRECORDED', alert: true }, expect.anything()],
    ]);
  });

  it('is never pruned; what is recorded is, where it is older than EVIDENCE_RETENTION', async () => {
    const recorded = await story.paidAndTold();
    const owed = await lost();
    await shop.sql(`UPDATE evidence SET received_at = now() - interval '2 days'`);
    const keeping = createPaymentsQueueActivities(shop.deps);
    const pruning = createPaymentsQueueActivities({ ...shop.deps, evidenceRetentionMs: 24 * 3_600_000 });
    const bodies = async (outTradeNo: string) =>
      (
        await shop.sql<{ kept: boolean }>(
          `SELECT body IS NOT NULL AS kept FROM evidence WHERE out_trade_no = :outTradeNo`,
          { outTradeNo },
        )
      ).map(({ kept }) => kept);
    await new MockActivityEnvironment().run(() => keeping.wakeUnrecorded());
    expect(await bodies(recorded.outTradeNo)).toEqual([true]);
    await new MockActivityEnvironment().run(() => pruning.wakeUnrecorded());
    expect(await bodies(recorded.outTradeNo)).toEqual([false]);
    expect(await bodies(owed.outTradeNo)).toEqual([true]);
    await due(owed.outTradeNo);
    await story.followUp();
    await story.until(owed.outTradeNo, 'PAID');
  });
});

describe('a payment in doubt whose run was terminated', () => {
  it('in REFUNDING is refunded by a new run', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await story.pay(outTradeNo);
    await shop.sql(`UPDATE payments SET status = 'REFUNDING' WHERE out_trade_no = :outTradeNo`, {
      outTradeNo,
    });
    expect(await story.followUp()).toMatchObject({ unattended: ONE });
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
  });

  it('in REFUNDING with the refund made and its answer lost is refunded once', async () => {
    const { outTradeNo } = await story.checkOut();
    await story.ended(outTradeNo);
    await story.pay(outTradeNo);
    await shop.gateway.refund({
      outTradeNo,
      amount: '12.30',
      outRequestNo: `LATE_${outTradeNo}`,
      reason: 'before the crash',
    });
    await shop.sql(`UPDATE payments SET status = 'REFUNDING' WHERE out_trade_no = :outTradeNo`, {
      outTradeNo,
    });
    await story.followUp();
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
  });

  it('in REVIEW gets a new one, which waits for the decision', async () => {
    const { orderId, outTradeNo } = await inReview();
    await story.terminate(outTradeNo);
    expect(await story.isRunning(outTradeNo)).toBe(false);
    await story.age('payments', outTradeNo, 'revive_at', 0);
    await story.followUp();
    await waitFor(() => story.isRunning(outTradeNo), { what: 'a new run' });
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', actor: 'anna', reason: 'r' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    await story.told(orderId, 1);
  });
});

async function inReview() {
  const checkout = await story.checkOut();
  await story.pay(checkout.outTradeNo);
  await shop.alipay.control.notify(checkout.outTradeNo, { total_amount: '12.31' });
  await story.until(checkout.outTradeNo, 'REVIEW');
  return checkout;
}

describe('a payment in doubt whose run is there', () => {
  const signalsOf = async (outTradeNo: string, name: string) => {
    const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
    return (events ?? []).filter(
      ({ workflowExecutionSignaledEventAttributes: signal }) => signal?.signalName === name,
    ).length;
  };
  /** Its run shows this status, and has nothing left to do. */
  const rests = (outTradeNo: string, status: string) =>
    waitFor(
      async () => {
        const { raw, typedSearchAttributes } = await shop.temporal.workflow
          .getHandle(paymentWorkflowId(outTradeNo))
          .describe();
        const isIdle = raw.pendingWorkflowTask == null && raw.pendingActivities?.length === 0;
        return isIdle && typedSearchAttributes.get(PAYMENT_STATUS) === status;
      },
      { what: `the run of ${outTradeNo} to rest in ${status}` },
    );
  const attended = async (outTradeNo: string) => {
    const [row] = await shop.sql<{ revivals: number; minutes: number }>(
      `SELECT revivals, CAST(round(EXTRACT(EPOCH FROM revive_at - now()) / 60) AS int) AS minutes
       FROM payments WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    return row;
  };

  it('and agrees with the row is left alone, and looked at after pauses that double', async () => {
    const { outTradeNo } = await inReview();
    await rests(outTradeNo, 'REVIEW');
    for (const [revivals, minutes] of [
      [1, 1],
      [2, 2],
      [3, 4],
    ]) {
      await story.age('payments', outTradeNo, 'revive_at', 0);
      expect(await story.followUp()).toMatchObject({ unattended: NOTHING });
      expect(await attended(outTradeNo)).toEqual({ revivals, minutes });
    }
    expect(await signalsOf(outTradeNo, 'rowMoved')).toBe(0);
    await story.terminate(outTradeNo);
  });

  it('and shows another status is told to read the row', async () => {
    const { outTradeNo } = await inReview();
    await rests(outTradeNo, 'REVIEW');
    await story.age('payments', outTradeNo, 'revive_at', 0);
    await shop.sql(
      `UPDATE payments SET status = 'REFUNDING', review_reason = NULL, paid_amount = 12.30 WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    // A refund that has been made tells the run too.
    const refunds = { what: 'refunds', actor: 'anna', reason: 'r' } as const;
    await shop.payments.pauses.pause(refunds);
    expect(await story.followUp()).toMatchObject({ unattended: ONE });
    expect(await signalsOf(outTradeNo, 'rowMoved')).toBe(1);
    await shop.payments.pauses.resume(refunds);
    await tellRefunds(shop.deps, await findRefundsOfPayment(shop.db, outTradeNo));
    await story.until(outTradeNo, 'REFUNDED');
  });

  it('and has not heard that the review is over is told, and looked after no more', async () => {
    const { outTradeNo } = await inReview();
    await rests(outTradeNo, 'REVIEW');
    // As a process would that died before it told the run.
    const decision = { outTradeNo, to: 'PAID', actor: 'anna', reason: 'r' } as const;
    await recordReview(shop.db, decision, {
      fresh: {
        ...{ answer: 'paid', tradeStatus: 'TRADE_SUCCESS', wasPaid: true },
        ...{ totalAmount: '12.31', isRefunded: false },
      },
      tradeNo: null,
      recheckInMs: null,
    });
    await story.age('payments', outTradeNo, 'revive_at', 0);
    expect(await story.followUp()).toMatchObject({ unattended: ONE });
    await story.ended(outTradeNo);
    await story.age('payments', outTradeNo, 'revive_at', 0);
    expect(await story.followUp()).toMatchObject({ unattended: NOTHING });
    expect(await attended(outTradeNo)).toEqual({ revivals: 0, minutes: null });
  });
});

describe('a leftover UNPAID payment of a settled order', () => {
  it('is closed at Alipay first, and alone', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await shop.alipay.control.scan(other.outTradeNo);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await story.followUp()).toMatchObject({ leftovers: ONE });
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
    expect(await story.followUp()).toMatchObject({ leftovers: { done: 1, failed: 1, left: false } });
    expect(await story.status(b.outTradeNo)).toBe('UNPAID');
    expect(await story.status(c.outTradeNo)).toBe('CLOSED');
    await shop.alipay.control.clearFaults();
    await story.age('payments', b.outTradeNo, 'recheck_at', 0);
    expect(await story.followUp()).toMatchObject({ leftovers: ONE });
    expect(await story.status(b.outTradeNo)).toBe('CLOSED');
  });

  it('that Alipay did not close is closed a minute later, and not only when its order expires', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await shop.alipay.control.scan(other.outTradeNo);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    const method = 'alipay.trade.close';
    await shop.alipay.control.fault({
      ...{ mode: 'ACQ.TRADE_STATUS_ERROR', method, outTradeNo: other.outTradeNo, times: 1 },
    });
    await story.followUp();
    expect(await story.status(other.outTradeNo)).toBe('UNPAID');
    const { recheckAt } = await shop.payments.payment(other.outTradeNo);
    const inSeconds = ((recheckAt?.getTime() ?? 0) - Date.now()) / 1_000;
    expect(inSeconds).toBeGreaterThan(30);
    expect(inSeconds).toBeLessThan(90);
    await story.age('payments', other.outTradeNo, 'recheck_at', 0);
    expect(await story.followUp()).toMatchObject({ leftovers: ONE });
    expect(await story.status(other.outTradeNo)).toBe('CLOSED');
  });

  it('that is paid after all is refunded', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await story.pay(other.outTradeNo);
    expect(await story.followUp()).toMatchObject({ leftovers: ONE });
    await story.until(other.outTradeNo, 'REFUNDED');
    expect(await story.standing(orderId)).toBe('PAID: PAID, REFUNDED');
  });
});

describe('25 hours after a close, Alipay is asked once more', () => {
  it('about all that are due in one follow-up, however many a busy day has left', async () => {
    await closedOrders(250, 'busy_');
    expect(await story.followUp()).toMatchObject({ rechecks: { done: 250, failed: 0, left: false } });
    expect(await shop.sql(`SELECT FROM payments WHERE recheck_at <= now()`)).toEqual([]);
  });

  it('and finds a late payment, which is refunded', async () => {
    const { orderId, outTradeNo } = await closed();
    await story.pay(outTradeNo);
    expect(await story.followUp()).toMatchObject({ rechecks: NOTHING });
    expect(await story.status(outTradeNo)).toBe('CLOSED');

    await story.age('payments', outTradeNo, 'recheck_at', 0);
    expect(await story.followUp()).toMatchObject({ rechecks: ONE });
    await story.until(outTradeNo, 'REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refundedAmount).toBe('12.30');
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('and not again, where there is still no trade', async () => {
    const { outTradeNo } = await closed();
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    expect(await story.followUp()).toMatchObject({ rechecks: ONE });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'CLOSED', recheckAt: null });
    expect(await story.followUp()).toMatchObject({ rechecks: NOTHING });
  });

  it('and again later, where the answer is unknown', async () => {
    const { outTradeNo } = await closed();
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await shop.alipay.control.fault({ mode: 'SYSTEM_ERROR', outTradeNo, times: 1 });
    expect(await story.followUp()).toMatchObject({ rechecks: { done: 0, failed: 1, left: false } });
    expect((await shop.payments.payment(outTradeNo)).recheckAt?.getTime()).toBeGreaterThan(Date.now());
  });

  it('and what it finds is owed, where the run that was to record the payment was terminated before it did', async () => {
    const { outTradeNo } = await closed();
    await story.pay(outTradeNo);
    await story.age('payments', outTradeNo, 'recheck_at', 0);
    await shop.stopWorkers();
    try {
      const activities = createAlipayQueueActivities(shop.deps);
      expect(await new MockActivityEnvironment().run(() => activities.recheckClosed())).toEqual(ONE);
      await story.terminate(outTradeNo);
    } finally {
      await shop.startWorkers();
    }
    expect((await shop.payments.payment(outTradeNo)).recheckAt).toBeNull();
    await shop.sql(`UPDATE evidence SET retry_at = now() WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    await story.followUp();
    await story.until(outTradeNo, 'REFUNDED');
  });

  /** An order whose buyer never came, closed by the sweep. */
  async function closed() {
    const checkout = await story.checkOut();
    await story.expire(checkout.orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    return checkout;
  }
});

describe("a payment of another installation's merchant", () => {
  it('is left alone by every kind', async () => {
    const foreign = 'another-app/another-seller';
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway)
       VALUES (:foreign, 'another', 'another-app', 'another-seller', 'https://elsewhere.example/gateway.do')`,
      { foreign },
    );
    await closedOrders(1, 'foreign_closed_');
    const settled = await story.paidAndTold();
    const open = await story.checkOut();
    // Its run plans no check from now on.
    await story.ended(open.outTradeNo);
    const held = await story.checkOut();
    await shop.sql(`UPDATE payments SET status = 'REVIEW' WHERE out_trade_no = :no`, { no: held.outTradeNo });
    const leftover = await story.checkOut();
    await story.ended(leftover.outTradeNo);
    await shop.alipay.control.scan(leftover.outTradeNo);
    await shop.sql(
      `UPDATE payments SET superseded_at = now(), recheck_at = now() WHERE out_trade_no = :outTradeNo`,
      leftover,
    );
    await shop.sql(
      `INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by, retry_at)
       VALUES (:outTradeNo, 'foreign-1', :orderId, 1.00, 'r', 'shop', 'REQUESTED', 'shop', now())`,
      settled,
    );
    await untell(settled.orderId);
    await shop.sql(`UPDATE order_messages SET retry_at = now() WHERE told_at IS NULL`);
    await shop.sql(
      `UPDATE payments SET next_check_at = now() - interval '1 hour', slow_check_at = now() WHERE out_trade_no = :no`,
      { no: open.outTradeNo },
    );
    await shop.sql(
      `INSERT INTO evidence (out_trade_no, kind, body, digest, signature, charset, key_fingerprint, retry_at)
       VALUES (:no, 'answer', 'x', 'x', 's', 'utf-8', 'k', now())`,
      { no: open.outTradeNo },
    );
    await shop.sql(`UPDATE payments SET merchant = :foreign`, { foreign });
    await shop.sql(`UPDATE orders SET merchant = :foreign`, { foreign });
    try {
      expect(Object.values(await story.followUp())).toEqual(Array<unknown>(8).fill(NOTHING));
    } finally {
      await shop.sql(`UPDATE payments SET merchant = NULL`);
      await shop.sql(`UPDATE orders SET merchant = NULL`);
      await shop.sql(`DELETE FROM evidence`);
    }
    expect(await story.followUp()).toMatchObject({
      undelivered: ONE,
      unwatched: ONE,
      slowChecks: ONE,
      refunds: ONE,
      leftovers: ONE,
      rechecks: ONE,
    });
  });
});

describe('the Schedule of the follow-up', () => {
  it('is installed with that of the sweep: every 30 s, one at a time, with a short catch-up', async () => {
    const { followUp } = await shop.payments.sweep.install();
    expect(followUp.scheduleId).toBe(FOLLOW_UP_SCHEDULE_ID);
    const [first, second] = followUp.nextTimes;
    expect((second?.getTime() ?? 0) - (first?.getTime() ?? 0)).toBe(30_000);
    const { policies, action } = await shop.temporal.schedule.getHandle(FOLLOW_UP_SCHEDULE_ID).describe();
    expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 60_000 });
    expect(action).toMatchObject({ workflowType: 'followUp', workflowRunTimeout: 300_000 });
  });

  it('is paused and resumed apart from the sweep, and keeps its pause when it is installed again', async () => {
    expect(await shop.payments.followUp.pause('an operator looks')).toMatchObject({ paused: true });
    await shop.payments.sweep.install();
    const { state } = await shop.temporal.schedule.getHandle(FOLLOW_UP_SCHEDULE_ID).describe();
    expect(state).toMatchObject({ paused: true, note: 'an operator looks' });
    expect(await shop.payments.followUp.resume('seen')).toMatchObject({ paused: false });
    await shop.temporal.schedule.getHandle(FOLLOW_UP_SCHEDULE_ID).delete();
    await shop.temporal.schedule.getHandle('sweep-expired-orders').delete();
  });
});
