import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { defaultPayloadConverter } from '@temporalio/common';
import type { SweepReport } from '../../workflows/messages';
import { SWEEP_SCHEDULE_ID, TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, temporalAddress, temporalCli, waitFor } from '../support';

let shop: Shop;
let orders = 0;
beforeAll(async () => {
  shop = await openShop(__filename, {
    // A sweep leaves an order whose payment is being checked to the next sweep, so no check is due here.
    payments: { intervalMs: 600_000, sweep: { cron: '* * * * * * *', parallel: 4 } },
  });
});
afterAll(() => shop.close());
afterEach(() => shop.alipay.control.latency(0));

/** Orders that expired an hour ago, one after the other, each with a payment that was never made. */
async function expiredOrders(count: number): Promise<{ orderId: string; outTradeNo: string }[]> {
  const expired = [];
  for (let i = 0; i < count; i += 1) {
    orders += 1;
    const { orderId, outTradeNo, paymentUrl } = await shop.payments.checkout({
      orderId: `order-${String(orders).padStart(3, '0')}`,
      subject: 'A pot of tea',
      totalAmount: '12.30',
    });
    await shop.alipay.control.open(paymentUrl);
    await shop.alipay.control.scan(outTradeNo);
    expired.push({ orderId, outTradeNo });
  }
  await shop.sql(
    `UPDATE orders SET created_at = created_at - interval '25 hours', expires_at = expires_at - interval '25 hours'
     WHERE status = 'UNPAID'`,
  );
  return expired;
}

const statusesOf = (ids: string[]) =>
  Promise.all(ids.map(async (orderId) => (await shop.payments.order(orderId)).status));

describe('under plain cron', () => {
  const WORKFLOW_ID = 'sweep-by-cron';

  /** Starts it as an operator would, with Temporal's own CLI; returns the first run's id. */
  async function startByCli(): Promise<string> {
    const { stdout } = await promisify(execFile)(
      temporalCli(),
      [
        ...['workflow', 'start', '--cron', '@every 3s', '--workflow-id', WORKFLOW_ID],
        ...['--type', WORKFLOWS.sweepExpiredOrders, '--task-queue', TASK_QUEUES.payments],
        ...['--input', '{"parallel":2,"pageSize":2}'],
        ...['--address', temporalAddress(), '--namespace', shop.namespace, '--output', 'json'],
      ],
      { env: { PATH: process.env['PATH'], HOME: process.env['HOME'] } },
    );
    return (JSON.parse(stdout) as { runId: string }).runId;
  }

  /** The report of one tick, and the run of the next. The client would wait for the end of the whole cron. */
  async function tick(runId: string): Promise<{ report: SweepReport; nextRunId: string }> {
    const { result, newExecutionRunId } = await waitFor(
      async () => {
        const { events } = await shop.temporal.workflow.getHandle(WORKFLOW_ID, runId).fetchHistory();
        return events?.at(-1)?.workflowExecutionCompletedEventAttributes;
      },
      { what: 'the tick to end' },
    );
    const [payload] = result?.payloads ?? [];
    if (!payload || !newExecutionRunId) throw new Error('the tick has no result, or no successor');
    return { report: defaultPayloadConverter.fromPayload(payload), nextRunId: newExecutionRunId };
  }

  it('three pages take two ticks: the second goes on where the first ended', async () => {
    const expired = await expiredOrders(5);
    const first = await tick(await startByCli());

    expect(first.report).toMatchObject({ scanned: 4, closed: 4, failed: 0 });
    expect(first.report.next).toMatchObject({ orderId: expired[3]?.orderId });
    expect(await statusesOf(expired.map(({ orderId }) => orderId))).toEqual([
      ...Array<string>(4).fill('CLOSED'),
      'UNPAID',
    ]);

    const second = await tick(first.nextRunId);
    expect(second.report).toMatchObject({ scanned: 1, closed: 1, failed: 0 });
    expect(second.report.next).toBeUndefined();
    expect(await statusesOf(expired.map(({ orderId }) => orderId))).toEqual(Array<string>(5).fill('CLOSED'));

    // The cron continues, from the beginning again.
    const third = await tick(second.nextRunId);
    expect(third.report).toMatchObject({ scanned: 0, closed: 0 });
    await shop.temporal.workflow.getHandle(WORKFLOW_ID).terminate();
  });
});

describe('under the Schedule', () => {
  beforeAll(() => shop.payments.sweep.install());
  afterAll(() => shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).delete());

  const describeSchedule = () => shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).describe();

  it('runs by itself, and closes what has expired', async () => {
    const [order] = await expiredOrders(1);
    await waitFor(async () => (await statusesOf([order?.orderId ?? '']))[0] === 'CLOSED', {
      what: 'the scheduled sweep to close the order',
    });
    const trade = await shop.alipay.control.trade(order?.outTradeNo ?? '');
    expect(trade).toMatchObject({ status: 'TRADE_CLOSED' });
  });

  it('reports what it did last', async () => {
    const before = (await describeSchedule()).info.numActionsTaken;
    const report = await waitFor(
      async () => {
        if ((await describeSchedule()).info.numActionsTaken <= before) return false;
        const last = await shop.payments.sweep.report();
        return last.status === 'COMPLETED' && last.report;
      },
      { what: 'a sweep to have run' },
    );
    expect(report).toMatchObject({ scanned: 0, closed: 0, failed: 0, gatewayDown: false });
  });

  it('never runs beside itself: a tick that finds a sweep at work is skipped', async () => {
    const skippedBefore = (await describeSchedule()).info.numActionsSkippedOverlap;
    // Query, close and query again take a second each: the sweep outlasts several ticks.
    await shop.alipay.control.latency(1_000);
    const expired = await expiredOrders(2);
    await waitFor(
      async () => {
        // A busy machine may treat a slow answer as none, which pauses the order.
        await shop.sql(`UPDATE orders SET held_until = NULL WHERE held_until > now()`);
        return (await statusesOf(expired.map(({ orderId }) => orderId))).every((it) => it === 'CLOSED');
      },
      { what: 'the slow sweep to close both orders', timeoutMs: 50_000, everyMs: 500 },
    );
    await waitFor(async () => (await describeSchedule()).info.numActionsSkippedOverlap > skippedBefore, {
      what: 'a skipped tick to be counted',
    });

    const { recentActions } = (await describeSchedule()).info;
    const runs = await Promise.all(
      recentActions.map(({ action }) =>
        shop.temporal.workflow.getHandle(action.workflow.workflowId).describe(),
      ),
    );
    const inOrder = runs.sort((one, other) => one.startTime.getTime() - other.startTime.getTime());
    for (const [i, run] of inOrder.entries()) {
      const next = inOrder[i + 1];
      if (next) expect(run.closeTime?.getTime()).toBeLessThanOrEqual(next.startTime.getTime());
    }
  });

  it('keeps its pause when it is installed again', async () => {
    const handle = shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID);
    await handle.pause('an operator looks');
    await shop.payments.sweep.install();

    expect((await handle.describe()).state).toMatchObject({ paused: true, note: 'an operator looks' });
    await handle.unpause();
  });
});
