import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PaymentResult } from '../../workflows/messages';
import { SIGNALS, TASK_QUEUES, WORKFLOWS, orderWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

// Results that follow each other so closely that the second arrives while the run of the first completes: on a real
// server, which rejects such a completion and lets the run see the signal.

const ORDERS = 60;

let shop: Shop;
beforeAll(async () => {
  shop = await openShop(__filename);
});
afterAll(() => shop.close());

const tell = (message: PaymentResult): Promise<unknown> =>
  shop.temporal.workflow.signalWithStart(WORKFLOWS.fulfillOrder, {
    workflowId: orderWorkflowId(message.orderId),
    taskQueue: TASK_QUEUES.orderService,
    args: [{ orderId: message.orderId }],
    signal: SIGNALS.paymentResult,
    signalArgs: [message],
  });

describe('results of one order that follow closely', () => {
  it('are all acted on, once each, in the order of their arrival', async () => {
    const orders = Array.from({ length: ORDERS }, (_, number) => `order-${number}`);
    await Promise.all(
      orders.map(async (orderId, number) => {
        const common = {
          orderId,
          outTradeNo: `x${number}`,
          totalAmount: '12.30',
          refundedAmount: '0.00',
          at: new Date().toISOString(),
        };
        // What is not a result is skipped, and delays nothing.
        await tell({ ...common, messageId: '', status: 'PAID' });
        await tell({ ...common, messageId: `PAID-${orderId}`, status: 'PAID' });
        await tell({ ...common, messageId: `REFUNDED-${orderId}`, status: 'REFUNDED' });
        await tell({ ...common, messageId: `PAID-${orderId}`, status: 'PAID' });
      }),
    );
    const log = () =>
      shop.sql<{ order_id: string; statuses: string }>(
        `SELECT order_id, string_agg(status, ', ' ORDER BY at, message_id) AS statuses FROM order_log GROUP BY 1`,
      );
    const complete = async (): Promise<boolean> =>
      (await shop.sql(`SELECT 1 FROM order_log`)).length === 2 * ORDERS;
    await waitFor(complete, { what: 'every result to be acted on', timeoutMs: 100_000 });
    expect((await log()).filter(({ statuses }) => statuses !== 'PAID, REFUNDED')).toEqual([]);
  });
});
