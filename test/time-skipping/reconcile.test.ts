import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { auditBooks, reconcileBill, reconcileBills } from '../../workflows';
import { TASK_QUEUES, WORKFLOWS, reconcileWorkflowId } from '../../workflows/messages';
import type { Stage } from './stage';
import { openStage } from './stage';
import { FakeBill, Held } from './world';

const MERCHANT = '2021000000000000/2088000000000000';
const SELLER = '2088000000000000';

let stage: Stage;
let runs = 0;
beforeAll(async () => {
  stage = await openStage();
});
afterEach(() => {
  stage.world.bill = new FakeBill();
});
afterAll(() => stage.close());

const billOf = (date: string, merchant = MERCHANT, sellerId = SELLER) => ({ merchant, sellerId, date });
const idOf = (date: string, sellerId = SELLER): string => reconcileWorkflowId({ sellerId, date });

/** Starts what the Schedule starts. */
function reconcileDue(...due: ReturnType<typeof billOf>[]) {
  stage.world.dueBills = due;
  runs += 1;
  return stage.environment.client.workflow.start<typeof reconcileBills>(WORKFLOWS.reconcileBills, {
    workflowId: `reconcile-due-${runs}`,
    taskQueue: TASK_QUEUES.payments,
    args: [{ repair: 'all' }],
  });
}

const reconcile = (date: string) =>
  stage.environment.client.workflow.start<typeof reconcileBill>(WORKFLOWS.reconcileBill, {
    workflowId: idOf(date),
    taskQueue: TASK_QUEUES.payments,
    args: [{ merchant: MERCHANT, date, execute: true }],
  });

it('an audit that is started by hand without any input looks at what has moved', async () => {
  const audit = await stage.environment.client.workflow.execute<typeof auditBooks>(WORKFLOWS.auditBooks, {
    workflowId: 'audit-by-hand',
    taskQueue: TASK_QUEUES.payments,
    args: [],
  });
  expect(stage.world.audited).toEqual([{ whole: false }]);
  expect(audit).toMatchObject({ violations: 0 });
});

describe('a bill', () => {
  it('whose repairs break off is compared by what was repaired until then', async () => {
    const repairFailure = ApplicationFailure.create({ type: 'INTERNAL', message: 'broken' });
    Object.assign(stage.world.bill, { open: 3, repairs: [2], repairFailure });
    const done = await (await reconcile('2026-04-01')).result();
    expect(done).toMatchObject({ status: 'COMPARED', executed: true, report: { open: 1 } });
  });

  it('that a worker without its merchant cannot fetch is fetched by another', async () => {
    stage.world.bill.failures.push(
      ApplicationFailure.create({ type: 'MERCHANT_UNKNOWN', message: "another worker's" }),
    );
    expect(await (await reconcile('2026-05-02')).result()).toMatchObject({ status: 'COMPARED' });
  });

  it('that cannot be fetched is noted with the reason, for the next run', async () => {
    const refused = ApplicationFailure.create({
      type: 'MERCHANT_UNKNOWN',
      message: 'not ours',
      nonRetryable: true,
    });
    stage.world.bill.failures.push(refused);
    expect(await (await reconcile('2026-05-01')).result()).toMatchObject({
      status: 'FAILED',
      because: 'MERCHANT_UNKNOWN: not ours',
    });
  });
});

describe('the bills that are due', () => {
  it('are reconciled though the run of one of them fails', async () => {
    const broken = billOf('2026-01-01', 'no merchant');
    const handle = await reconcileDue(broken, billOf('2026-01-02'));
    expect(await handle.result()).toEqual([idOf('2026-01-01'), idOf('2026-01-02')]);
    expect(stage.world.bill.fetched).toEqual(['2026-01-02']);
  });

  it("wait while somebody else's run is at work on the same seller, and those of another seller do not", async () => {
    const fetching = new Held();
    stage.world.bill.onFetch = async ({ date }) => {
      if (date === '2026-02-01') await fetching.reply();
    };
    const theirs = await reconcile('2026-02-01');
    await fetching.begun;
    const other = billOf('2026-02-03', '2021000000000001/2088000000000001', '2088000000000001');
    const handle = await reconcileDue(billOf('2026-02-01'), billOf('2026-02-02'), other);
    expect(await handle.result()).toEqual([idOf('2026-02-03', '2088000000000001')]);
    fetching.release('unknown');
    expect(await theirs.result()).toMatchObject({ status: 'COMPARED' });
    expect(stage.world.bill.fetched).toEqual(['2026-02-01', '2026-02-03']);
  });

  // The last test: the server skips no more time once an activity has outlived its run.
  it('are left alone once that is cancelled: nothing is noted of the bill at hand', async () => {
    const fetching = new Held();
    stage.world.bill.onFetch = async () => {
      await fetching.reply();
    };
    const handle = await reconcileDue(billOf('2026-03-01'), billOf('2026-03-02'));
    const end = handle.result().catch((error: unknown) => error);
    await fetching.begun;
    await handle.cancel();
    expect(await end).toMatchObject({ cause: expect.any(CancelledFailure) as unknown });
    fetching.release('unknown');
    const { status } = await stage.environment.client.workflow.getHandle(idOf('2026-03-01')).describe();
    expect(status.name).toBe('CANCELLED');
    expect(stage.world.bill.fetched).toEqual(['2026-03-01']);
  });
});
