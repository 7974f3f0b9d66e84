import type { Client } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import { ORDER_ID } from '../../../workflows/search-attributes';
import { BARE_QUEUES, BARE_WORKFLOWS, bareOrderId } from './names';

/** Bodies that do nothing, except that an order is told: otherwise there would be no order workflow to compare with. */
export function createBareActivities(temporal: Client) {
  return {
    queryAlipay: ({ outTradeNo }: { outTradeNo: string }) => Promise.resolve({ outTradeNo, answer: 'paid' }),
    actOnResult: (message: unknown) => Promise.resolve(message !== undefined),
    async recordAndTell({ orderId }: { orderId: string }): Promise<number> {
      await temporal.workflow.signalWithStart(BARE_WORKFLOWS.order, {
        workflowId: bareOrderId(orderId),
        taskQueue: BARE_QUEUES.orderService,
        args: [{ orderId }],
        signal: 'paymentResult',
        signalArgs: [{ messageId: `PAID-${orderId}`, orderId, status: 'PAID', totalAmount: '12.30' }],
        typedSearchAttributes: new TypedSearchAttributes([{ key: ORDER_ID, value: orderId }]),
        staticSummary: `Order ${orderId}`,
      });
      return 1;
    },
  };
}

export type BareActivities = ReturnType<typeof createBareActivities>;
