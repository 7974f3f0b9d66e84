import { endOfBeijingDay } from './beijing';
import type { SignType } from './wire';

/**
 * How the buyer gets to the cashier: a computer's browser, a phone's browser, a QR code, an app, a mini program, or not
 * at all: the shop scans the buyer's bar code.
 */
export type Product = 'page' | 'wap' | 'precreate' | 'app' | 'jsapi' | 'barcode';

/** A trade's status at Alipay. */
export type TradeStatus = 'WAIT_BUYER_PAY' | 'TRADE_SUCCESS' | 'TRADE_FINISHED' | 'TRADE_CLOSED';

/** Who gets the money, and through which application: what an order remembers about its account. */
export interface Payee {
  /** The application that calls, and that notifications name. */
  appId: string;
  /** The seller's own application; may be the same as `appId`. */
  authAppId: string;
  sellerId: string;
}

/** A signed pay request whose cashier was opened. Not a trade yet: Alipay's query does not find it. */
export interface Order {
  outTradeNo: string;
  product: Product;
  totalFen: number;
  subject: string;
  body?: string;
  passbackParams?: string;
  /** The absolute end of the time to pay, epoch ms; takes precedence over `timeoutExpress`. */
  timeExpire?: number;
  /** `30m`, `2h`, `15d` or `1c`, counted from the scan. */
  timeoutExpress?: string;
  /** When a QR code that nobody scanned expires, epoch ms. */
  linkExpires?: number;
  notifyUrl?: string;
  returnUrl?: string;
  /** The charset of its notifications, taken from its request. Default UTF-8. */
  charset?: string;
  /** The signature type of its notifications. Default RSA2. */
  signType?: SignType;
  /** The request's business content in a canonical form: a reopening must repeat it. */
  content: string;
  /** The unguessable last part of the cashier page's address. */
  cashierId: string;
  /** The account for which it was created. Default: the first. */
  payee?: Payee;
  /** Set when it is opened, epoch ms. */
  openedAt?: number;
}

/** One refund of a trade. */
export interface Refund {
  /** The order's number if the request had none. */
  outRequestNo: string;
  /** Whether it was requested without a number. */
  unnumbered?: boolean;
  fen: number;
  at: number;
}

/** A trade: what exists at Alipay once the buyer has scanned. */
export interface Trade {
  order: Order;
  tradeNo: string;
  status: TradeStatus;
  createdAt: number;
  expiresAt: number;
  paidAt?: number;
  /** Set if it was paid and its notification was lost on purpose. */
  undelivered?: boolean;
  closedAt?: number;
  finishedAt?: number;
  refunds: Refund[];
}

/** Every change in a seller's books. The state file records them, and replaying them restores the books. */
export type TradeEvent =
  | { type: 'opened'; at: number; order: Order }
  | { type: 'scanned'; at: number; outTradeNo: string; tradeNo: string; expiresAt: number }
  | { type: 'paid'; at: number; outTradeNo: string; notify: boolean }
  | { type: 'closed'; at: number; outTradeNo: string; by: 'merchant' | 'timeout' }
  | {
      type: 'refunded';
      at: number;
      outTradeNo: string;
      outRequestNo: string;
      unnumbered?: boolean;
      fen: number;
    }
  | { type: 'finished'; at: number; outTradeNo: string; notify: boolean };

/** Either id finds a trade; if both are given, `tradeNo` wins, as at Alipay. */
export interface TradeIds {
  outTradeNo?: string;
  tradeNo?: string;
}

/** The order that an event is about. */
export function outTradeNoOf(event: TradeEvent): string {
  return event.type === 'opened' ? event.order.outTradeNo : event.outTradeNo;
}

/** The sum of a trade's refunds. @returns fen */
export function refundedFen(trade: Trade): number {
  return trade.refunds.reduce((sum, refund) => sum + refund.fen, 0);
}

/** When an order that nobody scanned stops being payable, epoch ms. */
export function payableUntil(order: Order): number {
  return Math.min(order.timeExpire ?? Infinity, order.linkExpires ?? Infinity);
}

const DEFAULT_TIMEOUT: Record<Product, string> = {
  page: '15d',
  wap: '15d',
  precreate: '3h',
  app: '15d',
  jsapi: '15d',
  barcode: '3h',
};
const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `timeout_express`: 1m to 15d, or `1c`, the end of the day. @returns epoch ms, or undefined if malformed */
export function expiryOfTimeout(express: string, from: number): number | undefined {
  if (express === '1c') return endOfBeijingDay(from);
  const [, count, unit] = /^(\d{1,5})([mhd])$/.exec(express) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  const length = Number(count) * (UNIT_MS[unit] ?? 0);
  return length >= 60_000 && length <= 15 * 86_400_000 ? from + length : undefined;
}

/** When an order that is scanned now stops being payable, epoch ms. */
export function tradeExpiry(order: Order, at: number): number {
  if (order.timeExpire !== undefined) return order.timeExpire;
  return expiryOfTimeout(order.timeoutExpress ?? DEFAULT_TIMEOUT[order.product], at) ?? at;
}
