import { PaymentError } from '../../workflows/errors';
import type { Pause } from '../pauses';

const SETTLE = 'Wait until it is settled, or settle it, then try again.';

/** @param advice what to do, if not to wait for something to be settled */
export function heldOrder(orderId: string, because: string, advice = SETTLE): PaymentError {
  return new PaymentError('ORDER_HELD', `Order ${orderId} is held: ${because}. ${advice}`);
}

export function unknownOrder(orderId: string): PaymentError {
  return new PaymentError('ORDER_UNKNOWN', `There is no order ${orderId}. Register it, or check the id.`);
}

export function unknownPayment(outTradeNo: string): PaymentError {
  return new PaymentError('PAYMENT_UNKNOWN', `There is no payment ${outTradeNo}. Check the outTradeNo.`);
}

export function otherMerchant(what: string, theirs: string | null, ours: string): PaymentError {
  return new PaymentError(
    'MERCHANT_DIFFERS',
    `${what} belongs to merchant ${String(theirs)}, not to ${ours}. ` +
      'Name its merchant, use a new id, or set ALIPAY_APP_ID and ALIPAY_SELLER_ID of that merchant.',
  );
}

/** MERCHANT_PAUSED, with who and since when; the reason may not be for buyers. */
export function pausedMerchant(name: string, { actor, since }: Pause): PaymentError {
  return new PaymentError(
    'MERCHANT_PAUSED',
    `Merchant ${name} has been paused since ${since.toISOString()} by ${actor}: nobody can check out. ` +
      `Try again when it is resumed (durable-alipay resume merchant ${name} --reason "…"), or use another merchant.`,
  );
}

export function unknownRefund(refundId: string): PaymentError {
  return new PaymentError('REFUND_UNKNOWN', `There is no refund ${refundId}. Check the refundId.`);
}
