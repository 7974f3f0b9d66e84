import type { RefundView } from '../../client/index';
import type { Order } from '../../db/orders';
import type { Payment } from '../../db/payments';
import type { PaymentFacts } from '../../db/rules';
import type { StoredPaymentStatus } from '../../workflows/messages';

// Rows as they are right after a checkout, and after a refund was requested.

export const CREATED = new Date('2026-01-01T00:00:00Z');

export const ORDER: Order = {
  id: 'A-1',
  subject: 'Green tea',
  totalAmount: '12.30',
  status: 'UNPAID',
  closeBy: 'sweep',
  merchant: '2021000000000000/2088000000000000',
  createdAt: CREATED,
  expiresAt: new Date('2026-01-02T00:00:00Z'),
  paidAt: null,
  paidBy: null,
  refundedAmount: '0.00',
  closedAt: null,
  ifPaidLater: null,
};

export const PAYMENT: Payment = {
  outTradeNo: 'P1',
  orderId: 'A-1',
  merchant: '2021000000000000/2088000000000000',
  product: 'page',
  requestDigest: null,
  totalAmount: '12.30',
  status: 'UNPAID',
  tradeNo: null,
  checks: 0,
  nextCheckAt: null,
  paidAmount: null,
  acceptedAmount: null,
  outsideAmount: null,
  outsideReference: null,
  timeExpire: new Date('2026-01-01T23:59:00Z'),
  callbackTime: null,
  callbackContent: null,
  reviewReason: null,
  refundedAmount: '0.00',
  refundSeen: '0.00',
  supersededAt: null,
  recheckAt: null,
  createdAt: CREATED,
  updatedAt: CREATED,
  closedAt: null,
  refundedAt: null,
};

export const REFUND: RefundView = {
  refundId: 'R-17',
  orderId: 'A-1',
  outTradeNo: 'P1',
  amount: '3.00',
  status: 'REQUESTED',
  kind: 'shop',
  reason: 'one cup was broken',
  because: null,
  waitsFor: null,
  requestedBy: 'li',
  requestedAt: new Date('2026-01-03T00:00:00Z'),
  doneAt: null,
};

/** What decisions depend on, for a row of this status that knows of no money yet, plus what the test adds. */
export const factsOf = (status: StoredPaymentStatus, more: Partial<PaymentFacts> = {}): PaymentFacts => ({
  status,
  reviewReason: null,
  tradeNo: null,
  totalAmount: PAYMENT.totalAmount,
  paidAmount: null,
  acceptedAmount: null,
  refundedAmount: '0.00',
  refundSeen: '0.00',
  supersededAt: null,
  ...more,
});
