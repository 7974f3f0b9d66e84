import type { RefundPaymentInput } from '../../workflows/messages';
import type { Database } from '../connect';
import type { ClockedOrder } from '../orders';
import { findOrder, lockOrder, lockOrderOfPayment } from '../orders';
import type { Payment } from '../payments';
import { findPayment } from '../payments';
import type { Refund } from '../refunds';
import { findRefund, findRefundByNumber } from '../refunds';
import { unknownOrder, unknownPayment, unknownRefund } from './errors';

/** @throws PaymentError ORDER_UNKNOWN */
export const requireOrder = async (db: Database, orderId: string): Promise<ClockedOrder> =>
  (await findOrder(db, orderId)) ?? refuse(unknownOrder(orderId));

/** @throws PaymentError ORDER_UNKNOWN */
export const lockKnownOrder = async (trx: Database, orderId: string): Promise<ClockedOrder> =>
  (await lockOrder(trx, orderId)) ?? refuse(unknownOrder(orderId));

/** @throws PaymentError PAYMENT_UNKNOWN */
export const lockOrderOfKnownPayment = async (trx: Database, outTradeNo: string): Promise<ClockedOrder> =>
  (await lockOrderOfPayment(trx, outTradeNo)) ?? refuse(unknownPayment(outTradeNo));

/** @throws PaymentError PAYMENT_UNKNOWN */
export const requirePayment = async (db: Database, outTradeNo: string): Promise<Payment> =>
  (await findPayment(db, outTradeNo)) ?? refuse(unknownPayment(outTradeNo));

/** @throws PaymentError REFUND_UNKNOWN */
export const requireRefund = async (db: Database, key: RefundPaymentInput): Promise<Refund> =>
  (await findRefund(db, key)) ?? refuse(unknownRefund(key.outRequestNo));

/** @throws PaymentError REFUND_UNKNOWN */
export const requireRefundByNumber = async (db: Database, refundId: string): Promise<Refund> =>
  (await findRefundByNumber(db, refundId)) ?? refuse(unknownRefund(refundId));

function refuse(error: Error): never {
  throw error;
}
