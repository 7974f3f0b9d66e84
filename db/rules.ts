import type { LatePaymentPolicy, OrderStatus, StoredPaymentStatus } from '../workflows/messages';
import { readFen, toFen } from './money';

export const REVIEW_REASONS = {
  amountDiffers: 'AMOUNT_DIFFERS',
  latePayment: 'LATE_PAYMENT',
  duplicatePayment: 'DUPLICATE_PAYMENT',
  closedAfterPayment: 'CLOSED_AFTER_PAYMENT',
  refundRefused: 'REFUND_REFUSED',
  refundNotProven: 'REFUND_NOT_PROVEN',
  refundStopped: 'REFUND_STOPPED',
  refundBrake: 'REFUND_BRAKE',
  billDiffers: 'BILL_DIFFERS',
  notInBill: 'NOT_IN_BILL',
} as const;

type ReviewReason = (typeof REVIEW_REASONS)[keyof typeof REVIEW_REASONS];

/** What a row of `payments` knows that decisions depend on. Amounts are yuan. */
export interface PaymentFacts {
  status: StoredPaymentStatus;
  reviewReason: string | null;
  tradeNo: string | null;
  /** What was asked for. */
  totalAmount: string;
  /** What Alipay took, according to a body that it signed. */
  paidAmount: string | null;
  /** What a person accepted instead of `totalAmount`. */
  acceptedAmount: string | null;
  /** What Alipay has given back, cumulative. */
  refundedAmount: string;
  /** The highest sum of refunds that Alipay has reported; `refundedAmount` is the sum of those that are proven one by one. */
  refundSeen: string;
  /** When the price of its order changed. */
  supersededAt: Date | null;
}

// Each state that is made of several columns has one name, with its SQL next to it. In SQL, `p` is payments.

/** A payment that keeps its order as it is: nobody may pay or close the order meanwhile. */
export const isHolding = ({ status }: Pick<PaymentFacts, 'status'>): boolean =>
  status === 'REVIEW' || status === 'REFUNDING';

export const IS_HOLDING = `p.status IN ('REFUNDING', 'REVIEW')`;

/** `isInReview` of a row `p`. */
export const IS_IN_REVIEW = `(p.status = 'REVIEW' OR (p.status = 'PAID' AND p.review_reason IS NOT NULL))`;

/** It waits for a person or a refund. */
export const IS_HELD = `(${IS_HOLDING} OR p.review_reason IS NOT NULL)`;

/** Alipay took money, or may have: there is no need to ask whether it did. */
export const tookMoney = ({ status }: Pick<PaymentFacts, 'status'>): boolean =>
  status !== 'UNPAID' && status !== 'CLOSED';

/** Alipay has said, and signed, that the money was taken. */
export const isKnownPaid = (payment: PaymentFacts): boolean =>
  payment.paidAmount !== null ||
  payment.tradeNo !== null ||
  toFen(payment.refundedAmount) > 0 ||
  (payment.status !== 'REVIEW' && tookMoney(payment));

/** What can be refunded in all, yuan. */
export const amountToRefund = ({
  paidAmount,
  totalAmount,
}: Pick<PaymentFacts, 'paidAmount' | 'totalAmount'>): string => paidAmount ?? totalAmount;

/** Once all has gone back, nobody needs to decide any more; but if the amounts differ, "all" is in doubt. */
export function isSettledByRefunds({ status, reviewReason }: PaymentFacts): boolean {
  const [reason = ''] = reviewReason?.split(' ') ?? [];
  switch (status) {
    case 'REFUNDING':
    // It came too late, and went back before we learned of it.
    case 'CLOSED':
      return true;
    case 'PAID':
      return reason !== REVIEW_REASONS.amountDiffers;
    case 'REVIEW':
      return ENDED_REFUNDS.includes(reason);
    default:
      return false;
  }
}

/** Why a payment is in review if only the outcome of its refund is in doubt. */
const ENDED_REFUNDS: readonly string[] = [
  REVIEW_REASONS.refundRefused,
  REVIEW_REASONS.refundNotProven,
  REVIEW_REASONS.refundStopped,
  REVIEW_REASONS.refundBrake,
];

/** A payment at a price that its order no longer has, or had and has again: it never makes the order PAID. */
export const isSuperseded = (
  { supersededAt, totalAmount }: Pick<PaymentFacts, 'supersededAt' | 'totalAmount'>,
  order: { totalAmount: string },
): boolean => supersededAt !== null || toFen(totalAmount) !== toFen(order.totalAmount);

/** What the tables say before anything is decided, read under the order's lock. */
export interface Standing {
  order: { status: OrderStatus; totalAmount: string };
  payment: PaymentFacts;
}

export type Decision =
  | { kind: 'nothing' }
  | { kind: 'move'; to: StoredPaymentStatus; reason?: ReviewReason }
  /** A PAID row keeps its status; the reason is written beside it. */
  | { kind: 'flag'; reason: ReviewReason };

/** What {@link decidePaid} has to know about a payment. */
export type PriceFacts = Pick<
  PaymentFacts,
  'status' | 'totalAmount' | 'acceptedAmount' | 'paidAmount' | 'supersededAt'
>;

/**
 * Alipay says that the payment was made, with `paidAmount` yuan. First, a payment that is settled stays what it is: a
 * lost workflow task records again, and must not treat the order's own payment as a duplicate.
 */
export function decidePaid(
  { order, payment }: Pick<Standing, 'order'> & { payment: PriceFacts },
  paidAmount: string,
  policy: LatePaymentPolicy,
): Decision {
  const differs = readFen(paidAmount) !== toFen(expectedAmount(payment));
  switch (payment.status) {
    case 'PAID':
      return differs ? { kind: 'flag', reason: REVIEW_REASONS.amountDiffers } : { kind: 'nothing' };
    case 'REFUNDING':
      return differs
        ? { kind: 'move', to: 'REVIEW', reason: REVIEW_REASONS.amountDiffers }
        : { kind: 'nothing' };
    case 'REFUNDED':
    case 'REVIEW':
      return { kind: 'nothing' };
    case 'UNPAID':
    case 'CLOSED':
      if (differs) return { kind: 'move', to: 'REVIEW', reason: REVIEW_REASONS.amountDiffers };
      if (order.status === 'UNPAID' && payment.status === 'UNPAID' && !isSuperseded(payment, order)) {
        return { kind: 'move', to: 'PAID' };
      }
      return unwanted(order.status, policy);
  }
}

/** The amount that Alipay is expected to name. For a payment being refunded it is what was paid. */
function expectedAmount({ status, totalAmount, acceptedAmount, paidAmount }: PriceFacts): string {
  if (status === 'REFUNDING' && paidAmount !== null) return paidAmount;
  return acceptedAmount ?? totalAmount;
}

function unwanted(order: OrderStatus, policy: LatePaymentPolicy): Decision {
  if (policy === 'refund') return { kind: 'move', to: 'REFUNDING' };
  const reason = order === 'PAID' ? REVIEW_REASONS.duplicatePayment : REVIEW_REASONS.latePayment;
  return { kind: 'move', to: 'REVIEW', reason };
}

/** What Alipay says about a trade that it calls TRADE_CLOSED. */
export interface ClosedTrade {
  /** It names a time of payment. */
  wasPaid: boolean;
  /** Yuan; undefined if it says nothing. */
  totalAmount?: string;
  /** Yuan given back so far; undefined if it says nothing. */
  refundedAmount?: string;
}

/**
 * Alipay says TRADE_CLOSED, which does not prove "never paid": a full refund ends there too. Only without any evidence
 * of payment does it close that payment, and no other.
 */
export function decideClosed({ payment }: Standing, trade: ClosedTrade): Decision {
  const paid = readFen(payment.paidAmount ?? trade.totalAmount) ?? toFen(expectedAmount(payment));
  const isRefundedInFull = refundedFen(payment, trade) >= paid;
  const moneyMoved = movedMoney(payment, trade);
  switch (payment.status) {
    case 'UNPAID':
      return moneyMoved
        ? { kind: 'move', to: 'REVIEW', reason: REVIEW_REASONS.closedAfterPayment }
        : { kind: 'move', to: 'CLOSED' };
    case 'CLOSED':
      return moneyMoved && !isRefundedInFull
        ? { kind: 'move', to: 'REVIEW', reason: REVIEW_REASONS.closedAfterPayment }
        : { kind: 'nothing' };
    case 'PAID':
      return isRefundedInFull
        ? { kind: 'nothing' }
        : { kind: 'flag', reason: REVIEW_REASONS.closedAfterPayment };
    case 'REFUNDING':
    case 'REFUNDED':
    case 'REVIEW':
      return { kind: 'nothing' };
  }
}

/** Whether money was taken for a trade that is closed: a refund ends there too. */
export const movedMoney = (payment: PaymentFacts, trade: ClosedTrade): boolean =>
  trade.wasPaid || refundedFen(payment, trade) > 0 || isKnownPaid(payment);

const refundedFen = (payment: PaymentFacts, trade: ClosedTrade): number =>
  Math.max(readFen(trade.refundedAmount) ?? 0, toFen(payment.refundedAmount), toFen(payment.refundSeen));

/** The parts of a notification, or of a query's answer, that can be news. Amounts are yuan, as Alipay wrote them. */
interface TradeNews {
  kind: 'paid' | 'closed' | 'nothing';
  totalAmount: string;
  refundedAmount?: string | undefined;
  paidAt: Date | null;
}

/**
 * Whether what Alipay says may change the row. Months later a TRADE_FINISHED comes for each payment, and says nothing
 * new. Any doubt counts as news.
 */
export function isNews(payment: PaymentFacts, news: TradeNews): boolean {
  if (news.kind === 'nothing') return false;
  const refunded = readFen(news.refundedAmount) ?? 0;
  if (refunded > toFen(payment.refundedAmount)) return true;
  if (news.kind === 'closed') {
    // The row was closed as unpaid, and now Alipay names a payment: that is news.
    return payment.status === 'CLOSED' ? news.paidAt !== null : payment.status !== 'REFUNDED';
  }
  if (payment.status !== 'PAID' && payment.status !== 'REFUNDED') return true;
  return readFen(news.totalAmount) !== toFen(payment.acceptedAmount ?? payment.totalAmount);
}

// In SQL, any merchant's pause applies to a row that names no merchant: it may be that one's.

/** Whether a merchant is paused, given an SQL expression for its id. */
export const merchantPaused = (id: string): string =>
  `EXISTS (SELECT 1 FROM :schema:.pauses WHERE what = 'merchant' AND merchant = COALESCE(${id}, merchant))`;

/** Whether refunds are paused, all or those of a merchant, given an SQL expression for its id. */
export const refundsPaused = (id: string): string =>
  `EXISTS (SELECT 1 FROM :schema:.pauses WHERE what = 'refunds'
     AND (merchant IS NULL OR merchant = COALESCE(${id}, merchant)))`;
