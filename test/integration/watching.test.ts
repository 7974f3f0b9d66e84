import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { defaultPayloadConverter } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { createPaymentsQueueActivities } from '../../activities';
import type { ConfirmPaymentInput } from '../../workflows/messages';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

// Payments that no run watches any more, and runs that cannot continue. No test waits minutes: SQL ages the rows.

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 3, intervalMs: 600_000 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

const NOTHING = { done: 0, failed: 0, left: false };

/** More than two minutes have passed since the next check was due. */
const overdue = (...numbers: string[]) =>
  shop.sql(
    `UPDATE payments SET next_check_at = now() - interval '121 seconds' WHERE out_trade_no = ANY(:numbers)`,
    {
      numbers,
    },
  );

const rowOf = async (outTradeNo: string) => {
  const [row] = await shop.sql<{ revivals: number; seconds: number }>(
    `SELECT revivals, CAST(EXTRACT(EPOCH FROM next_check_at - now()) AS float8) AS seconds
     FROM payments WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  return row;
};

async function inputOf(outTradeNo: string): Promise<ConfirmPaymentInput> {
  const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
  const [payload] = events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads ?? [];
  if (!payload) throw new Error('the run has no input');
  return defaultPayloadConverter.fromPayload(payload);
}

describe('a checkout', () => {
  it('plans the first check; one that comes while checks are still to be made moves nothing', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const planned = await rowOf(outTradeNo);
    expect(planned?.seconds).toBeGreaterThan(590);
    await shop.sql(
      `UPDATE payments SET checks = 1, next_check_at = now() + interval '5 minutes' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await story.checkOut({ orderId });
    expect((await rowOf(outTradeNo))?.seconds).toBeLessThan(301);
    expect((await shop.payments.payment(outTradeNo)).checks).toBe(1);
    await story.terminate(outTradeNo);
  });
});

describe('payments whose runs were terminated', () => {
  it('thirty of them: each is watched again, with the checks that remain and at once', async () => {
    const payments = await Promise.all(Array.from({ length: 30 }, () => story.checkOut()));
    const numbers = payments.map(({ outTradeNo }) => outTradeNo);
    await shop.sql(`UPDATE payments SET checks = 1 WHERE out_trade_no = ANY(:numbers)`, { numbers });
    await Promise.all(numbers.map((outTradeNo) => story.terminate(outTradeNo)));
    expect(await story.followUp()).toMatchObject({ unwatched: NOTHING });

    const [paid = ''] = numbers;
    await story.pay(paid);
    await overdue(...numbers);
    const { nextCheckAt: dueAt } = await shop.payments.payment(paid);
    expect(await story.followUp()).toMatchObject({ unwatched: { ...NOTHING, done: 30 } });
    await story.until(paid, 'PAID');
    for (const { orderId, outTradeNo } of payments) {
      const { expiresAt } = await shop.payments.order(orderId);
      const input = await inputOf(outTradeNo);
      expect(input).toMatchObject({ outTradeNo, checks: 3, checksMade: 1, intervalMs: 600_000 });
      expect(input).toMatchObject({ closeBy: 'sweep', deadline: expiresAt.toISOString() });
      // Overdue by Postgres' clock. A worker's may be an hour ahead of Temporal's: the run would sleep for that hour.
      expect(input.firstCheckAt).toBe(dueAt?.toISOString());
    }
    const open = numbers.filter((outTradeNo) => outTradeNo !== paid);
    // Each has made the overdue check, and its row says when the next one is due.
    for (const outTradeNo of open) {
      await waitFor(async () => (await shop.payments.payment(outTradeNo)).checks === 2, {
        what: 'the second check',
      });
      expect((await rowOf(outTradeNo))?.seconds).toBeGreaterThan(500);
      // The activity that writes the row ends a moment before its run hears of it.
      const state = await waitFor(
        async () => {
          const now = await shop.payments.status(outTradeNo);
          return now.checks === 2 && now;
        },
        { what: 'the run to count the second check' },
      );
      expect(state).toMatchObject({ status: 'UNPAID', checks: 2 });
    }
    expect(await story.followUp()).toMatchObject({ unwatched: NOTHING });
    await Promise.all(open.map((outTradeNo) => story.terminate(outTradeNo)));
  });

  it('again and again: the pauses double, an alert tells of it, and a run that moves its check starts them anew', async () => {
    const { outTradeNo } = await story.checkOut();
    const log = pino({ level: 'silent' });
    const alerts = jest.spyOn(log, 'error');
    const activities = createPaymentsQueueActivities({ ...shop.deps, log });
    const watch = async () => {
      await story.terminate(outTradeNo);
      expect(await new MockActivityEnvironment().run(() => activities.watchUnwatched())).toMatchObject({
        done: 1,
      });
      return rowOf(outTradeNo);
    };
    // No worker takes the new runs up, so nothing changes the row.
    await shop.stopWorkers();
    try {
      await overdue(outTradeNo);
      for (const [revivals, minutes] of [
        [1, 0],
        [2, 2],
        [3, 6],
        [4, 14],
      ]) {
        expect(alerts).toHaveBeenCalledTimes(Math.max((revivals ?? 0) - 3, 0));
        const row = await watch();
        expect(row?.revivals).toBe(revivals);
        expect(Math.abs(Math.round((row?.seconds ?? 0) / 60))).toBe(minutes);
        await shop.sql(
          `UPDATE payments SET next_check_at = now() - interval '121 seconds', revive_at = now() - interval '121 seconds'
           WHERE out_trade_no = :outTradeNo`,
          { outTradeNo },
        );
      }
      expect(alerts.mock.calls[0]).toMatchObject([
        { outTradeNo, revivals: 3, code: 'UNWATCHED', alert: true },
        expect.anything(),
      ]);
      await overdue(outTradeNo);
      expect((await watch())?.revivals).toBe(1);
      await story.terminate(outTradeNo);
    } finally {
      await shop.startWorkers();
    }
  });

  it('or whose timer is to close them: the new run does that', async () => {
    const { outTradeNo } = await story.checkOut({ closeBy: 'timer', expiresIn: '30m' });
    await story.terminate(outTradeNo);
    await overdue(outTradeNo);
    await story.followUp();
    expect(await inputOf(outTradeNo)).toMatchObject({ closeBy: 'timer', checks: 3, checksMade: 0 });
    await story.terminate(outTradeNo);
  });
});

describe('a run that is merely late', () => {
  it('is left alone: no new run, nothing ended', async () => {
    const { outTradeNo } = await story.checkOut();
    const handle = shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
    const { runId } = await handle.describe();
    await overdue(outTradeNo);
    expect(await story.followUp()).toMatchObject({ unwatched: NOTHING });
    expect(await handle.describe()).toMatchObject({ runId, status: { name: 'RUNNING' } });
    await story.terminate(outTradeNo);
  });
});
