import type { Client } from '@temporalio/client';
import { WorkflowIdReusePolicy } from '@temporalio/client';
import { TypedSearchAttributes } from '@temporalio/common';
import type { fulfillOrder } from '../workflows/fulfill-order';
import type { PaymentResult } from '../workflows/messages';
import {
  SIGNALS,
  TASK_QUEUES,
  WORKFLOWS,
  WORKFLOW_TASK_TIMEOUT_MS,
  orderWorkflowId,
} from '../workflows/messages';
import { ORDER_ID } from '../workflows/search-attributes';
import { TEMPORAL_DEADLINE_MS, whereSearchable, within } from './temporal-calls';

/** Hands one result to the order's workflow, running or not. */
export async function signalOrder(temporal: Client, message: PaymentResult): Promise<void> {
  const { orderId } = message;
  await within(temporal, TEMPORAL_DEADLINE_MS, () =>
    whereSearchable((searchable) =>
      temporal.workflow.signalWithStart<typeof fulfillOrder, [PaymentResult]>(WORKFLOWS.fulfillOrder, {
        workflowId: orderWorkflowId(orderId),
        taskQueue: TASK_QUEUES.orderService,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        workflowTaskTimeout: WORKFLOW_TASK_TIMEOUT_MS,
        args: [{ orderId }],
        signal: SIGNALS.paymentResult,
        signalArgs: [message],
        ...(searchable && {
          typedSearchAttributes: new TypedSearchAttributes([{ key: ORDER_ID, value: orderId }]),
        }),
        staticSummary: `Order ${orderId}`,
        staticDetails: `The order service acts once on each result of order \`${orderId}\`.`,
      }),
    ),
  );
}
