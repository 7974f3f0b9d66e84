import type { Client } from '@temporalio/client';
import { WorkflowIdReusePolicy } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import type { Logger } from 'pino';
import type { PaymentResult } from '../workflows/messages';
import {
  SIGNALS,
  TASK_QUEUES,
  WORKFLOWS,
  WORKFLOW_TASK_TIMEOUT_MS,
  orderWorkflowId,
} from '../workflows/messages';
import { ORDER_ID } from '../workflows/search-attributes';
import type { fulfillOrder } from '../workflows/fulfill-order';
import type { Database } from '../db/connect';
import { logMessage } from '../db/order-log';
import { leaseUndelivered, markTold, releaseLease } from '../db/order-messages';

export interface OrderDependencies {
  db: Database;
  temporal: Client;
}

/** One call of Temporal ends after this, also inside a workflow task. */
const TEMPORAL_DEADLINE_MS = 2_000;

export function createOrderActivities(deps: OrderDependencies) {
  return {
    /** Tells the order service all that it has not been told about one order. Safe to repeat. */
    tellOrderService({ orderId }: { orderId: string }): Promise<number> {
      return tellFromOutbox(deps, orderId);
    },
  };
}

/** The order service's side, which a shop replaces by its own. */
export function createFulfillmentActivities({ db, log }: { db: Database; log: Logger }) {
  return {
    /** Acts on one message, once: false where that was done before. */
    async actOnResult(message: PaymentResult): Promise<boolean> {
      const first = await logMessage(db, message);
      const { messageId, orderId, outTradeNo, status } = message;
      log.info({ messageId, orderId, outTradeNo, status, repeated: !first }, 'payment result for order');
      return first;
    },
  };
}

/**
 * Delivers what the order service has not been told about one order, oldest first, and returns how many messages. Leaves
 * alone what another caller is delivering. Where the process dies between a delivery and its mark, the message is delivered
 * again, with the same `messageId`.
 */
export async function tellFromOutbox({ db, temporal }: OrderDependencies, orderId: string): Promise<number> {
  let told = 0;
  for (let hasMore = true; hasMore;) {
    const leased = await leaseUndelivered(db, orderId);
    if (!leased) break;
    await deliver({ db, temporal }, leased.message);
    told += 1;
    hasMore = leased.hasMore;
  }
  return told;
}

async function deliver({ db, temporal }: OrderDependencies, message: PaymentResult): Promise<void> {
  try {
    await signalOrder(temporal, message);
  } catch (error) {
    // Best effort: without it the lease ends by itself.
    await releaseLease(db, message.messageId).catch(() => undefined);
    throw error;
  }
  await markTold(db, message.messageId);
}

/** {@link tellFromOutbox} where failing to tell must not undo what was done: the follow-up tells it later. */
export async function tellOrder(deps: OrderDependencies & { log: Logger }, orderId: string): Promise<void> {
  try {
    await tellFromOutbox(deps, orderId);
  } catch (err) {
    deps.log.warn({ orderId, err, code: 'UNDELIVERED' }, 'order service not told yet; the follow-up will');
  }
}

async function signalOrder(temporal: Client, message: PaymentResult): Promise<void> {
  const { orderId } = message;
  await temporal.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, () =>
    temporal.workflow.signalWithStart<typeof fulfillOrder, [PaymentResult]>(WORKFLOWS.fulfillOrder, {
      workflowId: orderWorkflowId(orderId),
      taskQueue: TASK_QUEUES.orderService,
      workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
      workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT_MS,
      args: [{ orderId }],
      signal: SIGNALS.paymentResult,
      signalArgs: [message],
      typedSearchAttributes: new TypedSearchAttributes([{ key: ORDER_ID, value: orderId }]),
      staticSummary: `Order ${orderId}`,
      staticDetails: `The order service acts on results of order \`${orderId}\`, once on each.`,
    }),
  );
}
