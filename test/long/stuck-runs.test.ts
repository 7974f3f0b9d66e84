import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Worker } from '@temporalio/worker';
import { createPaymentsQueueActivities } from '../../activities';
import { WORKFLOWS, paymentWorkflowId } from '../../workflows/messages';
import { createWorkers } from '../../worker/worker';
import type { Shop } from '../support';
import { openShop, waitFor, workflowBundle } from '../support';
import { Story } from '../integration/story';

// Runs that cannot continue by themselves: only the server can end them, and their rows start others.

let shop: Shop;
let story: Story;
let stop: (() => Promise<void>) | undefined;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [], payments: { intervalMs: 600_000 } });
  story = new Story(shop);
});
afterEach(async () => {
  await stop?.();
  stop = undefined;
});
afterAll(() => shop.close());

const NOTHING = { done: 0, failed: 0, left: false };

/** The follow-up's own activity; a worker on the queue would run into the broken build. */
const watchUnwatched = (temporal = shop.temporal) => {
  const activities = createPaymentsQueueActivities({ ...shop.deps, temporal });
  return new MockActivityEnvironment().run(() => activities.watchUnwatched());
};

async function serve(options: { workflowsPath?: string; buildId?: string }): Promise<void> {
  const { connection, namespace, deps } = shop;
  const [worker] = await createWorkers({
    connection,
    namespace,
    deps,
    queues: ['payments'],
    workflowBundle: await workflowBundle(
      options.workflowsPath ? { workflowsPath: options.workflowsPath } : {},
    ),
    ...(options.buildId && {
      build: { deploymentName: 'durable-alipay', buildId: options.buildId },
    }),
  });
  const running = (worker as Worker).run();
  stop = async () => {
    if (worker?.getState() === 'RUNNING') worker.shutdown();
    await running;
  };
}

/** A payment whose run was started with short workflow tasks, so that ten attempts take seconds. */
async function begun(): Promise<string> {
  const { outTradeNo } = await story.checkOut();
  await story.terminate(outTradeNo);
  await shop.temporal.workflow.start(WORKFLOWS.confirmPayment, {
    workflowId: paymentWorkflowId(outTradeNo),
    taskQueue: 'payments',
    workflowTaskTimeout: '1s',
    args: [{ outTradeNo, checks: 3, intervalMs: 600_000 }],
  });
  return outTradeNo;
}

const overdue = (...numbers: string[]) =>
  shop.sql(
    `UPDATE payments SET next_check_at = now() - interval '121 seconds' WHERE out_trade_no = ANY(:numbers)`,
    {
      numbers,
    },
  );

const describeRun = (outTradeNo: string) =>
  shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();

describe('a build on which every workflow task fails', () => {
  it('its runs are replaced after ten attempts, fifty by one follow-up', async () => {
    const alerts = jest.spyOn(shop.deps.log, 'error');
    await serve({ workflowsPath: join(__dirname, 'builds', 'failing.ts') });
    const numbers = await Promise.all(Array.from({ length: 55 }, begun));
    const attempts = async () =>
      (await Promise.all(numbers.map(describeRun))).map(({ raw }) => raw.pendingWorkflowTask?.attempt ?? 0);
    await waitFor(async () => Math.min(...(await attempts())) >= 4, {
      what: 'four attempts of each',
      timeoutMs: 120_000,
      everyMs: 1_000,
    });
    await overdue(...numbers);
    expect(await watchUnwatched()).toEqual(NOTHING);
    expect(await story.isRunning(numbers[0] as string)).toBe(true);

    const before = new Map(
      (await Promise.all(numbers.map(describeRun))).map((run) => [run.workflowId, run.runId]),
    );
    await overdue(...numbers);
    expect(await watchUnwatched(minutesLater())).toEqual({ ...NOTHING, done: 50 });
    expect(
      alerts.mock.calls.filter(([what]) => (what as { code?: string }).code === 'RUN_STUCK'),
    ).toHaveLength(50);
    // The remaining ones are looked at again in a minute.
    expect(await watchUnwatched(minutesLater())).toEqual(NOTHING);
    await shop.sql(
      `UPDATE payments SET next_check_at = next_check_at - interval '61 seconds' WHERE out_trade_no = ANY(:numbers)`,
      { numbers },
    );
    expect(await watchUnwatched(minutesLater())).toEqual({ ...NOTHING, done: 5 });
    for (const outTradeNo of numbers) {
      const run = await describeRun(outTradeNo);
      expect([run.status.name, before.get(run.workflowId) === run.runId]).toEqual(['RUNNING', false]);
    }
  }, 400_000);
});

describe('a run that is pinned to a build', () => {
  it('is left alone as long as a worker polls for that build, and replaced when none has for five minutes', async () => {
    await serve({ buildId: '1.0.0' });
    const version = { deploymentName: 'durable-alipay', buildId: '1.0.0' };
    await waitFor(
      () =>
        shop.temporal.workflowService
          .setWorkerDeploymentCurrentVersion({
            namespace: shop.namespace,
            deploymentName: version.deploymentName,
            buildId: version.buildId,
            ignoreMissingTaskQueues: true,
          })
          .then(
            () => true,
            () => false,
          ),
      { what: 'the build to be known', timeoutMs: 60_000, everyMs: 500 },
    );
    const { outTradeNo } = await story.checkOut();
    await waitFor(
      async () =>
        (await describeRun(outTradeNo)).raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion
          ?.buildId === '1.0.0',
      { what: 'the run to be pinned', timeoutMs: 60_000 },
    );
    const { runId } = await describeRun(outTradeNo);
    await overdue(outTradeNo);
    expect(await watchUnwatched()).toEqual(NOTHING);
    expect((await describeRun(outTradeNo)).runId).toBe(runId);

    await stop?.();
    await overdue(outTradeNo);
    expect(await watchUnwatched(withoutPollersOf('1.0.0'))).toEqual({ ...NOTHING, done: 1 });
    const run = await describeRun(outTradeNo);
    expect(run.status.name).toBe('RUNNING');
    expect(run.runId).not.toBe(runId);
  });
});

describe('a run without search attributes', () => {
  it('cannot be compared with its row: it is told once after a change, and never again', async () => {
    const { outTradeNo } = await story.checkOut();
    await shop.sql(
      `UPDATE payments SET status = 'REVIEW', revive_at = now() WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    const activities = createPaymentsQueueActivities({ ...shop.deps, temporal: withoutAttributes() });
    const attend = async () => {
      await story.age('payments', outTradeNo, 'revive_at', 0);
      return new MockActivityEnvironment().run(() => activities.attendUnattended());
    };
    expect(await attend()).toEqual({ ...NOTHING, done: 1 });
    for (let look = 0; look < 3; look += 1) expect(await attend()).toEqual(NOTHING);
    const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
    const signals = (events ?? []).flatMap(({ workflowExecutionSignaledEventAttributes: signal }) =>
      signal ? [signal.signalName] : [],
    );
    expect(signals.filter((name) => name === 'rowMoved')).toHaveLength(1);
    await story.terminate(outTradeNo);
  });
});

/** The same object, except for what `overrides` contains. */
function changed<T extends object>(target: T, overrides: Partial<T>): T {
  return new Proxy(target, {
    get: (of, name) =>
      (Object.hasOwn(overrides, name) ? Reflect.get(overrides, name) : Reflect.get(of, name, of)) as unknown,
  });
}

/** A client that describes runs differently. */
function describing(
  change: (described: WorkflowExecutionDescription) => WorkflowExecutionDescription,
): Client {
  const { temporal } = shop;
  const getHandle = (workflowId: string, runId?: string) => {
    const handle = temporal.workflow.getHandle(workflowId, runId);
    return changed(handle, { describe: async () => change(await handle.describe()) });
  };
  return changed(temporal, { workflow: changed(temporal.workflow, { getHandle }) });
}

/** As in a namespace without our search attributes. */
const withoutAttributes = (): Client =>
  describing((described) => ({ ...described, typedSearchAttributes: new TypedSearchAttributes([]) }));

/** From the fourth attempt on the server waits longer each time: the tenth comes after six minutes. Here, at once. */
const minutesLater = (): Client =>
  describing((described) => {
    const task = described.raw.pendingWorkflowTask;
    if (task?.attempt && task.attempt >= 4) task.attempt += 6;
    return described;
  });

/** The server remembers pollers for five minutes. Here those of one build are removed, and another build's added. */
function withoutPollersOf(buildId: string): Client {
  const { temporal } = shop;
  const { workflowService } = temporal;
  const describeTaskQueue = async (request: Parameters<typeof workflowService.describeTaskQueue>[0]) => {
    const described = await workflowService.describeTaskQueue(request);
    const others = described.pollers.filter(
      ({ deploymentOptions }) => deploymentOptions?.buildId !== buildId,
    );
    const newer = { deploymentOptions: { deploymentName: 'durable-alipay', buildId: '2.0.0' } };
    return Object.assign(described, { pollers: [...others, newer] });
  };
  return changed(temporal, { workflowService: changed(workflowService, { describeTaskQueue } as never) });
}
