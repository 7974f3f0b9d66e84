import { beijingTime } from './beijing';
import { readIds, readOrder, readRefund, text, type Biz } from './biz';
import { yuan } from './money';
import { Refusal, subMessage } from './refusal';
import { refundedFen, type Refund, type Trade, type TradeEvent, type Trades } from './trades';
import type { Params, ResponseNode } from './wire';

/** The one buyer who pays in this sandbox. */
export const BUYER = { id: '2088102000000000', logonId: 'sbx***@sandbox.com' } as const;

/** A call decided but not yet done: what Alipay would answer, and what would change. */
export interface Decision {
  node: ResponseNode;
  events: TradeEvent[];
}

/** What a method may look at. */
export interface MethodContext {
  trades: Trades;
  now: () => number;
  /** The address of an order's cashier page. */
  cashierUrl: (cashierId: string) => string;
  /** How long after a refund its query stays silent, ms. */
  refundVisibleMs: () => number;
  /** How far apart two refunds of one trade must be, ms. */
  refundSpacingMs: () => number;
}

type Method = (context: MethodContext, biz: Biz, params: Params) => Decision;

const METHODS: Record<string, Method> = {
  'alipay.trade.query': query,
  'alipay.trade.close': close,
  'alipay.trade.refund': refund,
  'alipay.trade.fastpay.refund.query': refundQuery,
  'alipay.trade.precreate': precreate,
};

/** Whether this is a method that a server calls (the pages that a browser opens are not). */
export function isServerMethod(method: string): boolean {
  return method in METHODS;
}

/**
 * Decides a server call without changing anything. A business error is an answer too, with no events.
 * @param method one for which `isServerMethod` holds
 */
export function decide(context: MethodContext, method: string, biz: Biz, params: Params): Decision {
  const act = METHODS[method];
  if (act === undefined) throw new Error(`SANDBOX_METHOD: ${method} is not a server method`);
  try {
    return act(context, biz, params);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { node: { ...businessError(error.code), ...idsOfRefusal(method, error, biz) }, events: [] };
  }
}

/** The head of a 40004 answer. */
export function businessError(subCode: string): ResponseNode {
  return { code: '40004', msg: 'Business Failed', sub_code: subCode, sub_msg: subMessage(subCode) };
}

const NO_MONEY = {
  buyer_pay_amount: '0.00',
  invoice_amount: '0.00',
  point_amount: '0.00',
  receipt_amount: '0.00',
} as const;

// Alipay's query repeats the merchant's number and zero amounts even where no trade exists.
function idsOfRefusal(method: string, refusal: Refusal, biz: Biz): ResponseNode {
  if (method !== 'alipay.trade.query' || refusal.code !== 'ACQ.TRADE_NOT_EXIST') return {};
  const outTradeNo = text(biz, 'out_trade_no', 64);
  return outTradeNo === undefined ? NO_MONEY : { ...NO_MONEY, out_trade_no: outTradeNo };
}

function success(node: ResponseNode): ResponseNode {
  return { code: '10000', msg: 'Success', ...node };
}

function query({ trades }: MethodContext, biz: Biz): Decision {
  return { node: success(tradeNode(trades.require(readIds(biz)))), events: [] };
}

/** The fields in which `alipay.trade.query` tells of a trade; there is no seller among them. */
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
  if (events.length > 0) refuseTooSoon(trade.refunds.at(-1), now() - context.refundSpacingMs());
  const moved = events.length > 0 ? fen : 0;
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
    events,
  };
}

// No code is documented for refunds that follow too fast; SYSTEM_ERROR asks for the same request again, which is right.
function refuseTooSoon(last: Refund | undefined, latest: number): void {
  if (last !== undefined && last.at > latest)
    throw new Refusal('ACQ.SYSTEM_ERROR', 'refunds follow too fast');
}

function refundQuery(context: MethodContext, biz: Biz): Decision {
  const trade = context.trades.require(readIds(biz));
  const requestNo = text(biz, 'out_request_no', 64) ?? trade.order.outTradeNo;
  const visible = context.now() - context.refundVisibleMs();
  const found = trade.refunds.find(({ outRequestNo, at }) => outRequestNo === requestNo && at <= visible);
  if (found === undefined) return { node: success({}), events: [] };
  return {
    node: success({
      gmt_refund_pay: beijingTime(found.at),
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

function precreate({ trades, now, cashierUrl }: MethodContext, biz: Biz, params: Params): Decision {
  const order = readOrder('precreate', biz, params, now());
  if (order.timeExpire !== undefined && order.timeExpire <= now()) {
    throw new Refusal('ACQ.INVALID_PARAMETER', 'time_expire is past');
  }
  const events = trades.opening(order);
  const cashierId = trades.order(order.outTradeNo)?.cashierId ?? order.cashierId;
  return { node: success({ out_trade_no: order.outTradeNo, qr_code: cashierUrl(cashierId) }), events };
}
