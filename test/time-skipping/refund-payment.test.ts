import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import { ApplicationFailure, WorkflowFailedError, WorkflowUpdateFailedError } from '@temporalio/client';
import type { refundPayment } from '../../workflows';
import type { RefundPaymentInput, RefundState, ResolveRefund } from '../../workflows/messages';
import { SIGNALS, TASK_QUEUES, UPDATES, WORKFLOWS, refundWorkflowId } from '../../workflows/messages';
import { waitFor } from '../support';
import type { Stage } from './stage';
import { HOUR, openStage } from './stage';
import type { FakeRefund } from './world';
import { alipayFailure } from './world';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

type Handle = WorkflowHandleWithFirstExecutionRunId<typeof refundPayment>;

const run = (input: RefundPaymentInput): Promise<Handle> =>
  stage.environment.client.workflow.start<typeof refundPayment>(WORKFLOWS.refundPayment, {
    workflowId: refundWorkflowId({ ...input, kind: 'shop' }),
    taskQueue: TASK_QUEUES.payments,
    args: [input],
  });

let refunds = 0;

async function startRefund(row: Partial<FakeRefund> = {}): Promise<{ row: FakeRefund; handle: Handle }> {
  const placed = stage.world.placeRefund(`R${(refunds += 1)}`, row);
  const { outTradeNo, outRequestNo } = placed;
  return { row: placed, handle: await run({ outTradeNo, outRequestNo }) };
}

const DECISION: ResolveRefund = { to: 'DONE', actor: 'an operator', reason: 'looked at the portal' };

const resolve = (handle: Handle, decision: ResolveRefund): Promise<RefundState> =>
  handle.executeUpdate<RefundState, [ResolveRefund]>(UPDATES.resolveRefund, { args: [decision] });

const triesOf = ({ outRequestNo }: FakeRefund): number[] =>
  stage.world.refundsTried.filter((tried) => tried.outRequestNo === outRequestNo).map(({ at }) => at);

describe('a refund', () => {
  it('that Alipay makes at once ends DONE', async () => {
    const { row, handle } = await startRefund();
    const { outTradeNo, outRequestNo } = row;
    expect(await handle.result()).toEqual({ outTradeNo, outRequestNo, status: 'DONE', amount: '3.00' });
    expect(triesOf(row)).toHaveLength(1);
  });

  it('is asked for until that is proven, with growing pauses, however long it takes', async () => {
    const { row, handle } = await startRefund({
      tries: Array.from({ length: 12 }, () => alipayFailure('unknown')),
    });
    expect(await handle.result()).toMatchObject({ status: 'DONE' });
    const tries = triesOf(row);
    const pauses = tries.slice(1).map((at, i) => (at - (tries[i] ?? at)) / 1_000);
    // From 10 s, doubling each time, up to ten minutes.
    const least = [10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600, 600];
    expect(pauses).toHaveLength(least.length);
    for (const [i, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(least[i] ?? Infinity);
      expect(pause).toBeLessThan(2 * (least[i] ?? 0));
    }
  });

  it('that Alipay refuses ends REFUSED', async () => {
    const { handle } = await startRefund({ tries: [alipayFailure('unknown'), { status: 'REFUSED' }] });
    expect(await handle.result()).toMatchObject({ status: 'REFUSED' });
  });

  it('is asked for once more where its run was started twice: the row says that it is DONE', async () => {
    const { row, handle } = await startRefund();
    await handle.result();
    const { outTradeNo, outRequestNo } = row;
    expect(await (await run({ outTradeNo, outRequestNo })).result()).toMatchObject({ status: 'DONE' });
    expect(triesOf(row)).toHaveLength(1);
  });

  it('that nobody asked for fails, and says so', async () => {
    const handle = await run({ outTradeNo: 'trade', outRequestNo: 'never' });
    const error: unknown = await handle.result().catch((it: unknown) => it);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect((error as WorkflowFailedError).cause?.cause).toMatchObject({ type: 'REFUND_UNKNOWN' });
  });

  it.each([[undefined], [{ outTradeNo: 'a-b', outRequestNo: 'R' }], [{ outTradeNo: 'x' }]])(
    'cannot be begun with %j',
    async (input) => {
      const handle = await stage.environment.client.workflow.start(WORKFLOWS.refundPayment, {
        workflowId: `refund-bad-${(refunds += 1)}`,
        taskQueue: TASK_QUEUES.payments,
        args: [input],
      });
      const error: unknown = await handle.result().catch((it: unknown) => it);
      expect((error as WorkflowFailedError).cause).toMatchObject({ type: 'INVALID_INPUT' });
    },
  );
});

describe('a refund in review', () => {
  it('waits for a person, for months if need be, and asks Alipay no more', async () => {
    const { row, handle } = await startRefund({ tries: [{ status: 'REVIEW' }] });
    await stage.environment.sleep(90 * 24 * HOUR);
    expect((await handle.describe()).status.name).toBe('RUNNING');
    expect(triesOf(row)).toHaveLength(1);

    expect(await resolve(handle, DECISION)).toMatchObject({ status: 'DONE' });
    expect(await handle.result()).toMatchObject({ status: 'DONE' });
  });

  it('ends too where its row was decided elsewhere, though nobody tells its run', async () => {
    const { row, handle } = await startRefund({ tries: [{ status: 'REVIEW' }] });
    await stage.environment.sleep(HOUR);
    Object.assign(row, { status: 'REFUSED' });
    expect(await handle.result()).toMatchObject({ status: 'REFUSED' });
  });

  it.each([
    ['an outcome that there is not', { ...DECISION, to: 'PAID' }],
    ['nobody who decides', { ...DECISION, actor: ' ' }],
    ['no reason', { ...DECISION, reason: '' }],
    ['nothing at all', undefined],
  ])('refuses %s', async (_, decision) => {
    const { handle } = await startRefund({ tries: [{ status: 'REVIEW' }] });
    await stage.environment.sleep(HOUR);
    await expect(resolve(handle, decision as ResolveRefund)).rejects.toThrow(WorkflowUpdateFailedError);
    await resolve(handle, { ...DECISION, to: 'REFUSED' });
    expect(await handle.result()).toMatchObject({ status: 'REFUSED' });
  });

  it('goes on as a new run before its history grows long', async () => {
    const { handle } = await startRefund({ tries: [{ status: 'REVIEW' }] });
    await stage.environment.sleep(HOUR);
    for (let round = 0; round < 12; round += 1) {
      await Promise.all(Array.from({ length: 100 }, () => handle.signal(SIGNALS.rowMoved)));
    }
    await waitFor(
      async () => {
        const newest = stage.environment.client.workflow.getHandle(handle.workflowId);
        return (await newest.describe()).runId !== handle.firstExecutionRunId;
      },
      { what: 'a new run', timeoutMs: 40_000 },
    );
    expect(await resolve(handle, DECISION)).toMatchObject({ status: 'DONE' });
  });
});

// The last test of the file: the server never skips time again once a run has ended with an activity in flight.
it('a refund whose row moved while it waited for its next try reads it at once', async () => {
  const failure = ApplicationFailure.create({
    type: 'ALIPAY_UNKNOWN',
    message: 'no',
    nextRetryDelay: '30 days',
  });
  const { row, handle } = await startRefund({ tries: [failure] });
  await stage.environment.sleep(HOUR);
  Object.assign(row, { status: 'REFUSED' });
  await handle.signal(SIGNALS.rowMoved);
  expect(await handle.result()).toMatchObject({ status: 'REFUSED' });
});
