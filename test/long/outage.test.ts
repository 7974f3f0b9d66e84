import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SWEEP_SCHEDULE_ID, paymentWorkflowId } from '../../workflows/messages';
import type { PaymentState } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { intervalMs: 3_000 }, alipay: { timeoutMs: 5_000 } });
});
afterAll(() => shop.close());

async function checkOut(orderId: string): Promise<string> {
  const { outTradeNo, paymentUrl } = await shop.payments.checkout({
    orderId,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  return outTradeNo;
}

const resultOf = (outTradeNo: string): Promise<PaymentState> =>
  shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result() as Promise<PaymentState>;

describe('Postgres that hangs when a check is due', () => {
  it('costs time, and neither the payment nor the run', async () => {
    const outTradeNo = await checkOut('hanging');
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    await shop.db.transaction(async (trx) => {
      await trx.raw('LOCK TABLE payments IN ACCESS EXCLUSIVE MODE');
      // Until the fast path has given up and the safe path has taken over the check.
      await waitFor(
        async () => {
          const { raw } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
          return (raw.pendingActivities ?? []).length > 0;
        },
        { what: 'the safe path', timeoutMs: 90_000 },
      );
    });
    expect(await resultOf(outTradeNo)).toMatchObject({ status: 'PAID', checks: 1 });
  });

  it('is a 503 that may be repeated for a checkout', async () => {
    await checkOut('locked');
    await shop.db.transaction(async (trx) => {
      await trx.raw('LOCK TABLE orders IN ACCESS EXCLUSIVE MODE');
      await expect(checkOut('locked')).rejects.toMatchObject({ code: 'DATABASE_UNAVAILABLE', status: 503 });
    });
    await expect(checkOut('locked')).resolves.toBeDefined();
  });
});

describe('a gateway that answers within ALIPAY_TIMEOUT, but later than the fast path waits', () => {
  afterAll(() => shop.alipay.control.latency(0));

  it('gets every payment found at its first check, however many are due at once', async () => {
    await shop.alipay.control.latency(2_000);
    // More than the consecutive failures that open the breaker. Each is paid at once: before its first check.
    const outTradeNos = await Promise.all(
      Array.from({ length: 15 }, async (_, index) => {
        const outTradeNo = await checkOut(`slow-${index}`);
        await shop.alipay.control.pay(outTradeNo, { notify: false });
        return outTradeNo;
      }),
    );
    for (const outTradeNo of outTradeNos) {
      expect(await resultOf(outTradeNo)).toMatchObject({ status: 'PAID', checks: 1 });
      const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
      const timers = (events ?? []).filter((event) => event.timerStartedEventAttributes);
      // A postponed check would have slept again.
      expect(timers).toHaveLength(1);
    }
  });
});

describe('workers that were all down when checks were due', () => {
  it('make them when they are back, however late', async () => {
    const outTradeNo = await checkOut('late');
    await waitFor(async () => (await shop.payments.status(outTradeNo)).nextCheckAt !== null, {
      what: 'the run to sleep',
    });
    await shop.stopWorkers();
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    const handle = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await waitFor(
      async () => {
        const { events } = await handle.fetchHistory();
        return (events ?? []).some((event) => event.timerFiredEventAttributes);
      },
      { what: 'the check to be due', timeoutMs: 60_000 },
    );
    await shop.startWorkers();
    expect(await resultOf(outTradeNo)).toMatchObject({ status: 'PAID', checks: 1 });
  });
});

describe('the Schedule after an outage', () => {
  it('runs one sweep, not one for each that was missed, and never two at once', async () => {
    await shop.payments.sweep.install();
    const { policies } = await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).describe();
    expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 60_000 });
  });
});
