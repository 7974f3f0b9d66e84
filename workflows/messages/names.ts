/** What everything is called: queues, workflows, messages, search attributes, Schedules, and the ids of runs. */
import type { RefundKind, RefundPaymentInput } from './refund';

export const TASK_QUEUES = {
  /** Workflows, and activities that reach only Postgres and Temporal. */
  payments: 'payments',
  /** Every call to Alipay. */
  alipay: 'alipay',
  /**
   * The shop's side: `fulfillOrder` and its activities, which a shop replaces with its own worker; or, if the order
   * service is a webhook, the posts to it.
   */
  orderService: 'order-service',
} as const;

export type TaskQueue = (typeof TASK_QUEUES)[keyof typeof TASK_QUEUES];

/**
 * How long the server waits for a worker that has taken a task of a payment or its order, ms, before it gives the task to
 * another one. A killed worker delays its payments by this much (measured: twice as much with Temporal's default, 10 s).
 */
export const WORKFLOW_TASK_TIMEOUT_MS = 4_000;

export const WORKFLOWS = {
  confirmPayment: 'confirmPayment',
  fulfillOrder: 'fulfillOrder',
  sweepExpiredOrders: 'sweepExpiredOrders',
  followUp: 'followUp',
  closeOrder: 'closeOrder',
  reconcileBill: 'reconcileBill',
  reconcileBills: 'reconcileBills',
  auditBooks: 'auditBooks',
  refundPayment: 'refundPayment',
} as const;

export const SIGNALS = {
  alipayNotified: 'alipayNotified',
  checkedOut: 'checkedOut',
  rowMoved: 'rowMoved',
  paymentResult: 'paymentResult',
} as const;

export const QUERIES = { payment: 'payment', progress: 'progress' } as const;

export const UPDATES = {
  checkNow: 'checkNow',
  resolveReview: 'resolveReview',
  resolveRefund: 'resolveRefund',
} as const;

export type UpdateName = (typeof UPDATES)[keyof typeof UPDATES];

/** The search attributes, all of type Keyword. */
export const SEARCH_ATTRIBUTES = {
  outTradeNo: 'OutTradeNo',
  orderId: 'OrderId',
  paymentStatus: 'PaymentStatus',
} as const;

/** In the memo of a run whose namespace lacks the search attributes. It sets none: the server would reject its task. */
export const UNSEARCHABLE = 'unsearchable';

export const SWEEP_SCHEDULE_ID = 'sweep-expired-orders';
export const FOLLOW_UP_SCHEDULE_ID = 'follow-up';
export const RECONCILE_SCHEDULE_ID = 'reconcile-bills';
export const AUDIT_SCHEDULE_ID = 'audit-books';

/** The workflow that confirms the payment `outTradeNo`. */
export const paymentWorkflowId = (outTradeNo: string): string => `payment-${outTradeNo}`;

/** The workflow that hands results of `orderId` to the order service. */
export const orderWorkflowId = (orderId: string): string => `order-${orderId}`;

/**
 * The workflow that makes the refund, or proves one that was made in the merchant portal: that one's number is not
 * ours, and is unique only within its trade.
 */
export const refundWorkflowId = ({
  kind,
  outTradeNo,
  outRequestNo,
}: Pick<RefundPaymentInput, 'outTradeNo' | 'outRequestNo'> & { kind: RefundKind }): string =>
  kind === 'portal' ? `refund-${outTradeNo}/${outRequestNo}` : `refund-${outRequestNo}`;

/** The workflow by which a shop cancels `orderId`. */
export const closeWorkflowId = (orderId: string): string => `close-${orderId}`;

/** The workflow that compares the bill of a seller and a day (`yyyy-MM-dd`, Beijing) with the tables. */
export const reconcileWorkflowId = ({ sellerId, date }: { sellerId: string; date: string }): string =>
  `reconcile-${sellerId}-${date}`;

/** In the `tracestate` of traces that begin within a workflow: which of them are kept is decided outside. */
export const BEGUN_IN_WORKFLOW = { key: 'durable-alipay', value: 'begun-in-workflow' } as const;
