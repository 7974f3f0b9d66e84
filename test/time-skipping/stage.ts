import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import type { confirmPayment } from '../../workflows';
import type { ConfirmPaymentInput, Recorded } from '../../workflows/messages';
import { SIGNALS, TASK_QUEUES, WORKFLOWS, paymentWorkflowId } from '../../workflows/messages';
import { timeSkippingEnvironment, workflowBundle } from '../support';
import type { FakePayment } from './world';
import { BEAT_MS, FakeWorld } from './world';

const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

/** Rounds down: nothing comes early, but the server's clock runs on while a busy machine works on a task. */
const STEP = 30 * SECOND;

/** A payment whose workflow runs on the stage. */
export interface PaymentOnStage {
  outTradeNo: string;
  row: FakePayment;
  handle: WorkflowHandleWithFirstExecutionRunId<typeof confirmPayment>;
  /** Stores a notification and tells the run, as the notify endpoint does. */
  notify: (becomes: Partial<Recorded>) => Promise<void>;
  /** The check number of each query. */
  checksAsked: () => number[];
  /** Seconds from the start to each query, in steps of {@link STEP}. */
  askedAfter: () => number[];
  /** Seconds from the start to the end, in steps of {@link STEP}; call it after the end. */
  endedAfter: () => Promise<number>;
}

/** The real workflows on a time-skipping server, with the outside world in memory. */
export interface Stage {
  environment: TestWorkflowEnvironment;
  world: FakeWorld;
  /** Starts a payment's workflow as a checkout does: three checks, one minute apart. */
  startPayment: (row?: Partial<FakePayment>, input?: Partial<ConfirmPaymentInput>) => Promise<PaymentOnStage>;
  close: () => Promise<void>;
}

/** Opens a stage for one test file; the file closes it. */
export async function openStage(): Promise<Stage> {
  const environment = await patiently(timeSkippingEnvironment);
  const world = new FakeWorld(() => environment.currentTimeMs());
  const workers = await createWorkers(environment, world);
  const running = Promise.all(workers.map((worker) => worker.run()));
  let payments = 0;
  return {
    environment,
    world,
    async startPayment(row = {}, input = {}) {
      payments += 1;
      return startPayment(environment, world, `trade_${payments}`, row, input);
    },
    async close() {
      for (const worker of workers) worker.shutdown();
      await running;
      await environment.teardown();
    },
  };
}

/** The SDK gives the server 5 s to start, which may not be enough on a busy machine at the first try. */
async function patiently<T>(open: () => Promise<T>, tries = 4): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (tries === 1) throw error;
    return patiently(open, tries - 1);
  }
}

async function createWorkers(
  { nativeConnection: connection }: TestWorkflowEnvironment,
  world: FakeWorld,
): Promise<Worker[]> {
  const bundle = await workflowBundle();
  return Promise.all([
    Worker.create({
      connection,
      taskQueue: TASK_QUEUES.payments,
      workflowBundle: bundle,
      activities: world.paymentsQueue(),
    }),
    Worker.create({
      connection,
      taskQueue: TASK_QUEUES.alipay,
      activities: world.alipayQueue(),
      maxHeartbeatThrottleInterval: BEAT_MS,
    }),
    Worker.create({
      connection,
      taskQueue: TASK_QUEUES.orderService,
      workflowBundle: bundle,
      activities: world.orderServiceQueue(),
    }),
  ]);
}

async function startPayment(
  { client }: TestWorkflowEnvironment,
  world: FakeWorld,
  outTradeNo: string,
  row: Partial<FakePayment>,
  input: Partial<ConfirmPaymentInput>,
): Promise<PaymentOnStage> {
  const placed = world.place(outTradeNo, row);
  const handle = await client.workflow.start<typeof confirmPayment>(WORKFLOWS.confirmPayment, {
    workflowId: paymentWorkflowId(outTradeNo),
    taskQueue: TASK_QUEUES.payments,
    args: [{ outTradeNo, checks: 3, intervalMs: MINUTE, ...input }],
  });
  const { startTime } = await handle.describe();
  const secondsAfter = (time: number): number =>
    (Math.floor((time - startTime.getTime()) / STEP) * STEP) / SECOND;
  return {
    outTradeNo,
    row: placed,
    handle,
    notify: (becomes) =>
      handle.signal(SIGNALS.alipayNotified, { eventId: world.storeNotification(outTradeNo, becomes) }),
    checksAsked: () => world.asksOf(outTradeNo).map(({ check }) => check),
    askedAfter: () => world.asksOf(outTradeNo).map(({ at }) => secondsAfter(at)),
    async endedAfter() {
      const { closeTime } = await handle.describe();
      return secondsAfter(closeTime?.getTime() ?? Number.NaN);
    },
  };
}
