import type { AlipaySdk } from 'alipay-sdk';
import { fromBeijing } from './beijing';

/** The fields of a notification, decoded once, each with a single string value. */
export type NotificationFields = Record<string, string>;

/**
 * The fields of a form body or of an already parsed one. Undefined where a key stands twice or a value is not a
 * string: `a=1&b=2` hidden in one value would verify like two fields, so nothing ambiguous is let through.
 */
export function parseNotification(body: string | Record<string, unknown>): NotificationFields | undefined {
  const entries = typeof body === 'string' ? [...new URLSearchParams(body)] : Object.entries(body);
  const fields: NotificationFields = Object.create(null) as NotificationFields;
  for (const [key, value] of entries) {
    if (typeof value !== 'string' || key in fields) return undefined;
    fields[key] = value;
  }
  return fields;
}

/**
 * Verifies Alipay's signature, RSA2 only: `sign_type` comes with the message, and `RSA` would downgrade to SHA-1.
 * Alipay's documents and SDKs disagree on whether empty values are part of what is signed, so either form counts.
 * (Alipay: "异步通知验签"; `sign` and `sign_type` are not part of it.)
 */
export function verifiesNotification(sdk: AlipaySdk, fields: NotificationFields): boolean {
  const { sign, sign_type: signType, ...signed } = fields;
  if (!sign || signType !== 'RSA2') return false;
  const all = Object.entries(signed);
  const nonEmpty = all.filter(([, value]) => value !== '');
  return [all, nonEmpty].some((entries) => sdk.rsaCheck(canonical(entries), sign, 'RSA2'));
}

function canonical(entries: Array<[string, string]>): string {
  return entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join('&');
}

/** What a genuine notification says. Amounts are yuan. */
export interface Notification {
  notifyId: string;
  outTradeNo: string;
  tradeNo: string | null;
  tradeStatus: string;
  totalAmount: string;
  /** Cumulative; undefined where nothing was given back. */
  refundedAmount: string | undefined;
  paidAt: Date | null;
}

/** Reads verified fields; empty values count as absent. */
export function readNotification(fields: NotificationFields): Notification {
  const text = (name: string): string | undefined => fields[name] || undefined;
  return {
    notifyId: text('notify_id') ?? '',
    outTradeNo: text('out_trade_no') ?? '',
    tradeNo: text('trade_no') ?? null,
    tradeStatus: text('trade_status') ?? '',
    totalAmount: text('total_amount') ?? '',
    refundedAmount: text('refund_fee'),
    paidAt: fromBeijing(text('gmt_payment')),
  };
}

/** Only these wake a payment's workflow; WAIT_BUYER_PAY says nothing new. */
export type NotificationMeaning = 'paid' | 'closed' | 'nothing';

export function meaningOf({ tradeStatus }: Pick<Notification, 'tradeStatus'>): NotificationMeaning {
  if (tradeStatus === 'TRADE_SUCCESS' || tradeStatus === 'TRADE_FINISHED') return 'paid';
  return tradeStatus === 'TRADE_CLOSED' ? 'closed' : 'nothing';
}
