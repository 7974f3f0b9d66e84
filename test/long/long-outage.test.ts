import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it, jest } from '@jest/globals';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import type { AlipayGateway } from '../../activities/alipay/gateway';
import { openGateways } from '../../activities/alipay/open';
import { PROBE_OUT_TRADE_NO } from '../../activities/alipay/gateway';
import { findTimeSkippingServer } from '../support/time-skipping-server';
import { KEYWORD } from '../../worker/search-attributes';
import { createWorkers } from '../../worker/worker';
import { SEARCH_ATTRIBUTES, TASK_QUEUES, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { inActivity, openShop, waitFor, workflowBundle } from '../support';
import { Line } from '../support/line';
import { Story } from '../integration/story';

// No worker reaches Alipay for ten minutes, with checks at their real interval. Temporal's clock skips; what is due in
// Postgres is moved with it, so that both always agree.

const PAYMENTS = 20;
const MINUTE = 60_000;

/** More than the checks are planned for: the longest pause, five intervals, and its allowance. */
const ALLOWANCE_MS = 15_000;
const LONGEST_MS = 5 * MINUTE + ALLOWANCE_MS;

let environment: TestWorkflowEnvironment;
let shop: Shop;
let story: Story;
let line: Line;
const gateways: AlipayGateway[] = [];
const ends: (() => Promise<void>)[] = [];

/** How far Temporal's clock is ahead of Postgres', until the rows are moved. */
let skippedMs = 0;

beforeAll(async () => {
  const { TestWorkflowEnvironment: Environment } = await import('@temporalio/testing');
  const executable = await findTimeSkippingServer({ say: () => undefined });
  // The SDK gives a server 5 s to start; a busy machine may need more.
  environment = await waitFor(() => Environment.createTimeSkipping({ server: { executable } }), {
    what: 'a time-skipping server',
    timeoutMs: MINUTE,
  });
  const namespace = 'default';
  const names = Object.values(SEARCH_ATTRIBUTES);
  await environment.connection.operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(names.map((name) => [name, KEYWORD])),
  });
  const temporal = { address: environment.address, namespace };
  shop = await openShop(__filename, { queues: [], temporal, payments: { checks: 3, intervalMs: MINUTE } });
  story = new Story(shop);
  line = await Line.to(new URL(shop.alipay.gateway).host);
  await startWorker();
  await startWorker();
  skippedMs = (await environment.currentTimeMs()) - Date.now();
}, 240_000);
afterAll(async () => {
  await Promise.all(ends.map((end) => end()));
  await shop.close();
  await line.close();
  await environment.teardown();
});

/**
 * A worker with its own gateway client and circuit breaker, which reaches Alipay through the line. It takes a task at
 * once even though its circuit is open: waiting for its slots (sick-worker.test.ts) takes ten real seconds each time.
 */
async function startWorker(): Promise<void> {
  const { deps, db, namespace } = shop;
  const gateway = new URL(shop.alipay.gateway);
  gateway.host = line.address;
  const alipay = openGateways(db, [{ ...deps.alipay.own.settings, gateway: gateway.href }]);
  gateways.push(alipay.own);
  const connection = await NativeConnection.connect({ address: environment.address });
  const workers = await createWorkers({
    connection,
    namespace,
    queues: [TASK_QUEUES.payments],
    deps,
    workflowBundle: await workflowBundle(),
  });
  workers.push(
    await Worker.create({
      connection,
      namespace,
      taskQueue: TASK_QUEUES.alipay,
      activities: createAlipayQueueActivities({ ...deps, alipay }),
    }),
  );
  const running = Promise.all(workers.map((worker) => worker.run()));
  ends.push(async () => {
    for (const worker of workers) worker.shutdown();
    await running;
    await connection.close();
  });
}

/** Lets time pass, in Temporal and in Postgres. */
async function pass(ms: number): Promise<void> {
  await environment.sleep(ms);
  const skipped = (await environment.currentTimeMs()) - Date.now();
  const by = { ms: skipped - skippedMs };
  skippedMs = skipped;
  await shop.sql(
    `UPDATE payments SET next_check_at = next_check_at - :ms * interval '1 millisecond',
       revive_at = revive_at - :ms * interval '1 millisecond'`,
    by,
  );
  await shop.sql(`UPDATE orders SET expires_at = expires_at - :ms * interval '1 millisecond'`, by);
}

/** For each timer of a run: what it was set to, and how long after its start the answer came, ms; null: postponed. */
async function checksOf(outTradeNo: string): Promise<{ planned: number; answeredAfter: number | null }[]> {
  const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
  const at = (event: { eventTime?: { seconds?: unknown; nanos?: number | null } | null }): number =>
    Number(event.eventTime?.seconds) * 1_000 + (event.eventTime?.nanos ?? 0) / 1e6;
  const checks: { planned: number; answeredAfter: number | null; began: number }[] = [];
  for (const event of events ?? []) {
    const timer = event.timerStartedEventAttributes;
    if (timer) {
      const { seconds, nanos } = timer.startToFireTimeout ?? {};
      checks.push({
        planned: Number(seconds ?? 0) * 1_000 + (nanos ?? 0) / 1e6,
        answeredAfter: null,
        began: at(event),
      });
    }
    const last = checks.at(-1);
    if (event.activityTaskCompletedEventAttributes && last) last.answeredAfter = at(event) - last.began;
  }
  return checks;
}

it('ten minutes in which nobody reaches Alipay make nobody unwatched, and then each check is made in its time', async () => {
  const log = pino({ level: 'silent' });
  const errors = jest.spyOn(log, 'error');
  const activities = createPaymentsQueueActivities({ ...shop.deps, log });
  const payments = await Promise.all(Array.from({ length: PAYMENTS }, () => story.checkOut()));
  const runs = await Promise.all(
    payments.map(({ outTradeNo }) =>
      shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe(),
    ),
  );
  const checked = async () =>
    (
      await shop.sql<{ count: number }>(
        `SELECT CAST(count(*) AS integer) AS count FROM payments WHERE checks > 0`,
      )
    )[0]?.count;
  const followUp = async () =>
    expect(await inActivity(() => activities.watchUnwatched())).toEqual({ done: 0, failed: 0, left: false });

  line.cut();
  for (const gateway of gateways) {
    while (!gateway.circuit.isOpen) await gateway.query(PROBE_OUT_TRADE_NO).catch(() => undefined);
  }
  const cutAt = await environment.currentTimeMs();
  while ((await environment.currentTimeMs()) - cutAt < 10 * MINUTE) {
    await pass(15_000);
    await followUp();
  }
  expect(gateways.map(({ circuit }) => circuit.isOpen)).toEqual([true, true]);
  expect(await checked()).toBe(0);

  await line.restore();
  // A breaker's pause runs on the real clock.
  for (const gateway of gateways) {
    await waitFor(() => gateway.query(PROBE_OUT_TRADE_NO), { what: 'a probe to succeed', timeoutMs: 30_000 });
  }
  const mendedAt = await environment.currentTimeMs();
  while ((await checked()) !== PAYMENTS) {
    expect((await environment.currentTimeMs()) - mendedAt).toBeLessThan(LONGEST_MS);
    await pass(5_000);
    await followUp();
    await sleep(100);
  }

  for (const [number, { outTradeNo }] of payments.entries()) {
    const checks = await checksOf(outTradeNo);
    const first = checks.findIndex(({ answeredAfter }) => answeredAfter !== null);
    expect(first).toBeGreaterThanOrEqual(3);
    const { planned, answeredAfter } = checks[first] ?? { planned: 0 };
    expect(planned).toBeLessThanOrEqual(5 * MINUTE);
    expect(answeredAfter).toBeLessThanOrEqual(planned + ALLOWANCE_MS);
    const { runId } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
    expect(runId).toBe(runs[number]?.runId);
  }
  expect(await shop.sql(`SELECT out_trade_no FROM payments WHERE revivals > 0`)).toEqual([]);
  expect(errors).not.toHaveBeenCalled();
}, 300_000);
