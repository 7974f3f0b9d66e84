/** The workflow of a payment: its input, messages and result. */

/** What a query to Alipay can return. `not-exist` means "not yet": the buyer has not scanned or logged in. */
export type Answer = 'paid' | 'waiting' | 'not-exist' | 'closed' | 'unknown';

/** The values of `payments.status`. */
export type StoredPaymentStatus = 'UNPAID' | 'PAID' | 'CLOSED' | 'REFUNDING' | 'REFUNDED' | 'REVIEW';

/** UNCONFIRMED is only a run's status: it gave up asking, the row is still UNPAID, and the sweep is the safety net. */
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
  /** How many times Alipay is asked before the run gives up. 0: the run acts only on messages. */
  checks: number;
  /** Milliseconds from checkout to the first check, and between checks. */
  intervalMs: number;
  /** `timer`: this workflow closes the order at its deadline. Default: the sweep does. */
  closeBy?: CloseBy;
  /** ISO 8601: the order's `expires_at`. */
  deadline?: string;
  /** ISO 8601: when the first check is due, if not one interval after the start: for a run that takes over. */
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
  /** ISO 8601, or null if no check is due. */
  nextCheckAt: string | null;
  lastAnswer: Answer | null;
}

/** Signal: a verified notification or answer about this payment is stored in `evidence` under this id. */
export interface AlipayNotified {
  eventId: string;
}

/** Signal: the buyer went to the cashier (again). Ignored while checks remain after the one in flight. */
export interface CheckedOut {
  checks: number;
  intervalMs: number;
}

/** Everything a person does is recorded with both. */
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
   * Only with REFUNDED, if Alipay no longer refunds it: how the money went back outside Alipay (a bank's reference). It
   * is recorded separately from what Alipay refunded.
   */
  outside?: { reference: string };
  /** Decide only while it is in review for this reason; Alipay's code after the reason may be left out. */
  because?: string;
}

/** A payment's state in the ledger, as the activities return it. */
export interface Recorded {
  status: StoredPaymentStatus;
  reviewReason: string | null;
  orderId: string;
  /** Whether the order service still has to be told something. */
  undelivered: boolean;
  /** Whether this call changed the status. */
  changed?: boolean;
}

/** {@link Recorded} after a person's decision, with the answer from Alipay that settled it. */
export interface Decided extends Recorded {
  /** Undefined if Alipay was not asked: the decision had been carried out before, or stops a refund. */
  answer?: Answer;
}

/** What one check found. */
export interface Queried {
  answer: Answer;
}

/** One question about a payment. */
export interface QueryAlipayInput {
  outTradeNo: string;
  /** The number of the check, 0 for a question that uses up none. */
  check: number;
  /** Milliseconds to the check after this one; null: none. Written to the row for others to see, except for check 0. */
  nextCheckInMs: number | null;
}
