import type { LatePaymentPolicy, OrderStatus, StoredPaymentStatus } from '../workflows/messages';
import { readFen, toFen } from './money';

/** Why a payment is in review. */
export const REVIEW_REASONS = {
  amountDiffers: 'AMOUNT_DIFFERS',
  latePayment: 'LATE_PAYMENT',
  duplicatePayment: 'DUPLICATE_PAYMENT',
  closedAfterPayment: 'CLOSED_AFTER_PAYMENT',
  refundRefused: 'REFUND_REFUSED',
  refundNotProven: 'REFUND_NOT_PROVEN',
} as const;

export type ReviewReason = (typeof REVIEW_REASONS)[keyof typeof REVIEW_REASONS];

/** What the tables say before anything is decided, read under the order's lock. */
export interface Standing {
  order: OrderStatus;
  payment: StoredPaymentStatus;
  /** Yuan. */
  totalAmount: string;
}

export type Decision =
  | { do: 'nothing' }
  | { do: 'move'; to: StoredPaymentStatus; reason?: ReviewReason }
  /** A PAID row keeps its status; the reason stands beside it. */
  | { do: 'flag'; reason: ReviewReason };

/**
 * Alipay says that the payment was made, with `paidAmount` yuan. First a payment that is settled stays what it is:
 * a lost workflow task records again, and must not take the order's own payment for a duplicate.
 */
export function decidePaid(standing: Standing, paidAmount: string, policy: LatePaymentPolicy): Decision {
  const { order, payment, totalAmount } = standing;
  const differs = readFen(paidAmount) !== toFen(totalAmount);
  switch (payment) {
    case 'PAID':
      return differs ? { do: 'flag', reason: REVIEW_REASONS.amountDiffers } : { do: 'nothing' };
    case 'REFUNDING':
      return differs ? { do: 'move', to: 'REVIEW', reason: REVIEW_REASONS.amountDiffers } : { do: 'nothing' };
    case 'REFUNDED':
    case 'REVIEW':
      return { do: 'nothing' };
    case 'UNPAID':
    case 'CLOSED':
      if (differs) return { do: 'move', to: 'REVIEW', reason: REVIEW_REASONS.amountDiffers };
      if (order === 'UNPAID' && payment === 'UNPAID') return { do: 'move', to: 'PAID' };
      return unwanted(order, policy);
  }
}

function unwanted(order: OrderStatus, policy: LatePaymentPolicy): Decision {
  if (policy === 'refund') return { do: 'move', to: 'REFUNDING' };
  const reason = order === 'PAID' ? REVIEW_REASONS.duplicatePayment : REVIEW_REASONS.latePayment;
  return { do: 'move', to: 'REVIEW', reason };
}

/** What else is known of a trade that Alipay calls TRADE_CLOSED. */
export interface ClosedEvidence {
  /** Anything that says that money had moved: a payment time, or an earlier verified "paid". */
  wasPaid: boolean;
  /** Yuan given back so far, as Alipay says; undefined where it says nothing. */
  refundedAmount?: string;
}

/**
 * Alipay says TRADE_CLOSED, which does not prove "never paid": a full refund ends there too. Only without any
 * evidence of payment does it close that payment, alone.
 */
export function decideClosed(standing: Standing, { wasPaid, refundedAmount }: ClosedEvidence): Decision {
  const { payment, totalAmount } = standing;
  const refunded = readFen(refundedAmount) ?? 0;
  const refundedInFull = refunded >= toFen(totalAmount);
  const moneyMoved = wasPaid || refunded > 0;
  switch (payment) {
    case 'UNPAID':
      return moneyMoved
        ? { do: 'move', to: 'REVIEW', reason: REVIEW_REASONS.closedAfterPayment }
        : { do: 'move', to: 'CLOSED' };
    case 'CLOSED':
      return moneyMoved && !refundedInFull
        ? { do: 'move', to: 'REVIEW', reason: REVIEW_REASONS.closedAfterPayment }
        : { do: 'nothing' };
    case 'PAID':
      return refundedInFull ? { do: 'nothing' } : { do: 'flag', reason: REVIEW_REASONS.closedAfterPayment };
    case 'REFUNDING':
    case 'REFUNDED':
    case 'REVIEW':
      return { do: 'nothing' };
  }
}
