import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowExecutionDescription } from '@temporalio/client';
import type { PaymentSettings } from '../../client/index';
import { reconciliationsOf } from '../../client/reconciliations';
import { sweepsOf } from '../../client/sweep';
import type { Reconciliation } from '../../workflows/messages';
import { TASK_QUEUES } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

// Workers only of queue payments, or none: nothing fetches a bill, so its run waits once a worker has taken it up.

let shop: Shop;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 }, queues: [] });
});
afterAll(() => shop.close());

const sweeps = () =>
  sweepsOf({ temporal: shop.temporal, settings: { sweep: { parallel: 1 } } as PaymentSettings }, 1_000);

const reconcile = (date: string, takenUpMs?: number): Promise<Reconciliation> =>
  reconciliationsOf(shop.deps, takenUpMs).run({ date, execute: false });

async function underWay(): Promise<WorkflowExecutionDescription[]> {
  const found: WorkflowExecutionDescription[] = [];
  for await (const { workflowId } of shop.temporal.workflow.list({ query: `ExecutionStatus = 'Running'` }))
    found.push(await shop.temporal.workflow.getHandle(workflowId).describe());
  return found;
}

describe('a run by hand', () => {
  it('fails where no worker takes it up, and goes on once one is there', async () => {
    let shown = 0;
    const ends = await Promise.allSettled([
      sweeps().run({}, () => (shown += 1)),
      sweeps().run({ dryRun: true }),
      reconcile('2026-01-01', 1_000),
    ]);
    const reason = {
      code: 'TEMPORAL_UNAVAILABLE',
      message: expect.stringMatching(/^No result within 1 s: no worker is running/) as unknown,
    };
    for (const end of ends) expect(end).toMatchObject({ status: 'rejected', reason });
    expect(shown).toBeGreaterThan(0);
    const runs = await waitFor(
      async () => {
        const found = await underWay();
        return found.length === 3 && found;
      },
      { what: 'the runs to be listed' },
    );
    const hours = runs.map(({ raw }) => Number(raw.executionConfig?.workflowRunTimeout?.seconds) / 3_600);
    expect(hours.sort()).toEqual([2, 2, 6]);
    await shop.startWorkers({ queues: [TASK_QUEUES.payments] });
    await waitFor(async () => (await underWay()).length === 1, { what: 'the sweeps to end' });
  });

  it('is waited for once a worker has taken it up, however long it takes', async () => {
    // Both wait for one run: the second finds it taken up.
    const ends = [reconcile('2026-01-02').catch((error: unknown) => error)];
    const run = await waitFor(
      async () =>
        (await underWay()).find(
          ({ workflowId, historyLength }) => workflowId.endsWith('2026-01-02') && historyLength > 2,
        ),
      { what: 'a worker to take it up' },
    );
    ends.push(reconcile('2026-01-02', 2_000).catch((error: unknown) => error));
    expect(await Promise.race([...ends, sleep(3_000, 'waits')])).toBe('waits');
    await shop.temporal.workflow.getHandle(run.workflowId).terminate();
    for (const end of ends) expect(await end).toMatchObject({ code: 'INTERNAL' });
  });

  it('is waited for while workers are too busy to take it up', async () => {
    // To the server, one that stopped a moment ago looks like one that is busy.
    await shop.stopWorkers();
    const ending = sweeps().run();
    expect(await Promise.race([ending, sleep(3_000, 'waits')])).toBe('waits');
    await shop.startWorkers({ queues: [TASK_QUEUES.payments] });
    expect(await ending).toMatchObject({ closed: 0 });
  });
});
