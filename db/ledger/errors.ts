import { PaymentError } from '../../workflows/errors';

/** ORDER_HELD, with the reason and what to do. */
export function heldOrder(orderId: string, because: string): PaymentError {
  return new PaymentError(
    'ORDER_HELD',
    `Order ${orderId} is held: ${because}. Wait until it is settled, or settle it, then try again.`,
  );
}

export function unknownOrder(orderId: string): PaymentError {
  return new PaymentError('ORDER_UNKNOWN', `There is no order ${orderId}. Register it, or check the id.`);
}

export function unknownPayment(outTradeNo: string): PaymentError {
  return new PaymentError('PAYMENT_UNKNOWN', `There is no payment ${outTradeNo}. Check the outTradeNo.`);
}

/** MERCHANT_DIFFERS: the caller is configured with another merchant than the row names. */
export function otherMerchant(what: string, theirs: string | null, ours: string): PaymentError {
  return new PaymentError(
    'MERCHANT_DIFFERS',
    `${what} belongs to merchant ${theirs ?? ''}, and this process has ${ours}. ` +
      'Use a new id, or set ALIPAY_APP_ID and ALIPAY_SELLER_ID of that merchant.',
  );
}
