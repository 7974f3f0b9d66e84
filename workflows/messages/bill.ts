/** The reconciliation of a bill: its inputs and results. */

/**
 * Where a bill and the tables can disagree.
 * - `payment-unrecorded`: paid there, UNPAID here. `payment-late`: paid there, CLOSED here.
 * - `refund-unrecorded`: refunded there, not DONE here.
 * - `…-unknown`: no such payment here, and not known to belong to another application of the seller.
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

/** What a reconciliation may act on: nothing; what Alipay's own answer decides; or also what a person must review. */
export const BILL_REPAIRS = {
  none: [],
  safe: DECIDED_BY_ALIPAY,
  all: [...DECIDED_BY_ALIPAY, 'payment-differs', 'payment-absent', 'refund-differs', 'refund-absent'],
} as const satisfies Record<string, readonly DiscrepancyKind[]>;

export type BillRepair = keyof typeof BILL_REPAIRS;

/** A seller's bill, and the merchant as which Alipay is asked for it. */
export interface BillOfMerchant {
  /** `appId/sellerId`. A bill covers a seller, across all its applications. */
  merchant: string;
  /** `yyyy-MM-dd`, a day in Beijing. */
  date: string;
}

/** A bill's run ends within this; until then, later bills of its seller wait. */
export const RECONCILE_RUN_TIMEOUT = '6 hours';

export interface ReconcileBillInput extends BillOfMerchant {
  /** False: it only compares. */
  execute: boolean;
  /** What it may act on. Default `all`. */
  repair?: BillRepair;
}

export interface ReconcileBillsInput {
  repair: BillRepair;
}

export type ReconciliationStatus = 'LOADING' | 'COMPARED' | 'NO_BILL' | 'FAILED';

/** How many, and their sum, yuan. */
export interface Sum {
  count: number;
  amount: string;
}

/** What has become of the discrepancies of one kind. */
export interface KindOfDiscrepancy {
  found: number;
  /** No longer found: its repair worked, or it settled by itself. */
  repaired: number;
  open: number;
  /** Of the open ones, yuan. */
  openAmount: string;
}

/** What a comparison has found; sums are of 订单金额, refunds as positive amounts. */
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

/** The state of a bill's comparison. */
export interface BillState {
  sellerId: string;
  date: string;
  status: ReconciliationStatus;
  /** NO_BILL or FAILED: a code, and what to do. */
  because: string | null;
  /** Null if nothing was compared. */
  report: BillReport | null;
}

/** The state of a bill that was compared. */
export interface ComparedBill extends BillState {
  report: BillReport;
}

/** The result of `reconcileBill`. */
export interface Reconciliation extends BillState {
  executed: boolean;
}
