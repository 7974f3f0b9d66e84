/**
 * Everything that is said to, by and about the workflows: names, ids, inputs, results, failure types.
 * This file imports nothing, so that checkout code, a worker in another language's tests and workflow code can
 * all share it.
 */

export const TASK_QUEUES = {
  /** Workflows, table writes and the fast path of a query. */
  payments: 'payments',
  /** Every other call of Alipay: the safe path of a query, closing, refunding. */
  alipay: 'alipay',
  /** The shop's side: `fulfillOrder` and its activities. A shop replaces it by a worker of its own. */
  orderService: 'order-service',
} as const;

export type TaskQueue = (typeof TASK_QUEUES)[keyof typeof TASK_QUEUES];

/**
 * How long the server waits for a worker that has taken a task of a payment or its order, ms, before it gives the task to
 * another one. A killed worker holds its payments up for so long (measured: with Temporal's own 10 s twice as long).
 */
export const WORKFLOW_TASK_TIMEOUT_MS = 4_000;

export const WORKFLOWS = {
  confirmPayment: 'confirmPayment',
  fulfillOrder: 'fulfillOrder',
  sweepExpiredOrders: 'sweepExpiredOrders',
  closeOrder: 'closeOrder',
} as const;

export const SIGNALS = {
  alipayNotified: 'alipayNotified',
  checkedOut: 'checkedOut',
  paymentResult: 'paymentResult',
} as const;

export const QUERIES = { payment: 'payment', progress: 'progress' } as const;

export const UPDATES = { checkNow: 'checkNow', resolveReview: 'resolveReview' } as const;

export type UpdateName = (typeof UPDATES)[keyof typeof UPDATES];

export const SEARCH_ATTRIBUTES = {
  outTradeNo: 'OutTradeNo',
  orderId: 'OrderId',
  paymentStatus: 'PaymentStatus',
} as const;

export const SWEEP_SCHEDULE_ID = 'sweep-expired-orders';

/** The workflow that confirms the payment `outTradeNo`. */
export const paymentWorkflowId = (outTradeNo: string): string => `payment-${outTradeNo}`;

/** The workflow that hands results of `orderId` to the order service. */
export const orderWorkflowId = (orderId: string): string => `order-${orderId}`;

/** The workflow by which a shop cancels `orderId`. */
export const closeWorkflowId = (orderId: string): string => `close-${orderId}`;

// What a query of Alipay can answer. `not-exist` means "not yet": the buyer has not scanned or logged in.
export type Answer = 'paid' | 'waiting' | 'not-exist' | 'closed' | 'unknown';

export type OrderStatus = 'UNPAID' | 'PAID' | 'CLOSED';

/** What stands in `payments.status`. */
export type StoredPaymentStatus = 'UNPAID' | 'PAID' | 'CLOSED' | 'REFUNDING' | 'REFUNDED' | 'REVIEW';

/** UNCONFIRMED is a run's status only: it gave up asking, the row is still UNPAID and the sweep is the net. */
export type PaymentStatus = StoredPaymentStatus | 'UNCONFIRMED';

export type CloseBy = 'sweep' | 'timer';

export type Product = 'page' | 'wap' | 'precreate';

export type LatePaymentPolicy = 'refund' | 'review';

export interface ConfirmPaymentInput {
  outTradeNo: string;
  /** How many times Alipay is asked before the run gives up. 0: only what a message brings. */
  checks: number;
  /** Milliseconds from checkout to the first check, and between checks. */
  intervalMs: number;
  /** `timer`: this workflow closes the order at its deadline. Default: the sweep does. */
  closeBy?: CloseBy;
  /** ISO 8601: the order's `expires_at`. */
  deadline?: string;
}

/** The result of `confirmPayment`, of its query `payment` and of its updates. */
export interface PaymentState {
  outTradeNo: string;
  status: PaymentStatus;
  /** How many checks have been made since checkout. */
  checks: number;
  /** ISO 8601, or null where no check is due. */
  nextCheckAt: string | null;
  lastAnswer: Answer | null;
}

/** Signal: a verified notification (or answer) about this payment is stored as `payment_events.id`. */
export interface AlipayNotified {
  eventId: string;
}

/** Signal: the buyer went to the cashier (again). Ignored while checks remain. */
export interface CheckedOut {
  checks: number;
  intervalMs: number;
}

export type ReviewOutcome = 'PAID' | 'REFUNDING' | 'REFUNDED' | 'CLOSED';

/** Update: a person's decision about a payment in review. */
export interface ResolveReview {
  to: ReviewOutcome;
  actor: string;
  reason: string;
}

/** Signal to the order service. It may arrive more than once: `messageId` is the key to deduplicate by, durably. */
export interface PaymentResult {
  messageId: string;
  orderId: string;
  outTradeNo?: string;
  status: 'PAID' | 'CLOSED' | 'REFUNDED';
  tradeNo?: string;
  /** Yuan with two decimals; for REFUNDED the cumulative amount given back. */
  totalAmount: string;
  /** ISO 8601. */
  at: string;
}

export interface FulfillOrderInput {
  orderId: string;
}

export interface CloseOrderInput {
  orderId: string;
  actor: string;
  reason: string;
}

export interface ClosedOrder {
  orderId: string;
  status: OrderStatus;
}

export interface SweepInput {
  /** How many orders are asked about and closed at the same time. */
  parallel: number;
  /** How many orders one page holds. */
  pageSize: number;
  /** Real questions, no writes, nothing closed. */
  dryRun?: boolean;
  /** Where a continued sweep goes on, and what it has done so far. Not for callers. */
  progress?: SweepProgress;
}

/** The last order of a page; the next page starts after it. */
export interface SweepCursor {
  expiresAt: string;
  orderId: string;
}

export interface SweepReport {
  /** Expired orders looked at. */
  scanned: number;
  closed: number;
  /** Found paid, and handed to the payment's workflow. */
  rescued: number;
  /** Left open: an unknown answer, a payment in review or being refunded, or not closable yet. */
  held: number;
  /** Broke; the next sweep tries them again. */
  failed: number;
  /** Owed work done beside the expired orders: messages told, leftovers closed, refunds driven on, re-checks. */
  owed: number;
  /** The first 100 order ids of each kind. */
  rescuedIds: string[];
  heldIds: string[];
  failedIds: string[];
  seconds: number;
  /** ISO 8601: when the oldest order that was looked at expired; null where there was none. */
  oldest: string | null;
  gatewayDown: boolean;
  /** Under `--cron` only: where the next tick goes on. */
  next?: SweepCursor;
}

export interface SweepProgress {
  report: SweepReport;
  after: SweepCursor | null;
  /** Epoch milliseconds of the first run's start. */
  startedAt: number;
}

/**
 * The closed set of failure types that leave an activity or a workflow. A plain Error in workflow code would
 * make the workflow task retry for ever, so workflows throw these as ApplicationFailures, and nothing else.
 */
export const FAILURES = {
  /** Nobody knows what Alipay did: time-out, 5xx, SYSTEM_ERROR, throttled, bad signature. Ask again. */
  alipayUnknown: 'ALIPAY_UNKNOWN',
  /** Our own quota is used up: nothing was asked. */
  alipayBusy: 'ALIPAY_BUSY',
  /** The circuit breaker is open: nothing was asked, nothing is used up. */
  alipayDown: 'ALIPAY_DOWN',
  /** Keys, app id or permission are wrong (40001-40003, 40006): a person must mend the configuration. */
  alipayMisconfigured: 'ALIPAY_MISCONFIGURED',
  /** Alipay answered something that this call cannot mean. */
  alipayRefused: 'ALIPAY_REFUSED',
  paymentUnknown: 'PAYMENT_UNKNOWN',
  orderUnknown: 'ORDER_UNKNOWN',
  orderHeld: 'ORDER_HELD',
  orderPaid: 'ORDER_PAID',
  eventUnknown: 'EVENT_UNKNOWN',
  reviewRefused: 'REVIEW_REFUSED',
  invalidInput: 'INVALID_INPUT',
  databaseUnavailable: 'DATABASE_UNAVAILABLE',
  internal: 'INTERNAL',
} as const;

export type FailureType = (typeof FAILURES)[keyof typeof FAILURES];
