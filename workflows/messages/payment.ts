/** What is said to and about the workflow of a payment. */

/** What a query of Alipay can answer. `not-exist` means "not yet": the buyer has not scanned or logged in. */
export type Answer = 'paid' | 'waiting' | 'not-exist' | 'closed' | 'unknown';

/** What stands in `payments.status`. */
export type StoredPaymentStatus = 'UNPAID' | 'PAID' | 'CLOSED' | 'REFUNDING' | 'REFUNDED' | 'REVIEW';

/** UNCONFIRMED is a run's status only: it gave up asking, the row is still UNPAID and the sweep is the net. */
export type PaymentStatus = StoredPaymentStatus | 'UNCONFIRMED';

/** Whether a person has to decide. A PAID row keeps its status meanwhile. */
export const isInReview = (row: { status: PaymentStatus; reviewReason: string | null }): boolean =>
  row.status === 'REVIEW' || (row.status === 'PAID' && row.reviewReason !== null);

/** Who closes an order that expires unpaid: the sweep, or its payment's own workflow. */
export type CloseBy = 'sweep' | 'timer';

/** The kind of cashier: a web page, a phone's page, a QR code, an app's SDK, a mini program. */
export type Product = 'page' | 'wap' | 'precreate' | 'app' | 'jsapi';

/** What becomes of a payment that comes after its order was settled. */
export type LatePaymentPolicy = 'refund' | 'review';

/** The input of `confirmPayment`. */
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

/** Signal: the buyer went to the cashier (again). Ignored while checks remain after the one in flight. */
export interface CheckedOut {
  checks: number;
  intervalMs: number;
}

/** Whatever a person does is recorded with both. */
export interface WhoAndWhy {
  actor: string;
  reason: string;
}

/** REVIEW stops a refund that is under way. */
export type ReviewOutcome = (typeof REVIEW_OUTCOMES)[number];

export const REVIEW_OUTCOMES = ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED', 'REVIEW'] as const;

/** Update: a person's decision about a payment in review. */
export interface ResolveReview extends WhoAndWhy {
  to: ReviewOutcome;
  /**
   * REFUNDED only, where Alipay refuses to refund any more: how the money went back outside Alipay (a bank's reference).
   * It is recorded apart from what Alipay refunded.
   */
  outside?: { reference: string };
  /** Only while it is in review for this reason; a code of Alipay's behind it may be left out. */
  because?: string;
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
  /** Undefined where nobody was asked: the decision had been carried out before, or stops a refund. */
  answer?: Answer;
}

/** What one check found. */
export interface Queried {
  answer: Answer;
}

/** One question about a payment. */
export interface QueryAlipayInput {
  outTradeNo: string;
  /** The number of the check, 0 for an ask that uses up none. */
  check: number;
  /** Milliseconds from now to the check after this one; null: there is none. Written to the row, so that others see it; not for check 0. */
  nextCheckInMs: number | null;
}
