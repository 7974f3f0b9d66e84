/**
 * Everything that is said to, by and about the workflows: names, ids, inputs, results, and the activities' signatures,
 * which activities implement and workflows proxy. This file imports nothing, so that checkout code, a worker in another
 * language's tests and workflow code can all share it.
 */

export const TASK_QUEUES = {
  /** Workflows, and activities that reach Postgres and Temporal only. */
  payments: 'payments',
  /** Every call of Alipay. */
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
  followUp: 'followUp',
  closeOrder: 'closeOrder',
} as const;

export const SIGNALS = {
  alipayNotified: 'alipayNotified',
  checkedOut: 'checkedOut',
  rowMoved: 'rowMoved',
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

export const FOLLOW_UP_SCHEDULE_ID = 'follow-up';

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
  /** ISO 8601: when the first check is due, where that is not one interval after the start: a run that takes over. */
  firstCheckAt?: string;
  /** How many checks an earlier run has made. Default 0. */
  checksMade?: number;
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

/** Signal: a verified notification or answer about this payment is stored as `evidence.id`. */
export interface AlipayNotified {
  eventId: string;
}

/** Signal: the buyer went to the cashier (again). Ignored while checks remain. */
export interface CheckedOut {
  checks: number;
  intervalMs: number;
}

/** REVIEW stops a refund that is under way. */
export type ReviewOutcome = 'PAID' | 'REFUNDING' | 'REFUNDED' | 'CLOSED' | 'REVIEW';

/** Update: a person's decision about a payment in review. */
export interface ResolveReview {
  to: ReviewOutcome;
  actor: string;
  reason: string;
  /**
   * REFUNDED only, where Alipay refuses to refund any more: how the money went back outside Alipay (a bank's reference).
   * It is recorded apart from what Alipay refunded.
   */
  outside?: { reference: string };
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

/** What the ledger says of a payment after it has been told something. */
export interface Recorded {
  status: StoredPaymentStatus;
  reviewReason: string | null;
  orderId: string;
  /** Whether the order service still has to be told something. */
  undelivered: boolean;
  /** Whether this call changed the status. */
  changed?: boolean;
}

/** {@link Recorded} by a person's decision, with what Alipay said that decided it. */
export interface Decided extends Recorded {
  /** Undefined where the decision had been carried out before and nobody was asked. */
  answer?: Answer;
}

/** What one check found. */
export interface Queried {
  answer: Answer;
  tradeNo?: string;
  /** Yuan. */
  totalAmount?: string;
}

/** One question about a payment. */
export interface QueryAlipayInput {
  outTradeNo: string;
  /** The number of the check, 0 for an ask that uses up none. */
  check: number;
  /** Milliseconds from now to the check after this one; null: there is none. Written to the row, so that others see it; not for check 0. */
  nextCheckInMs: number | null;
}

export interface ExpiredOrder {
  id: string;
  /** ISO 8601 with microseconds: a Date would round the cursor and skip or repeat orders. */
  expiresAt: string;
}

/** Order ids by what became of them. */
export interface ChunkReport {
  closed: string[];
  rescued: string[];
  held: string[];
  failed: string[];
}

/** How far a chunk is: in its heartbeat, and in the details of the ALIPAY_DOWN that ends an attempt. */
export interface ChunkProgress extends ChunkReport {
  /** How many of its orders, from the first, need no other look. */
  done: number;
}

/**
 * The most that closing one order may take, ms: three calls of Alipay for a payment, each after its place under the quota
 * (30 s at most). One that takes longer is reported as failed.
 */
export const CLOSE_ORDER_TIMEOUT_MS = 90_000;

/** The most that one attempt at a chunk of so many orders may take, ms. */
export const chunkTimeoutMs = (orders: number): number => orders * CLOSE_ORDER_TIMEOUT_MS + 10_000;

/** The kinds of due work that the follow-up does, each in its own activity. */
export const FOLLOW_UP_KINDS = [
  'undelivered',
  'unrecorded',
  'slowChecks',
  'unwatched',
  'unattended',
  'leftovers',
  'rechecks',
] as const;

export type FollowUpKind = (typeof FOLLOW_UP_KINDS)[number];

/** What one follow-up did of one kind. `left`: more was due than it had time for. */
export interface KindReport {
  done: number;
  failed: number;
  left: boolean;
}

/** Null: the activity of this kind failed as a whole. */
export type FollowUpReport = Record<FollowUpKind, KindReport | null>;

/** What a worker on queue `payments` runs, the short ones also as local activities. All are safe to repeat. */
export interface PaymentsQueueActivities {
  /**
   * Records all evidence about a payment that is not recorded yet, then tells the order service what it has not been told.
   * Failing to tell is `undelivered`, never an error. Fails with PAYMENT_UNKNOWN.
   */
  recordAndTell(input: { outTradeNo: string }): Promise<Recorded>;
  /** What the row says. Fails with PAYMENT_UNKNOWN. */
  readPayment(input: { outTradeNo: string }): Promise<Recorded>;
  /** Notes in the row when the next check is due, or, with null, that this run makes no more; returns what the row says. */
  planCheck(input: { outTradeNo: string; inMs: number | null }): Promise<Recorded>;
  /** Tells the order service all that it has not been told about one order; returns how many messages. */
  tellOrderService(input: { orderId: string }): Promise<number>;
  /** One page of expired UNPAID orders that are due, oldest first, by Postgres' clock. */
  findExpiredOrders(input: { after: SweepCursor | null; limit: number }): Promise<ExpiredOrder[]>;
  /** Follow-up: messages undelivered for a minute. */
  tellUndelivered(): Promise<KindReport>;
  /** Follow-up: payments with evidence unrecorded for a minute. */
  wakeUnrecorded(): Promise<KindReport>;
  /** Follow-up: payments whose next check is overdue by two minutes: nobody watches them. */
  watchUnwatched(): Promise<KindReport>;
  /** Follow-up: payments in REVIEW or REFUNDING whose run is gone or disagrees with the row. */
  attendUnattended(): Promise<KindReport>;
}

/** What a worker on queue `alipay` runs: all that calls the gateway. All are safe to repeat. */
export interface AlipayQueueActivities {
  /**
   * Asks whether a payment was made: the own table first, then `alipay.trade.query`. An unknown answer is a result, not
   * an error. Fails with ALIPAY_DOWN, ALIPAY_BUSY (nothing was asked), ALIPAY_MISCONFIGURED, ALIPAY_REFUSED,
   * MERCHANT_UNKNOWN, PAYMENT_UNKNOWN.
   */
  queryAlipay(input: QueryAlipayInput): Promise<Queried>;
  /**
   * Closes a chunk of expired orders, Alipay asked first. An order that breaks is reported as failed and never stops the
   * rest. Fails with ALIPAY_DOWN, what it has done in its heartbeat, so that another worker goes on.
   */
  closeExpiredOrders(input: { orderIds: string[]; actor: string; dryRun?: boolean }): Promise<ChunkReport>;
  /** Asks about a reserved, never used `out_trade_no`: any verified answer means that the gateway is up. */
  probeAlipay(): Promise<boolean>;
  /** Cancels an order for the shop. Fails with ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD, ALIPAY_DOWN, MERCHANT_UNKNOWN. */
  cancelOrder(input: CloseOrderInput): Promise<ClosedOrder>;
  /** Drives a REFUNDING payment on. Fails with ALIPAY_UNKNOWN (try again) and the failures of any call. */
  refundPayment(input: { outTradeNo: string }): Promise<Recorded>;
  /** Carries out a person's decision, if Alipay's fresh answer agrees. Fails with REVIEW_REFUSED, PAYMENT_UNKNOWN. */
  resolveReview(input: ResolveReview & { outTradeNo: string }): Promise<Decided>;
  /** Follow-up: slow checks of payments still open. */
  askSlowly(): Promise<KindReport>;
  /** Follow-up: UNPAID payments of settled orders are closed at Alipay. */
  closeLeftovers(): Promise<KindReport>;
  /** Follow-up: payments closed here are asked about once more, 25 hours later. */
  recheckClosed(): Promise<KindReport>;
}

/** What a worker on queue `order-service` runs, unless the shop has its own. */
export interface OrderServiceQueueActivities {
  /** Acts on one message, once: false where that was done before. */
  actOnResult(message: PaymentResult): Promise<boolean>;
}
