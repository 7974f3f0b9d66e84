import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { ApplicationFailure, WorkflowUpdateFailedError } from '@temporalio/client';
import { Runtime } from '@temporalio/worker';
import type { Recorded } from '../../workflows/messages';
import type { PaymentState, ResolveReview } from '../../workflows/messages';
import { SIGNALS, UPDATES } from '../../workflows/messages';
import type { PaymentOnStage, Stage } from './stage';
import { waitFor } from '../support';
import { HOUR, openStage } from './stage';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const DECISION = { actor: 'an operator', reason: 'looked at the merchant portal' };

const notify = (payment: PaymentOnStage, becomes: Partial<Recorded>): Promise<void> =>
  payment.notify(becomes);

const resolve = ({ handle }: PaymentOnStage, decision: ResolveReview): Promise<PaymentState> =>
  handle.executeUpdate<PaymentState, [ResolveReview]>(UPDATES.resolveReview, { args: [decision] });

const state = ({ handle }: PaymentOnStage): Promise<PaymentState> => handle.query<PaymentState>('payment');

const tellingsOf = ({ row }: PaymentOnStage): number =>
  stage.world.toldOrders.filter((id) => id === row.orderId).length;

/** Not by a query: the test server never answers one that meets a run which is just continuing as new. */
const untilAtRest = ({ handle: { workflowId } }: PaymentOnStage): Promise<unknown> =>
  waitFor(
    async () => {
      const { events } = await stage.environment.client.workflow.getHandle(workflowId).fetchHistory();
      const last = events?.at(-1);
      return !(
        last?.workflowExecutionSignaledEventAttributes ??
        last?.workflowTaskScheduledEventAttributes ??
        last?.workflowTaskStartedEventAttributes
      );
    },
    { what: 'the run to have heard all signals', timeoutMs: 30_000 },
  );

/** Makes its history grow so long that it continues as a new run. */
async function goOnAsNew(payment: PaymentOnStage): Promise<void> {
  const { handle } = payment;
  for (let round = 0; round < 12; round += 1) {
    await Promise.all(Array.from({ length: 100 }, () => handle.signal(SIGNALS.rowMoved)));
    await untilAtRest(payment);
  }
  const { runId, historyLength } = await stage.environment.client.workflow
    .getHandle(handle.workflowId)
    .describe();
  expect(runId).not.toBe(handle.firstExecutionRunId);
  expect(historyLength).toBeLessThan(1_100);
}

async function startInReview(): Promise<PaymentOnStage> {
  const payment = await stage.startPayment();
  await notify(payment, { status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
  return payment;
}

/** The type of the failure that refused an update. */
async function refusalOf(update: Promise<unknown>): Promise<string | null | undefined> {
  const error: unknown = await update.catch((it: unknown) => it);
  if (!(error instanceof WorkflowUpdateFailedError))
    throw new Error('the update was not refused', { cause: error });
  const cause = error.cause?.cause ?? error.cause;
  return cause instanceof ApplicationFailure ? cause.type : undefined;
}

it('a payment that goes on as a new run after its checks makes no check again', async () => {
  const deadline = new Date((await stage.environment.currentTimeMs()) + 24 * HOUR).toISOString();
  const payment = await stage.startPayment({}, { closeBy: 'timer', deadline });
  await stage.environment.sleep('200s');
  await goOnAsNew(payment);

  expect(await payment.handle.result()).toMatchObject({ status: 'CLOSED', checks: 3 });
  expect(payment.checksAsked()).toEqual([1, 2, 3]);
});

describe('a payment in review', () => {
  it('is logged once, with its reason', async () => {
    const log = jest.spyOn(Runtime.instance().logger, 'log');
    const payment = await startInReview();
    await waitFor(async () => (await state(payment)).status === 'REVIEW', { what: 'the run to know' });
    await payment.handle.signal(SIGNALS.rowMoved);
    await untilAtRest(payment);

    expect(log.mock.calls.filter(([, , more]) => more?.['code'] === 'REVIEW')).toEqual([
      [
        'WARN',
        'a person must decide about a payment',
        expect.objectContaining({ outTradeNo: payment.outTradeNo, reason: 'AMOUNT_DIFFERS' }),
      ],
    ]);
    log.mockRestore();
    await payment.handle.terminate();
  });

  it('is asked about no more, and waits for a person, for a year if need be', async () => {
    const payment = await startInReview();
    await stage.environment.sleep(365 * 24 * HOUR);

    expect(payment.askedAfter()).toEqual([]);
    expect(await state(payment)).toMatchObject({ status: 'REVIEW', checks: 0, nextCheckAt: null });
    await payment.handle.terminate();
  });

  it('goes on as a new run before its history grows long, and waits on', async () => {
    const payment = await startInReview();
    await goOnAsNew(payment);
    expect(await resolve(payment, { to: 'PAID', ...DECISION })).toMatchObject({ status: 'PAID', checks: 0 });
    expect(payment.askedAfter()).toEqual([]);
  });

  it('becomes what the person decides, and the order service is told', async () => {
    const payment = await startInReview();
    expect(await resolve(payment, { to: 'PAID', ...DECISION })).toMatchObject({ status: 'PAID' });

    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
    expect(tellingsOf(payment)).toBe(1);
    expect(stage.world.decisions).toContainEqual({
      outTradeNo: payment.outTradeNo,
      to: 'PAID',
      ...DECISION,
    });
  });

  it('goes on waiting where the decision contradicts what Alipay says', async () => {
    const payment = await startInReview();

    expect(await refusalOf(resolve(payment, { to: 'CLOSED', ...DECISION }))).toBe('REVIEW_REFUSED');
    expect(await state(payment)).toMatchObject({ status: 'REVIEW' });
    await resolve(payment, { to: 'PAID', ...DECISION });
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
  });

  it.each([
    ['an outcome that there is not', { to: 'LOST', ...DECISION }],
    ['nobody who decides', { to: 'PAID', actor: ' ', reason: 'none' }],
    ['no reason', { to: 'PAID', actor: 'an operator', reason: '' }],
    ['nothing at all', undefined],
  ])('refuses %s before anything is asked', async (_, decision) => {
    const payment = await startInReview();
    const before = stage.world.decisions.length;

    await expect(resolve(payment, decision as ResolveReview)).rejects.toThrow(WorkflowUpdateFailedError);
    expect(stage.world.decisions).toHaveLength(before);
    expect(await state(payment)).toMatchObject({ status: 'REVIEW' });
    await payment.handle.terminate();
  });

  it('waits for its refund where the person decides so, and ends REFUNDED', async () => {
    const payment = await startInReview();
    expect(await resolve(payment, { to: 'REFUNDING', ...DECISION })).toMatchObject({ status: 'REFUNDING' });
    Object.assign(payment.row, { status: 'REFUNDED' });
    await payment.handle.signal(SIGNALS.rowMoved);

    expect(await payment.handle.result()).toMatchObject({ status: 'REFUNDED' });
  });

  it('reads its row where the decision was recorded, and only its answer never came', async () => {
    const lostDecisions = Array.from({ length: 5 }, () =>
      ApplicationFailure.create({ type: 'DATABASE_UNAVAILABLE', message: 'the answer is lost' }),
    );
    const payment = await stage.startPayment({ lostDecisions });
    await notify(payment, { status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
    const refusal = await refusalOf(resolve(payment, { to: 'PAID', ...DECISION }));

    expect(refusal).toBe('DATABASE_UNAVAILABLE');
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
  });

  it('waits too where the row stays PAID and only its reason says review', async () => {
    const payment = await stage.startPayment();
    await notify(payment, { status: 'PAID', reviewReason: 'TRADE_CLOSED', undelivered: true });
    await stage.environment.sleep(24 * HOUR);

    expect((await payment.handle.describe()).status.name).toBe('RUNNING');
    expect(await state(payment)).toMatchObject({ status: 'PAID' });
    expect(tellingsOf(payment)).toBe(1);
    await resolve(payment, { to: 'PAID', ...DECISION });
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
  });
});

describe('a payment that has to be given back', () => {
  it('waits for the run of its refund, however long it takes, and ends with it', async () => {
    const payment = await stage.startPayment();
    await notify(payment, { status: 'REFUNDING' });
    await stage.environment.sleep(24 * HOUR);
    expect(await state(payment)).toMatchObject({ status: 'REFUNDING' });

    Object.assign(payment.row, { status: 'REFUNDED' });
    await payment.handle.signal(SIGNALS.rowMoved);
    expect(await payment.handle.result()).toMatchObject({ status: 'REFUNDED', checks: 0 });
  });

  it('is handed to a person where its refund has ended otherwise', async () => {
    const payment = await stage.startPayment();
    await notify(payment, { status: 'REFUNDING' });
    await stage.environment.sleep(HOUR);
    Object.assign(payment.row, { status: 'REVIEW', reviewReason: 'REFUND_REFUSED' });
    await payment.handle.signal(SIGNALS.rowMoved);
    await stage.environment.sleep(24 * HOUR);

    expect(await state(payment)).toMatchObject({ status: 'REVIEW' });
    expect((await payment.handle.describe()).status.name).toBe('RUNNING');
    await payment.handle.terminate();
  });
});

describe('the order service', () => {
  it('is told by a settled payment alone, and only where something stands undelivered', async () => {
    const told = await stage.startPayment({ replies: ['paid'] });
    await told.handle.result();
    const silent = await stage.startPayment();
    await notify(silent, { status: 'PAID', undelivered: false });
    await silent.handle.result();

    expect(tellingsOf(told)).toBe(1);
    expect(tellingsOf(silent)).toBe(0);
  });

  it('is told again and again while it cannot be reached', async () => {
    const unreachable = () => ApplicationFailure.create({ type: 'INTERNAL', message: 'not reached' });
    const payment = await stage.startPayment({
      replies: ['paid'],
      tellings: [unreachable(), unreachable(), unreachable()],
    });

    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
    expect(tellingsOf(payment)).toBe(1);
  });

  it('is left to the sweep where it stays out of reach: the run ends PAID', async () => {
    const payment = await stage.startPayment({
      replies: ['paid'],
      tellings: Array.from({ length: 20 }, () =>
        ApplicationFailure.create({ type: 'INTERNAL', message: 'not reached' }),
      ),
    });

    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
    expect(tellingsOf(payment)).toBe(0);
    expect(payment.row.undelivered).toBe(true);
  });
});

describe('a run that only a message started', () => {
  const onMessage = { checks: 0, intervalMs: 0 };

  it('reads the row, asks nothing and ends', async () => {
    const payment = await stage.startPayment({}, onMessage);
    expect(await payment.handle.result()).toMatchObject({
      status: 'UNCONFIRMED',
      checks: 0,
      nextCheckAt: null,
    });
    expect(payment.askedAfter()).toEqual([]);
  });

  it('tells what stands undelivered', async () => {
    const payment = await stage.startPayment({ status: 'PAID', undelivered: true }, onMessage);
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID' });
    expect(tellingsOf(payment)).toBe(1);
  });

  it('waits for a person where the row is in review', async () => {
    const payment = await stage.startPayment({ status: 'REVIEW', reviewReason: 'REFUND_REFUSED' }, onMessage);
    await resolve(payment, { to: 'REFUNDED', ...DECISION });
    expect(await payment.handle.result()).toMatchObject({ status: 'REFUNDED' });
  });

  it('takes up three checks when the buyer comes to the cashier meanwhile', async () => {
    const payment = await stage.startPayment({ status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' }, onMessage);
    await payment.handle.signal(SIGNALS.checkedOut, { checks: 3, intervalMs: 60_000 });
    await notify(payment, { status: 'UNPAID', reviewReason: null });

    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
  });
});
