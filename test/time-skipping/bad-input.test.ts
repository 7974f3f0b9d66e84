import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure, WorkflowFailedError } from '@temporalio/client';
import { SIGNALS, TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import type { Stage } from './stage';
import { MINUTE, openStage } from './stage';

let stage: Stage;
let runs = 0;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

/** How a workflow that was started by hand with this input fails. A plain Error would retry its task forever. */
async function failureOf(type: string, args: unknown[]): Promise<string | null | undefined> {
  runs += 1;
  const handle = await stage.environment.client.workflow.start(type, {
    workflowId: `bad-${runs}`,
    taskQueue: TASK_QUEUES.payments,
    args,
  });
  const error: unknown = await handle.result().catch((it: unknown) => it);
  if (!(error instanceof WorkflowFailedError)) throw new Error('the workflow did not fail', { cause: error });
  const { cause } = error;
  const failure = cause instanceof ApplicationFailure ? cause : cause?.cause;
  return failure instanceof ApplicationFailure ? failure.type : undefined;
}

const NOTHING: [string, unknown[]][] = [
  ['no input', []],
  ['null', [null]],
  ['a word', ['payment']],
  ['an empty object', [{}]],
];

describe('confirmPayment', () => {
  const good = { outTradeNo: 'bad_1', checks: 3, intervalMs: MINUTE };

  it.each<[string, unknown[]]>([
    ...NOTHING,
    ['no outTradeNo', [{ ...good, outTradeNo: undefined }]],
    ['an outTradeNo that Alipay refuses', [{ ...good, outTradeNo: 'no spaces' }]],
    ['an outTradeNo of 65 characters', [{ ...good, outTradeNo: 'x'.repeat(65) }]],
    ['an outTradeNo that is a number', [{ ...good, outTradeNo: 5 }]],
    ['half a check', [{ ...good, checks: 0.5 }]],
    ['a negative number of checks', [{ ...good, checks: -1 }]],
    ['no interval', [{ ...good, intervalMs: 0 }]],
    ['an interval that is a text', [{ ...good, intervalMs: '60000' }]],
    ['an interval beyond all dates', [{ ...good, intervalMs: 1e300 }]],
    ['a timer without a deadline', [{ ...good, closeBy: 'timer' }]],
    ['a timer without a deadline, said aloud', [{ ...good, closeBy: 'timer', deadline: null }]],
    ['a deadline that is no time', [{ ...good, closeBy: 'timer', deadline: 'tomorrow' }]],
    ['the same without a timer', [{ ...good, deadline: 'tomorrow' }]],
    ['a deadline that is a number', [{ ...good, deadline: 1_795_537_992_000 }]],
  ])('fails with %s', async (_, args) => {
    expect(await failureOf(WORKFLOWS.confirmPayment, args)).toBe('INVALID_INPUT');
  });

  it('fails where the tables have no such payment', async () => {
    expect(await failureOf(WORKFLOWS.confirmPayment, [{ ...good, outTradeNo: 'nobody_knows' }])).toBe(
      'PAYMENT_UNKNOWN',
    );
    // As a starter in another language says that there is no deadline.
    expect(
      await failureOf(WORKFLOWS.confirmPayment, [{ ...good, outTradeNo: 'nobody_knows', deadline: null }]),
    ).toBe('PAYMENT_UNKNOWN');
    expect(
      await failureOf(WORKFLOWS.confirmPayment, [{ ...good, outTradeNo: 'nobody_knows', checks: 0 }]),
    ).toBe('PAYMENT_UNKNOWN');
  });
});

describe('sweepExpiredOrders', () => {
  it.each<[string, unknown[]]>([
    ...NOTHING,
    ['no lane', [{ parallel: 0, pageSize: 10 }]],
    ['half a lane', [{ parallel: 0.5, pageSize: 10 }]],
    ['an empty page', [{ parallel: 1, pageSize: 0 }]],
    ['a page size that is a text', [{ parallel: 1, pageSize: '10' }]],
  ])('fails with %s', async (_, args) => {
    expect(await failureOf(WORKFLOWS.sweepExpiredOrders, args)).toBe('INVALID_INPUT');
  });
});

describe('closeOrder', () => {
  const good = { orderId: 'order-1', actor: 'shop', reason: 'cancelled' };

  it.each<[string, unknown[]]>([
    ...NOTHING,
    ['no orderId', [{ ...good, orderId: undefined }]],
    ['an orderId that no order has', [{ ...good, orderId: 'order 1' }]],
    ['nobody who closes it', [{ ...good, actor: '' }]],
    ['no reason', [{ ...good, reason: ' ' }]],
  ])('fails with %s', async (_, args) => {
    expect(await failureOf(WORKFLOWS.closeOrder, args)).toBe('INVALID_INPUT');
  });
});

describe('fulfillOrder', () => {
  it.each(NOTHING)('fails with %s', async (_, args) => {
    expect(await failureOf(WORKFLOWS.fulfillOrder, args)).toBe('INVALID_INPUT');
  });
});

describe('a message without the content that it needs', () => {
  it.each([SIGNALS.alipayNotified, SIGNALS.checkedOut])('is passed over: signal %s', async (signal) => {
    const { handle } = await stage.startPayment({ replies: ['paid'] });
    await handle.signal(signal);
    await handle.signal(signal, null);
    await handle.signal(signal, 'word');
    await handle.signal(signal, { eventId: 'word', checks: '3', intervalMs: '60000' });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
  });

  it.each([null, 'word', {}, { messageId: 'PAID-1', orderId: 'order-1', status: 'LOST' }])(
    'is passed over: signal paymentResult %j',
    async (message) => {
      runs += 1;
      const handle = await stage.environment.client.workflow.signalWithStart(WORKFLOWS.fulfillOrder, {
        workflowId: `order-of-bad-message-${runs}`,
        taskQueue: TASK_QUEUES.orderService,
        args: [{ orderId: 'order-1' }],
        signal: SIGNALS.paymentResult,
        signalArgs: [message],
      });
      expect(await handle.result()).toEqual({ orderId: 'order-1', acted: 0 });
    },
  );
});
