import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkflowHandle } from '@temporalio/client';
import type { fulfillOrder } from '../../workflows';
import type { PaymentResult } from '../../workflows/messages';
import { SIGNALS, TASK_QUEUES, WORKFLOWS, orderWorkflowId } from '../../workflows/messages';
import type { Stage } from './stage';
import { openStage } from './stage';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const result = (orderId: string, more: Partial<PaymentResult> = {}): PaymentResult => ({
  messageId: `PAID-of-${orderId}`,
  orderId,
  outTradeNo: `trade_of_${orderId}`,
  status: 'PAID',
  tradeNo: '2026010122001000000000000001',
  totalAmount: '12.30',
  refundedAmount: '0.00',
  at: '2026-01-01T00:00:00.000Z',
  ...more,
});

const tell = (message: PaymentResult): Promise<WorkflowHandle<typeof fulfillOrder>> =>
  stage.environment.client.workflow.signalWithStart<typeof fulfillOrder, [PaymentResult]>(
    WORKFLOWS.fulfillOrder,
    {
      workflowId: orderWorkflowId(message.orderId),
      taskQueue: TASK_QUEUES.orderService,
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      args: [{ orderId: message.orderId }],
      signal: SIGNALS.paymentResult,
      signalArgs: [message],
    },
  );

const actedFor = (orderId: string): PaymentResult[] =>
  stage.world.actedOn.filter((message) => message.orderId === orderId);

describe('fulfillOrder', () => {
  it('acts on a result and ends', async () => {
    const message = result('order-once');
    expect(await (await tell(message)).result()).toEqual({ orderId: 'order-once', acted: 1 });
    expect(actedFor('order-once')).toEqual([message]);
  });

  it('acts once on a result that is told six times in a row', async () => {
    const message = result('order-again');
    for (let times = 0; times < 5; times += 1) await tell(message);
    await (await tell(message)).result();

    expect(actedFor('order-again')).toEqual([message]);
  });

  it('acts once on a result that is told again after the run has ended', async () => {
    const message = result('order-later');
    expect(await (await tell(message)).result()).toMatchObject({ acted: 1 });
    expect(await (await tell(message)).result()).toMatchObject({ acted: 0 });
    expect(actedFor('order-later')).toEqual([message]);
  });

  it('acts on each of several results in the order of their arrival', async () => {
    const paid = result('order-back');
    const refunded = result('order-back', { messageId: 'REFUNDED-of-order-back', status: 'REFUNDED' });
    // One run after the other: a result that arrives while a run ends needs a real server (integration: order-service).
    await (await tell(paid)).result();
    await (await tell(refunded)).result();

    expect(actedFor('order-back')).toEqual([paid, refunded]);
  });

  it('acts on a result although one before it was no result', async () => {
    const good = result('order-mixed');
    await (await tell({ ...good, messageId: '' })).result();
    await (await tell(good)).result();
    expect(actedFor('order-mixed')).toEqual([good]);
  });
});
