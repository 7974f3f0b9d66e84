import { randomUUID, type KeyObject } from 'node:crypto';
import { beijingTime } from './beijing';
import { BUYER } from './methods';
import { yuan } from './money';
import { refundedFen, type Order, type Payee, type Refund, type Trade } from './trade';
import { encodeText, isSignType, isUtf8, signContent, signText, type Params, type SignType } from './wire';

/** Who signs, and for whom. */
export interface Merchant extends Payee {
  alipayPrivate: KeyObject;
  /** Whether the application knows buyers by `open_id`, like those created since 2023. */
  openIds?: boolean;
}

/**
 * The fields of a trade notification, unsigned and without `notify_time`, which belongs to each delivery.
 * Empty fields are never sent.
 * @param refund the refund that this notification reports, if any
 */
export function noticeFields(merchant: Merchant, trade: Trade, refund?: Refund): Params {
  const { order } = trade;
  return withoutEmpty({
    ...heading(merchant, order),
    trade_no: trade.tradeNo,
    trade_status: trade.status,
    gmt_create: beijingTime(trade.createdAt),
    gmt_close: trade.closedAt === undefined ? '' : beijingTime(trade.closedAt),
    ...(trade.paidAt === undefined ? {} : payment(order, trade.paidAt)),
    ...(refund === undefined ? {} : refundFields(trade, refund)),
    ...(refund !== undefined && trade.status === 'TRADE_CLOSED' && ABSENT_ONCE_REFUNDED),
  });
}

/** Fields that real notifications of a full refund do not have. */
const ABSENT_ONCE_REFUNDED: Params = {
  ...{ receipt_amount: '', invoice_amount: '', buyer_pay_amount: '', point_amount: '' },
  ...{ fund_bill_list: '', send_back_fee: '' },
};

/** A notification of a payment that never happened: for an order that nobody scanned, or for no order at all. */
export function inventedFields(merchant: Merchant, order: Order, tradeNo: string, now: number): Params {
  return withoutEmpty({
    ...heading(merchant, order),
    trade_no: tradeNo,
    trade_status: 'TRADE_SUCCESS',
    gmt_create: beijingTime(now),
    ...payment(order, now),
  });
}

function heading(merchant: Merchant, order: Order): Params {
  return {
    notify_type: 'trade_status_sync',
    notify_id: randomUUID().replaceAll('-', ''),
    charset: order.charset ?? 'utf-8',
    sign_type: order.signType ?? 'RSA2',
    version: '1.0',
    app_id: merchant.appId,
    auth_app_id: merchant.authAppId,
    out_trade_no: order.outTradeNo,
    ...(merchant.openIds ? { buyer_open_id: BUYER.openId } : { buyer_id: BUYER.id }),
    buyer_logon_id: BUYER.logonId,
    seller_id: merchant.sellerId,
    seller_email: 'seller@sandbox.com',
    total_amount: yuan(order.totalFen),
    subject: order.subject,
    body: order.body ?? '',
    passback_params: order.passbackParams ?? '',
  };
}

function payment(order: Order, paidAt: number): Params {
  const total = yuan(order.totalFen);
  return {
    gmt_payment: beijingTime(paidAt),
    receipt_amount: total,
    invoice_amount: total,
    buyer_pay_amount: total,
    point_amount: '0.00',
    fund_bill_list: JSON.stringify([{ amount: total, fundChannel: 'ALIPAYACCOUNT' }]),
  };
}

function refundFields(trade: Trade, refund: Refund): Params {
  return {
    out_biz_no: refund.unnumbered ? trade.tradeNo : refund.outRequestNo,
    refund_fee: yuan(refundedFen(trade)),
    send_back_fee: yuan(refund.fen),
    // Alipay's own samples show only this time with milliseconds.
    gmt_refund: `${beijingTime(refund.at)}.${String(refund.at % 1000).padStart(3, '0')}`,
  };
}

function withoutEmpty(fields: Params): Params {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ''));
}

/**
 * Signs fields like a notification: `sign_type` is sent but not signed, and the bytes are in the fields' `charset`.
 * @param now epoch ms; becomes `notify_time` unless the fields have one
 */
export function signNotice(
  fields: Params,
  key: KeyObject,
  now: number,
  signType: SignType = isSignType(fields['sign_type']) ? fields['sign_type'] : 'RSA2',
): Params {
  const timed: Params = { notify_time: beijingTime(now), ...fields };
  const sign = signText(signContent(timed, ['sign', 'sign_type']), key, signType, timed['charset']);
  return { ...timed, sign_type: signType, sign };
}

/** The form that posts these fields, in the bytes of their `charset`. */
export function formOf(fields: Params): string {
  const { charset } = fields;
  if (isUtf8(charset)) return new URLSearchParams(fields).toString();
  const encoded = (text: string): string =>
    encodeText(text, charset)
      .toString('latin1')
      .replace(/[^A-Za-z0-9_.-]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return Object.entries(fields)
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .join('&');
}
