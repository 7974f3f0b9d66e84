import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { FaultMode } from '../../sandbox';
import { FAULT_MODES } from '../../sandbox';
import { openGateway } from '../../activities/alipay/open';
import { acquireSlot } from '../../db/alipay-quota';
import { row, transaction } from '../../db/connect';
import { SIGNALS, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from '../integration/story';
import { failedTasks } from './run-histories';

const QUERY = 'alipay.trade.query';

let shop: Shop;
let story: Story;
/** Its checks are far enough apart for a test to act between two of them even on a busy machine. */
let patient: Story;

beforeAll(async () => {
  shop = await openShop(__filename);
  story = new Story(shop);
  patient = new Story(shop, shop.clientWith({ intervalMs: 10_000 }));
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.down(false);
});

describe('a payment whose notification is lost', () => {
  it('is found whatever went wrong with one query before', async () => {
    const payments: Array<[FaultMode, string]> = [];
    for (const mode of FAULT_MODES.filter((one) => one !== 'wrong-amount')) {
      const { outTradeNo } = await story.checkOut();
      await shop.alipay.control.fault({ mode, method: QUERY, outTradeNo, times: 1 });
      await story.pay(outTradeNo);
      payments.push([mode, outTradeNo]);
    }
    for (const [mode, outTradeNo] of payments) {
      const { status, checks } = await story.ended(outTradeNo);
      expect([mode, status]).toEqual([mode, 'PAID']);
      expect(checks).toBeLessThanOrEqual(3);
    }
  });

  it('is found by the third check where Alipay said "no such trade" twice', async () => {
    const { outTradeNo } = await patient.checkOut();
    await waitFor(async () => (await story.calls(outTradeNo)).length === 2, {
      what: 'two checks',
      timeoutMs: 60_000,
    });
    await story.pay(outTradeNo);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID', checks: 3, lastAnswer: 'paid' });
    expect(await story.calls(outTradeNo)).toHaveLength(3);
  });

  it('that another amount was paid for goes to a person, who finds that Alipay has the right one', async () => {
    const { orderId, outTradeNo } = await patient.checkOut();
    await story.payTooMuch(outTradeNo);
    await story.until(outTradeNo, 'REVIEW', 60_000);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ reviewReason: 'AMOUNT_DIFFERS' });
    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', actor: 'anna', reason: 'Alipay has 12.30' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });
});

describe('a notification during an ask that does not end', () => {
  it('settles the payment, and answers the operator who had joined that ask', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.alipay.control.fault({ mode: 'hang', method: QUERY, outTradeNo });
    await waitFor(async () => (await story.calls(outTradeNo)).length > 0, { what: 'the first check' });
    const joined = shop.payments.checkNow(outTradeNo);
    const handle = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await waitFor(
      async () =>
        (await handle.fetchHistory()).events?.some(
          (event) => event.workflowExecutionUpdateAcceptedEventAttributes,
        ),
      { what: 'checkNow to be accepted' },
    );
    await story.pay(outTradeNo, { notify: true });
    expect(await joined).toMatchObject({ status: 'PAID' });
    const { events } = await handle.fetchHistory();
    expect(failedTasks([{ workflowId: handle.workflowId, runId: '', events: events ?? [] }])).toEqual([]);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID' });
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });
});

describe('a buyer who comes back to the cashier while the run gives up', () => {
  it('is asked about again, three times', async () => {
    const { outTradeNo } = await story.checkOut();
    const handle = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
    const blocked = await shop.db.transaction();
    try {
      // Blocks what the run reads before it gives up.
      await blocked.raw('LOCK TABLE order_messages IN ACCESS EXCLUSIVE MODE');
      await waitFor(
        async () =>
          (await handle.fetchHistory()).events?.some(
            (event) => event.activityTaskScheduledEventAttributes?.activityType?.name === 'readPayment',
          ),
        { what: 'the run to read its row', timeoutMs: 60_000 },
      );
      expect(await story.calls(outTradeNo)).toHaveLength(3);
      await handle.signal(SIGNALS.checkedOut, { checks: 3, intervalMs: 1_000 });
    } finally {
      await blocked.rollback();
    }
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(await story.calls(outTradeNo)).toHaveLength(6);
  });
});

describe('a gateway that is down', () => {
  it('uses up no check, closes nothing, and everything goes on when it is back', async () => {
    const { outTradeNo } = await story.checkOut();
    const expired = await story.checkOut();
    await story.expire(expired.orderId);
    await shop.alipay.control.down(true, 'reset');
    await waitFor(
      async () => {
        await shop.gateway.query('breaks_the_circuit').catch(() => undefined);
        return shop.gateway.circuit.isOpen;
      },
      { what: 'the breaker to open', everyMs: 1 },
    );
    expect(await story.sweep()).toMatchObject({ closed: 0, rescued: 0 });
    await waitFor(async () => (await shop.payments.status(outTradeNo)).nextCheckAt !== null, {
      what: 'a next check',
    });
    await story.pay(outTradeNo);
    await shop.alipay.control.down(false);

    await waitFor(
      async () => {
        await story.endPause(expired.orderId);
        await story.sweep();
        return (await shop.payments.order(expired.orderId)).status === 'CLOSED';
      },
      { what: 'the order to be closed', timeoutMs: 90_000, everyMs: 500 },
    );
    const { status, checks } = await story.ended(outTradeNo);
    expect([status, checks <= 3]).toEqual(['PAID', true]);
    // The only worker finds the gateway back at its next probe; by then the pauses between tries have grown.
  }, 240_000);
});

describe('the quota', () => {
  it('of 50 a second lets at most 55 calls leave in any second, however many workers ask', async () => {
    const perSecond = 50;
    // Slots by Postgres' clock: delays that a busy machine adds on the way to the caller are not the quota's.
    const slots: number[] = [];
    const ask = () =>
      transaction(shop.db, async (trx) => {
        const waitMs = await acquireSlot(trx, { appId: 'quota', perSecond, maxWaitMs: 60_000 });
        const slot = await row<{ at: number; aheadMs: number }>(
          trx,
          `SELECT CAST(EXTRACT(EPOCH FROM next_at) * 1000 AS float8) - :spacingMs AS at,
             CAST(EXTRACT(EPOCH FROM next_at - clock_timestamp()) * 1000 AS float8) - :spacingMs AS "aheadMs"
           FROM :schema:.alipay_quota WHERE app_id = 'quota'`,
          { spacingMs: 1_000 / perSecond },
        );
        // No call leaves before its slot.
        expect(waitMs).toBeGreaterThanOrEqual(slot?.aheadMs ?? Infinity);
        return slot?.at ?? 0;
      });
    // Few enough at once that none exceeds the pool's wait for a connection.
    const worker = async (): Promise<void> => {
      for (let i = 0; i < 10; i += 1) slots.push(await ask());
    };
    await Promise.all(Array.from({ length: 15 }, worker));
    expect(slots).toHaveLength(150);
    const leaving = slots.sort((a, b) => a - b);
    for (const [i, start] of leaving.entries()) {
      const within = leaving.slice(i).filter((at) => at < start + 1_000).length;
      expect(within).toBeLessThanOrEqual(55);
    }
    const last = leaving.at(-1) ?? 0;
    expect(last - (leaving[0] ?? 0)).toBeGreaterThan(2_500);
  });

  it('leaves at least half of it to checks and closing, however much asks in the background', async () => {
    const { settings } = shop.gateway;
    // A tenth of maxRps stays free: 36/s, and 18/s in the background.
    const gateway = openGateway(shop.db, {
      ...settings,
      appId: shop.alipay.appId,
      maxRps: 40,
      timeoutMs: 10_000,
    });
    let inBackground = 0;
    const startedAt = Date.now();
    const waiting = Array.from({ length: 40 }, async (_, i) => {
      await gateway.query(`background_${i}`, { background: true });
      inBackground += 1;
    });
    const asked = Array.from({ length: 18 }, (_, i) => gateway.query(`main_${i}`));
    await Promise.all(asked);
    expect(inBackground).toBeLessThanOrEqual(2 + ((Date.now() - startedAt) / 1_000) * 18);
    await Promise.all(waiting);
    expect(Date.now() - startedAt).toBeGreaterThan(2_000);
  });

  it('takes no place that lies too far ahead', async () => {
    // A slot every ten seconds: a busy machine has several slots' time to ask all four times.
    const ask = () => acquireSlot(shop.db, { appId: 'slow', perSecond: 0.1, maxWaitMs: 15_000 });
    expect(await ask()).toBe(0);
    expect(await ask()).toBeGreaterThan(5_000);
    expect(await ask()).toBeUndefined();
    expect(await ask()).toBeUndefined();
  });
});
