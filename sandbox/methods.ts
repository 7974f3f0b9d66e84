import { beijingTime } from './beijing';
import type { Bills } from './bills';
import type { Certificates } from './certificates';
import { readIds, readOrder, readRefund, requireAuthCode, requireBuyer, text, type Biz } from './biz';
import { yuan } from './money';
import { Refusal, subMessage } from './refusal';
import { refundedFen, type Order, type Payee, type Product, type Refund } from './trade';
import type { Trade, TradeEvent } from './trade';
import type { Trades } from './trades';
import type { Params, ResponseNode } from './wire';

/** The only buyer in this sandbox. */
export const BUYER = {
  id: '2088102000000000',
  logonId: 'sbx***@sandbox.com',
  openId: 'sandbox_open_id_0000000000000001',
} as const;

/** A call decided but not yet done: what Alipay would answer, and what would change. */
export interface Decision {
  node: ResponseNode;
  events: TradeEvent[];
  /** Why it was refused, if it was. */
  refusal?: Refusal;
  /** What happens `ms` later, if it is still possible then. */
  later?: { ms: number; events: () => TradeEvent[] };
}

/** What a method may use. */
export interface MethodContext {
  /** For whom the call is made. */
  payee: Payee;
  /** The books of that seller. */
  trades: Trades;
  now: () => number;
  /** The address of an order's cashier page. */
  cashierUrl: (cashierId: string) => string;
  bills: Bills;
  /** The address of a path of this sandbox. */
  addressOf: (path: string) => string;
  /** How long after a refund its query does not show it, ms. */
  refundVisibleMs: () => number;
  /** The least time between two refunds of one trade, ms. */
  refundSpacingMs: () => number;
  /** For an application in certificate mode. */
  certificates?: Certificates | undefined;
  /** How long after its acceptance a refund moves money, ms. */
  refundOutcomeMs: () => number;
  /** The balance of the seller's account, fen. */
  sellerFen: () => number;
  /** What a bar code leads to: `paid`, or `password`: the buyer must enter it on the phone first. */
  barCode: () => 'paid' | 'password';
  /** Whether buyers are identified by `open_id`. */
  openIds?: boolean;
}

type Method = (context: MethodContext, biz: Biz, params: Params) => Decision;

const METHODS: Record<string, Method> = {
  'alipay.trade.query': query,
  'alipay.trade.close': close,
  'alipay.trade.refund': refund,
  'alipay.trade.fastpay.refund.query': refundQuery,
  'alipay.trade.precreate': precreate,
  'alipay.trade.create': create,
  'alipay.trade.pay': payByBarCode,
  'alipay.trade.cancel': cancel,
  'alipay.open.app.alipaycert.download': downloadCertificate,
  'alipay.data.dataservice.bill.downloadurl.query': billAddress,
};

/** Whether this is a method that a server calls (the pages that a browser opens are not). */
export function isServerMethod(method: string): boolean {
  return method in METHODS;
}

/**
 * Decides a server call without changing anything. A business error is also an answer, with no events.
 * @param method one for which `isServerMethod` holds
 */
export function decide(context: MethodContext, method: string, biz: Biz, params: Params): Decision {
  const act = METHODS[method];
  if (act === undefined) throw new Error(`SANDBOX_METHOD: ${method} is not a server method`);
  try {
    const decision = act(context, biz, params);
    return context.openIds ? { ...decision, node: byOpenId(decision.node) } : decision;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return {
      node:
        error.code === 'ACQ.TRADE_NOT_EXIST'
          ? noTrade(method, text(biz, 'out_trade_no', 64))
          : businessError(error.code, error.detail),
      events: [],
      refusal: error,
    };
  }
}

/** The head of a 40004 answer. */
export function businessError(subCode: string, detail?: string): ResponseNode {
  // Alipay names the parameter; other details are only for the person who runs the sandbox.
  const field = subCode === 'ACQ.INVALID_PARAMETER' && detail !== undefined ? `：${detail}` : '';
  return { code: '40004', msg: 'Business Failed', sub_code: subCode, sub_msg: subMessage(subCode) + field };
}

function byOpenId({ buyer_user_id: userId, ...node }: ResponseNode): ResponseNode {
  return userId === undefined ? node : { ...node, buyer_open_id: BUYER.openId };
}

const CANCEL_WITHIN_MS = 24 * 3_600_000;

const NO_MONEY = {
  buyer_pay_amount: '0.00',
  invoice_amount: '0.00',
  point_amount: '0.00',
  receipt_amount: '0.00',
} as const;

/** Alipay's answer if no trade exists: its query repeats the merchant's number, with zero amounts. */
export function noTrade(method: string, outTradeNo?: string): ResponseNode {
  const head = businessError('ACQ.TRADE_NOT_EXIST');
  if (method !== 'alipay.trade.query') return head;
  return { ...head, ...NO_MONEY, ...(outTradeNo !== undefined && { out_trade_no: outTradeNo }) };
}

function success(node: ResponseNode): ResponseNode {
  return { code: '10000', msg: 'Success', ...node };
}

function query({ trades }: MethodContext, biz: Biz): Decision {
  return { node: success(tradeNode(trades.require(readIds(biz)))), events: [] };
}

/** The fields in which `alipay.trade.query` reports a trade; the seller is not among them. */
export function tradeNode(trade: Trade): ResponseNode {
  const total = yuan(trade.order.totalFen);
  const paid = trade.paidAt === undefined ? '0.00' : total;
  return {
    buyer_logon_id: BUYER.logonId,
    buyer_pay_amount: paid,
    buyer_user_id: BUYER.id,
    buyer_user_type: 'PRIVATE',
    invoice_amount: paid,
    out_trade_no: trade.order.outTradeNo,
    point_amount: '0.00',
    receipt_amount: paid,
    ...(trade.paidAt === undefined ? {} : { send_pay_date: beijingTime(trade.paidAt) }),
    total_amount: total,
    trade_no: trade.tradeNo,
    trade_status: trade.status,
  };
}

function close({ trades }: MethodContext, biz: Biz): Decision {
  const ids = readIds(biz);
  const events = trades.closing(ids);
  const trade = trades.require(ids);
  return { node: success({ out_trade_no: trade.order.outTradeNo, trade_no: trade.tradeNo }), events };
}

function refund(context: MethodContext, biz: Biz): Decision {
  const { trades, now } = context;
  const [ids, { fen, outRequestNo }] = [readIds(biz), readRefund(biz)];
  const events = trades.refunding(ids, fen, outRequestNo);
  const trade = trades.require(ids);
  if (events.length > 0) {
    refuseTooSoon(trade.refunds.at(-1), now() - context.refundSpacingMs());
    if (fen > context.sellerFen()) throw new Refusal('ACQ.SELLER_BALANCE_NOT_ENOUGH');
  }
  const ms = context.refundOutcomeMs();
  const isLater = events.length > 0 && ms > 0;
  const moved = events.length > 0 && !isLater ? fen : 0;
  return {
    node: success({
      buyer_logon_id: BUYER.logonId,
      buyer_user_id: BUYER.id,
      fund_change: moved > 0 ? 'Y' : 'N',
      gmt_refund_pay: beijingTime(moved > 0 ? now() : (trade.refunds.at(-1)?.at ?? now())),
      out_trade_no: trade.order.outTradeNo,
      refund_fee: yuan(refundedFen(trade) + moved),
      send_back_fee: yuan(moved),
      trade_no: trade.tradeNo,
    }),
    events: isLater ? [] : events,
    // Decided again at that time: the refund may have been requested twice, or have become impossible.
    ...(isLater && { later: { ms, events: () => trades.refunding(ids, fen, outRequestNo) } }),
  };
}

// No code is documented for refunds in quick succession; SYSTEM_ERROR rightly asks to repeat the same request.
function refuseTooSoon(last: Refund | undefined, latest: number): void {
  if (last !== undefined && last.at > latest)
    throw new Refusal('ACQ.SYSTEM_ERROR', 'refunds follow each other too fast');
}

function refundQuery(context: MethodContext, biz: Biz): Decision {
  const trade = context.trades.require(readIds(biz));
  const requestNo = text(biz, 'out_request_no', 64) ?? trade.order.outTradeNo;
  const visible = context.now() - context.refundVisibleMs();
  const found = trade.refunds.find(({ outRequestNo, at }) => outRequestNo === requestNo && at <= visible);
  if (found === undefined) return { node: success({}), events: [] };
  const { query_options: options } = biz;
  const tellsTime = Array.isArray(options) && options.includes('gmt_refund_pay');
  return {
    node: success({
      ...(tellsTime && { gmt_refund_pay: beijingTime(found.at) }),
      out_request_no: requestNo,
      out_trade_no: trade.order.outTradeNo,
      refund_amount: yuan(found.fen),
      refund_status: 'REFUND_SUCCESS',
      total_amount: yuan(trade.order.totalFen),
      trade_no: trade.tradeNo,
    }),
    events: [],
  };
}

/** Reads a pay request of the calling account. @throws Refusal `ACQ.INVALID_PARAMETER` naming the field */
export function orderFor(
  { payee, now }: Pick<MethodContext, 'payee' | 'now'>,
  product: Product,
  biz: Biz,
  params: Params,
): Order {
  return { ...readOrder(product, biz, params, now()), payee };
}

/** The order of a server's call: no page could tell the buyer that the time to pay has passed. */
function payableOrder(context: MethodContext, product: Product, biz: Biz, params: Params): Order {
  const order = orderFor(context, product, biz, params);
  if (order.timeExpire !== undefined && order.timeExpire <= context.now())
    throw new Refusal('ACQ.INVALID_PARAMETER', 'time_expire is in the past');
  return order;
}

function precreate(context: MethodContext, biz: Biz, params: Params): Decision {
  const { trades, cashierUrl } = context;
  const order = payableOrder(context, 'precreate', biz, params);
  const events = trades.opening(order);
  const cashierId = trades.order(order.outTradeNo)?.cashierId ?? order.cashierId;
  return { node: success({ out_trade_no: order.outTradeNo, qr_code: cashierUrl(cashierId) }), events };
}

function create(context: MethodContext, biz: Biz, params: Params): Decision {
  const { trades } = context;
  const order = payableOrder(context, 'jsapi', biz, params);
  requireBuyer(biz, params['app_id'] ?? '');
  const events = trades.creating(order);
  const created = events.find((event) => event.type === 'scanned');
  const tradeNo = created?.tradeNo ?? trades.require(order).tradeNo;
  return { node: success({ out_trade_no: order.outTradeNo, trade_no: tradeNo }), events };
}

function payByBarCode(context: MethodContext, biz: Biz, params: Params): Decision {
  const { trades, now, barCode } = context;
  const order = payableOrder(context, 'barcode', biz, params);
  requireAuthCode(biz);
  const opened = trades.creating(order);
  const { outTradeNo } = order;
  const created = opened.find((event) => event.type === 'scanned');
  const ids = { out_trade_no: outTradeNo, trade_no: created?.tradeNo ?? trades.require(order).tradeNo };
  const total = yuan(order.totalFen);
  const buyer = { buyer_logon_id: BUYER.logonId, buyer_user_id: BUYER.id };
  if (barCode() === 'password') {
    const head = { code: '10003', msg: ' order success pay inprocess' };
    return { node: { ...head, ...buyer, ...ids, total_amount: total }, events: opened };
  }
  const paid = { gmt_payment: beijingTime(now()), receipt_amount: total, total_amount: total };
  return {
    node: success({ ...buyer, ...paid, ...ids }),
    events: [...opened, { type: 'paid', at: now(), outTradeNo, notify: true }],
  };
}

/** For an unknown trade it also succeeds, without an action. */
function cancel({ trades, now }: MethodContext, biz: Biz): Decision {
  const ids = readIds(biz);
  const trade = trades.find(ids);
  const { out_trade_no: outTradeNo = '' } = biz;
  if (trade === undefined)
    return { node: success({ out_trade_no: String(outTradeNo), retry_flag: 'N' }), events: [] };
  if (now() - trade.createdAt > CANCEL_WITHIN_MS) throw new Refusal('ACQ.TRADE_CANCEL_TIME_OUT');
  const action = trade.paidAt === undefined ? 'close' : 'refund';
  const node = success({
    out_trade_no: trade.order.outTradeNo,
    trade_no: trade.tradeNo,
    retry_flag: 'N',
    action,
  });
  if (trade.status === 'TRADE_CLOSED') return { node, events: [] };
  if (action === 'close') return { node, events: trades.closing(ids) };
  const rest = trade.order.totalFen - refundedFen(trade);
  return { node, events: trades.refunding(ids, rest, `cancel_${trade.tradeNo}`) };
}

/** Alipay's SDKs request it if an answer names a certificate that they do not have. */
function downloadCertificate({ certificates }: MethodContext, biz: Biz): Decision {
  const pem = certificates?.find(text(biz, 'alipay_cert_sn', 64) ?? '');
  if (pem === undefined) throw new Refusal('ACQ.INVALID_PARAMETER', 'alipay_cert_sn');
  return { node: success({ alipay_cert_content: Buffer.from(pem).toString('base64') }), events: [] };
}

function billAddress({ bills, payee, addressOf }: MethodContext, biz: Biz): Decision {
  const path = bills.pathOf(payee.sellerId, text(biz, 'bill_type', 20), text(biz, 'bill_date', 10));
  return { node: success({ bill_download_url: addressOf(path) }), events: [] };
}
