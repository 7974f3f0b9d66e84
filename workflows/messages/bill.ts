/** What is said to and about the reconciliation of a bill. */

/**
 * Where a bill and the tables can disagree.
 * - `payment-unrecorded`: paid there, UNPAID here. `payment-late`: paid there, CLOSED here.
 * - `refund-unrecorded`: given back there, and not DONE here.
 * - `…-unknown`: no such payment here, and not known to be of another application of the seller.
 * - `…-differs`: another amount. `…-absent`: here, and in no bill. `…-doubled`: a line that the bill has twice.
 * - `not-understood`: a line that is neither a payment nor a refund.
 */
export const DISCREPANCY_KINDS = [
  'payment-unrecorded',
  'payment-late',
  'payment-unknown',
  'payment-differs',
  'payment-absent',
  'payment-doubled',
  'refund-unrecorded',
  'refund-unknown',
  'refund-differs',
  'refund-absent',
  'refund-doubled',
  'not-understood',
] as const;

export type DiscrepancyKind = (typeof DISCREPANCY_KINDS)[number];

const DECIDED_BY_ALIPAY = [
  'payment-unrecorded',
  'payment-late',
  'payment-unknown',
  'refund-unrecorded',
  'refund-unknown',
] as const;

/** What a reconciliation may act on: nothing; what Alipay's own answer decides; also what only a person can, by a review. */
export const BILL_REPAIRS = {
  none: [],
  safe: DECIDED_BY_ALIPAY,
  all: [...DECIDED_BY_ALIPAY, 'payment-differs', 'payment-absent', 'refund-differs', 'refund-absent'],
} as const satisfies Record<string, readonly DiscrepancyKind[]>;

export type BillRepair = keyof typeof BILL_REPAIRS;

/** A seller's bill, and the merchant by which Alipay is asked for it. */
export interface BillOfMerchant {
  /** `appId/sellerId`. A bill is a seller's, whatever its applications. */
  merchant: string;
  /** `yyyy-MM-dd`, a day in Beijing. */
  date: string;
}

/** A run of a bill ends within this: while it is under way, later bills of its seller wait. */
export const RECONCILE_RUN_TIMEOUT = '6 hours';

export interface ReconcileBillInput extends BillOfMerchant {
  /** False: it only tells what it would do. */
  execute: boolean;
  /** What it may act on. Default `all`. */
  repair?: BillRepair;
}

export interface ReconcileBillsInput {
  repair: BillRepair;
}

export type ReconciliationStatus = 'LOADING' | 'COMPARED' | 'NO_BILL' | 'FAILED';

/** How many, and what they come to, yuan. */
export interface Sum {
  count: number;
  amount: string;
}

/** What has become of the discrepancies of one kind. */
export interface KindOfDiscrepancy {
  found: number;
  /** Found no more: its remedy worked, or it settled by itself. */
  repaired: number;
  open: number;
  /** Of the open ones, yuan. */
  openAmount: string;
}

/** What a comparison has found; sums are of 订单金额, refunds counted above 0. */
export interface BillReport {
  bill: { payments: Sum; refunds: Sum; other: Sum; fees: string };
  /** Lines that agree with the tables. */
  matched: { payments: Sum; refunds: Sum };
  /** Lines of other applications of the seller. */
  foreign: Sum;
  /** Only the kinds that were found. */
  discrepancies: Partial<Record<DiscrepancyKind, KindOfDiscrepancy>>;
  open: number;
}

/** Where the comparison of a bill stands. */
export interface BillState {
  sellerId: string;
  date: string;
  status: ReconciliationStatus;
  /** NO_BILL or FAILED: a code, and what to do. */
  because: string | null;
  /** Null where nothing was compared. */
  report: BillReport | null;
}

/** Of a bill that was compared. */
export interface ComparedBill extends BillState {
  report: BillReport;
}

/** The result of `reconcileBill`. */
export interface Reconciliation extends BillState {
  executed: boolean;
}
