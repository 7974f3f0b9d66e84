import { randomBytes } from 'node:crypto';
import { readBeijingTime } from './beijing';
import { readYuan } from './money';
import { Refusal } from './refusal';
import { expiryOfTimeout, type Order, type Product, type TradeIds } from './trade';
import { isSignType, type Params } from './wire';

/** A parsed `biz_content`. */
export type Biz = Record<string, unknown>;

const PRODUCT_CODES: Record<Product, readonly string[]> = {
  page: ['FAST_INSTANT_TRADE_PAY'],
  wap: ['QUICK_WAP_WAY', 'QUICK_WAP_PAY'],
  precreate: ['FACE_TO_FACE_PAYMENT', 'QR_CODE_OFFLINE', 'FAST_INSTANT_TRADE_PAY', 'OFFLINE_PAYMENT'],
  app: ['QUICK_MSECURITY_PAY'],
  jsapi: ['JSAPI_PAY'],
  barcode: ['FACE_TO_FACE_PAYMENT'],
};

/** Products whose `product_code` cannot be left out: `alipay.trade.create` would use another one. */
const CODE_REQUIRED: readonly Product[] = ['page', 'jsapi'];

const TOTAL_MAX_FEN = 10_000_000_000;
const QR_CODE_LIFE = '2h';

/** Parses `biz_content`. @returns undefined when it is not a JSON object */
export function readBiz(text: string | undefined): Biz | undefined {
  try {
    const parsed: unknown = JSON.parse(text ?? '');
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)
      ? (parsed as Biz)
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a pay request within the limits of Alipay's documentation.
 * @param now epoch ms
 * @throws Refusal `ACQ.INVALID_PARAMETER` naming the field
 */
export function readOrder(product: Product, biz: Biz, params: Params, now: number): Order {
  const timeExpire = readTimeExpire(biz);
  const qrTimeout = text(biz, 'qr_code_timeout_express', 6) ?? QR_CODE_LIFE;
  return {
    outTradeNo: readOutTradeNo(biz),
    product,
    totalFen: readTotal(biz),
    subject: readSubject(biz),
    body: text(biz, 'body', 400),
    passbackParams: text(biz, 'passback_params', 512),
    timeExpire,
    timeoutExpress: readTimeout(biz, 'timeout_express', now),
    linkExpires: product === 'precreate' ? expiryOfTimeout(qrTimeout, now) : undefined,
    notifyUrl: readUrl(params, 'notify_url'),
    returnUrl: readUrl(params, 'return_url'),
    charset: params['charset'],
    signType: isSignType(params['sign_type']) ? params['sign_type'] : undefined,
    content: fixedForm(product, requireProductCode(product, biz)),
    cashierId: randomBytes(16).toString('hex'),
  };
}

/**
 * Reads which trade a call is about.
 * @throws Refusal `ACQ.INVALID_PARAMETER` when it names none
 */
export function readIds(biz: Biz): TradeIds {
  const [outTradeNo, tradeNo] = [text(biz, 'out_trade_no', 64), text(biz, 'trade_no', 64)];
  if (outTradeNo === undefined && tradeNo === undefined) {
    throw new Refusal('ACQ.INVALID_PARAMETER', 'out_trade_no and trade_no are both missing');
  }
  return { outTradeNo, tradeNo };
}

/**
 * Reads what a refund requests.
 * @returns the amount in fen and the request number, if any
 * @throws Refusal `ACQ.INVALID_PARAMETER` naming the field
 */
export function readRefund(biz: Biz): { fen: number; outRequestNo?: string } {
  const fen = readYuan(text(biz, 'refund_amount', 12) ?? '');
  if (fen === undefined || fen === 0) throw invalid('refund_amount');
  text(biz, 'refund_reason', 256);
  return { fen, outRequestNo: text(biz, 'out_request_no', 64) };
}

/**
 * Reads an optional text field; Alipay accepts numbers for text.
 * @throws Refusal `ACQ.INVALID_PARAMETER` if it is too long or not text
 */
export function text(biz: Biz, name: string, max: number): string | undefined {
  const value = biz[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string' && typeof value !== 'number') throw invalid(name);
  const written = String(value);
  if (written.length > max) throw invalid(name);
  return written;
}

function readOutTradeNo(biz: Biz): string {
  const outTradeNo = text(biz, 'out_trade_no', 64);
  if (outTradeNo === undefined || !/^[A-Za-z0-9_]{1,64}$/.test(outTradeNo)) throw invalid('out_trade_no');
  return outTradeNo;
}

function readTotal(biz: Biz): number {
  const fen = readYuan(text(biz, 'total_amount', 12) ?? '');
  if (fen === undefined || fen < 1 || fen > TOTAL_MAX_FEN) throw invalid('total_amount');
  return fen;
}

function readSubject(biz: Biz): string {
  const subject = text(biz, 'subject', 256);
  if (subject === undefined || /[/=&]/.test(subject)) throw invalid('subject');
  return subject;
}

/**
 * Reads who pays in a mini program: its app id, and the buyer's id in that program or in the calling application.
 * @throws Refusal `ACQ.INVALID_PARAMETER`, `ACQ.BUYER_NOT_EXIST`
 */
export function requireBuyer(biz: Biz, appId: string): void {
  const opAppId = text(biz, 'op_app_id', 32);
  if (opAppId === undefined) throw invalid('op_app_id');
  const [known, foreign] =
    opAppId === appId ? ['buyer_open_id', 'op_buyer_open_id'] : ['op_buyer_open_id', 'buyer_open_id'];
  if (text(biz, known, 128) !== undefined || text(biz, 'buyer_id', 28) !== undefined) return;
  if (text(biz, foreign, 128) !== undefined) throw new Refusal('ACQ.BUYER_NOT_EXIST');
  throw invalid(known);
}

/**
 * Reads the bar code that the buyer's phone shows.
 * @throws Refusal `ACQ.INVALID_PARAMETER`, `ACQ.PAYMENT_AUTH_CODE_INVALID`
 */
export function requireAuthCode(biz: Biz): void {
  const scene = text(biz, 'scene', 32) ?? 'bar_code';
  if (scene !== 'bar_code') throw invalid('scene');
  const code = text(biz, 'auth_code', 64);
  if (code === undefined) throw invalid('auth_code');
  if (!/^(2[5-9]|30)\d{14,22}$/.test(code)) throw new Refusal('ACQ.PAYMENT_AUTH_CODE_INVALID');
}

function readTimeExpire(biz: Biz): number | undefined {
  const written = text(biz, 'time_expire', 19);
  if (written === undefined) return undefined;
  // Alipay's pages show only minutes for some products; the server accepts both.
  const at = readBeijingTime(/^\S+ \d\d:\d\d$/.test(written) ? `${written}:00` : written);
  if (at === undefined) throw invalid('time_expire');
  return at;
}

function readTimeout(biz: Biz, name: string, now: number): string | undefined {
  const express = text(biz, name, 6);
  if (express !== undefined && expiryOfTimeout(express, now) === undefined) throw invalid(name);
  return express;
}

function requireProductCode(product: Product, biz: Biz): Biz {
  const code = text(biz, 'product_code', 64);
  const required = CODE_REQUIRED.includes(product);
  if (code === undefined ? required : !PRODUCT_CODES[product].includes(code)) throw invalid('product_code');
  return biz;
}

function readUrl(params: Params, name: string): string | undefined {
  const url = params[name];
  if (url === undefined || url === '') return undefined;
  if (url.length > 256 || !/^https?:\/\//.test(url) || !URL.canParse(url)) throw invalid(name);
  return url;
}

function fixedForm(product: Product, biz: Biz): string {
  return JSON.stringify([product, Object.entries(biz).sort(([a], [b]) => (a < b ? -1 : 1))]);
}

function invalid(field: string): Refusal {
  return new Refusal('ACQ.INVALID_PARAMETER', field);
}
