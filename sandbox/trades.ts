import { randomInt } from 'node:crypto';
import { beijingTime, endOfBeijingDay } from './beijing';
import { yuan } from './money';
import { Refusal } from './refusal';

/** How the buyer gets to the cashier: a computer's browser, a phone's browser, a QR code. */
export type Product = 'page' | 'wap' | 'precreate';

/** A trade's status at Alipay. */
export type TradeStatus = 'WAIT_BUYER_PAY' | 'TRADE_SUCCESS' | 'TRADE_FINISHED' | 'TRADE_CLOSED';

/** A signed pay request whose cashier was opened. Not yet a trade: Alipay's query knows nothing of it. */
export interface Order {
  outTradeNo: string;
  product: Product;
  totalFen: number;
  subject: string;
  body?: string;
  passbackParams?: string;
  /** Absolute end of payment, epoch ms; wins over `timeoutExpress`. */
  timeExpire?: number;
  /** `30m`, `2h`, `15d` or `1c`, counted from the scan. */
  timeoutExpress?: string;
  /** End of an unscanned QR code, epoch ms. */
  linkExpires?: number;
  notifyUrl?: string;
  returnUrl?: string;
  /** The request's business content in one fixed form: reopening must repeat it. */
  content: string;
  /** The unguessable last part of the cashier page's address. */
  cashierId: string;
}

/** One refund of a trade. */
export interface Refund {
  outRequestNo: string;
  fen: number;
  at: number;
}

/** A trade: what exists at Alipay from the buyer's scan on. */
export interface Trade {
  order: Order;
  tradeNo: string;
  status: TradeStatus;
  createdAt: number;
  expiresAt: number;
  paidAt?: number;
  /** Paid, and its notification was lost on purpose. */
  undelivered?: boolean;
  closedAt?: number;
  finishedAt?: number;
  refunds: Refund[];
}

/** Everything that ever changes here. The state file is a list of these, and replaying them is the state. */
export type TradeEvent =
  | { type: 'opened'; at: number; order: Order }
  | { type: 'scanned'; at: number; outTradeNo: string; tradeNo: string; expiresAt: number }
  | { type: 'paid'; at: number; outTradeNo: string; notify: boolean }
  | { type: 'closed'; at: number; outTradeNo: string; by: 'merchant' | 'timeout' }
  | { type: 'refunded'; at: number; outTradeNo: string; outRequestNo: string; fen: number }
  | { type: 'finished'; at: number; outTradeNo: string; notify: boolean };

/** Either id finds a trade; where both are given, `tradeNo` wins, as at Alipay. */
export interface TradeIds {
  outTradeNo?: string;
  tradeNo?: string;
}

/** Called after each change that was committed. */
export type TradeListener = (event: TradeEvent, trade: Trade | undefined) => void;

const DEFAULT_TIMEOUT: Record<Product, string> = { page: '15d', wap: '15d', precreate: '3h' };
const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Alipay's books. Synchronous throughout: a decision and its commit happen in one turn of the event loop, so a race of
 * close against pay has exactly one winner.
 *
 * Each `…ing` method decides without changing anything and returns the events that would; `commit` makes them true.
 * Keeping the two apart is what lets a fault strike before or after the effect.
 */
export class Trades {
  readonly #orders = new Map<string, Order>();
  readonly #trades = new Map<string, Trade>();
  readonly #outTradeNoByTradeNo = new Map<string, string>();
  readonly #outTradeNoByCashier = new Map<string, string>();
  readonly #waiting = new Set<Trade>();
  readonly #listeners: TradeListener[] = [];

  /** @param now the clock, epoch ms */
  constructor(private readonly now: () => number) {}

  /** Has `listener` called after every committed event. */
  onChange(listener: TradeListener): void {
    this.#listeners.push(listener);
  }

  /** Makes decided events true, at once, and tells the listeners. */
  commit(events: readonly TradeEvent[]): void {
    for (const event of events) {
      this.apply(event);
      const trade = this.#trades.get(outTradeNoOf(event));
      for (const listener of this.#listeners) listener(event, trade);
    }
  }

  /** Makes one event of the past true again, telling nobody. */
  apply(event: TradeEvent): void {
    switch (event.type) {
      case 'opened':
        this.#orders.set(event.order.outTradeNo, event.order);
        this.#outTradeNoByCashier.set(event.order.cashierId, event.order.outTradeNo);
        return;
      case 'scanned':
        this.#create(event);
        return;
      case 'paid':
        Object.assign(this.#become(event.outTradeNo, 'TRADE_SUCCESS'), {
          paidAt: event.at,
          undelivered: !event.notify,
        });
        return;
      case 'closed':
        this.#become(event.outTradeNo, 'TRADE_CLOSED').closedAt = event.at;
        return;
      case 'finished':
        this.#become(event.outTradeNo, 'TRADE_FINISHED').finishedAt = event.at;
        return;
      case 'refunded':
        this.#refund(event);
    }
  }

  /** The order whose cashier was opened, scanned or not. */
  order(outTradeNo: string): Order | undefined {
    return this.#orders.get(outTradeNo);
  }

  /** The order behind a cashier page's address. */
  orderOfCashier(cashierId: string): Order | undefined {
    return this.#orders.get(this.#outTradeNoByCashier.get(cashierId) ?? '');
  }

  /** The trade as it is now: one whose time has run out is closed by looking at it. */
  find(ids: TradeIds): Trade | undefined {
    const outTradeNo =
      ids.tradeNo === undefined ? ids.outTradeNo : this.#outTradeNoByTradeNo.get(ids.tradeNo);
    const trade = this.#trades.get(outTradeNo ?? '');
    if (trade !== undefined) this.#closeIfExpired(trade);
    return trade;
  }

  /** All trades, oldest first. */
  all(): Trade[] {
    this.expire();
    return [...this.#trades.values()];
  }

  /** Closes every waiting trade whose time has run out. */
  expire(): void {
    for (const trade of this.#waiting) this.#closeIfExpired(trade);
  }

  /**
   * The cashier is opened, or a QR code asked for. Opening again with the same content is allowed while unpaid.
   * @throws Refusal `ACQ.CONTEXT_INCONSISTENT`, `ACQ.TRADE_HAS_SUCCESS`, `ACQ.TRADE_HAS_CLOSE`
   */
  opening(order: Order): TradeEvent[] {
    const trade = this.find({ outTradeNo: order.outTradeNo });
    if (trade !== undefined) refuseUnlessWaiting(trade);
    const known = this.#orders.get(order.outTradeNo);
    if (known === undefined) return [{ type: 'opened', at: this.now(), order }];
    if (known.content !== order.content) throw new Refusal('ACQ.CONTEXT_INCONSISTENT');
    if (trade !== undefined) return [];
    return [{ type: 'opened', at: this.now(), order: { ...order, cashierId: known.cashierId } }];
  }

  /**
   * The buyer scans the code or logs in: only now is there a trade.
   * @throws Refusal `UNKNOWN_ORDER`, `EXPIRED`, `ACQ.TRADE_HAS_SUCCESS`, `ACQ.TRADE_HAS_CLOSE`
   */
  scanning(outTradeNo: string): TradeEvent[] {
    const order = this.#orders.get(outTradeNo);
    if (order === undefined) throw new Refusal('UNKNOWN_ORDER', `no cashier was opened for ${outTradeNo}`);
    const trade = this.find({ outTradeNo });
    if (trade !== undefined) {
      refuseUnlessWaiting(trade);
      return [];
    }
    const at = this.now();
    if (at >= payableUntil(order)) throw new Refusal('EXPIRED', 'the time to pay has run out');
    return [
      { type: 'scanned', at, outTradeNo, tradeNo: this.#newTradeNo(at), expiresAt: tradeExpiry(order, at) },
    ];
  }

  /**
   * The buyer pays; a first payment implies the scan.
   * @param notify false loses the notification for good
   * @throws Refusal as `scanning` does
   */
  paying(outTradeNo: string, notify: boolean): TradeEvent[] {
    return [...this.scanning(outTradeNo), { type: 'paid', at: this.now(), outTradeNo, notify }];
  }

  /**
   * The merchant closes: possible only while the buyer has not paid.
   * @throws Refusal `ACQ.TRADE_NOT_EXIST`, `ACQ.TRADE_STATUS_ERROR`
   */
  closing(ids: TradeIds): TradeEvent[] {
    const trade = this.require(ids);
    if (trade.status !== 'WAIT_BUYER_PAY') throw new Refusal('ACQ.TRADE_STATUS_ERROR');
    return [{ type: 'closed', at: this.now(), outTradeNo: trade.order.outTradeNo, by: 'merchant' }];
  }

  /**
   * Money goes back. The same request number with the same amount is the same refund: no event.
   * @param outRequestNo undefined means the whole amount in one refund
   * @throws Refusal with the code that `alipay.trade.refund` documents for the trade's state or the amount
   */
  refunding(ids: TradeIds, fen: number, outRequestNo?: string): TradeEvent[] {
    const trade = this.require(ids);
    const { outTradeNo, totalFen } = trade.order;
    const requestNo = outRequestNo ?? outTradeNo;
    const earlier = trade.refunds.find((refund) => refund.outRequestNo === requestNo);
    if (earlier !== undefined && earlier.fen !== fen) throw new Refusal('ACQ.DISCORDANT_REPEAT_REQUEST');
    if (earlier !== undefined) return [];
    if (trade.status === 'WAIT_BUYER_PAY') throw new Refusal('ACQ.TRADE_STATUS_ERROR');
    if (trade.status === 'TRADE_CLOSED') throw new Refusal('ACQ.TRADE_HAS_CLOSE');
    if (trade.status === 'TRADE_FINISHED') throw new Refusal('ACQ.TRADE_HAS_FINISHED');
    if (outRequestNo === undefined && fen !== totalFen) throw new Refusal('ACQ.REFUND_AMT_NOT_EQUAL_TOTAL');
    if (fen > totalFen - refundedFen(trade)) throw new Refusal('ACQ.REASON_TRADE_REFUND_FEE_ERR');
    return [{ type: 'refunded', at: this.now(), outTradeNo, outRequestNo: requestNo, fen }];
  }

  /**
   * The refund window ends: the trade is final.
   * @throws Refusal `ACQ.TRADE_NOT_EXIST`, `ACQ.TRADE_STATUS_ERROR`
   */
  finishing(outTradeNo: string, notify: boolean): TradeEvent[] {
    const trade = this.require({ outTradeNo });
    if (trade.status !== 'TRADE_SUCCESS') throw new Refusal('ACQ.TRADE_STATUS_ERROR');
    return [{ type: 'finished', at: this.now(), outTradeNo, notify }];
  }

  /** The trade. @throws Refusal `ACQ.TRADE_NOT_EXIST` */
  require(ids: TradeIds): Trade {
    const trade = this.find(ids);
    if (trade === undefined) throw new Refusal('ACQ.TRADE_NOT_EXIST');
    return trade;
  }

  #create(event: TradeEvent & { type: 'scanned' }): void {
    const order = this.#orders.get(event.outTradeNo);
    if (order === undefined)
      throw new Error(`SANDBOX_STATE: ${event.outTradeNo} was scanned but never opened`);
    const { tradeNo, expiresAt, at } = event;
    const trade: Trade = { order, tradeNo, status: 'WAIT_BUYER_PAY', createdAt: at, expiresAt, refunds: [] };
    this.#trades.set(order.outTradeNo, trade);
    this.#outTradeNoByTradeNo.set(tradeNo, order.outTradeNo);
    this.#waiting.add(trade);
  }

  #become(outTradeNo: string, status: TradeStatus): Trade {
    const trade = this.#trades.get(outTradeNo);
    if (trade === undefined)
      throw new Error(`SANDBOX_STATE: ${outTradeNo} is ${status} but was never scanned`);
    trade.status = status;
    this.#waiting.delete(trade);
    return trade;
  }

  #refund({ outTradeNo, outRequestNo, fen, at }: TradeEvent & { type: 'refunded' }): void {
    const trade = this.#trades.get(outTradeNo);
    if (trade === undefined) throw new Error(`SANDBOX_STATE: ${outTradeNo} was refunded but never scanned`);
    trade.refunds.push({ outRequestNo, fen, at });
    if (refundedFen(trade) >= trade.order.totalFen) this.#become(outTradeNo, 'TRADE_CLOSED').closedAt = at;
  }

  #closeIfExpired(trade: Trade): void {
    if (trade.status !== 'WAIT_BUYER_PAY' || this.now() < trade.expiresAt) return;
    this.commit([{ type: 'closed', at: trade.expiresAt, outTradeNo: trade.order.outTradeNo, by: 'timeout' }]);
  }

  #newTradeNo(at: number): string {
    const day = beijingTime(at).slice(0, 10).replaceAll('-', '');
    const tradeNo = `${day}22001${String(randomInt(2 ** 47)).padStart(15, '0')}`;
    return this.#outTradeNoByTradeNo.has(tradeNo) ? this.#newTradeNo(at) : tradeNo;
  }
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

/** Reads `timeout_express`: 1m to 15d, or `1c`, the end of the day. @returns epoch ms, or undefined when malformed */
export function expiryOfTimeout(express: string, from: number): number | undefined {
  if (express === '1c') return endOfBeijingDay(from);
  const [, count, unit] = /^(\d{1,5})([mhd])$/.exec(express) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  const length = Number(count) * (UNIT_MS[unit] ?? 0);
  return length >= 60_000 && length <= 15 * 86_400_000 ? from + length : undefined;
}

function tradeExpiry(order: Order, at: number): number {
  if (order.timeExpire !== undefined) return order.timeExpire;
  return expiryOfTimeout(order.timeoutExpress ?? DEFAULT_TIMEOUT[order.product], at) ?? at;
}

function refuseUnlessWaiting(trade: Trade): void {
  if (trade.status === 'TRADE_CLOSED') throw new Refusal('ACQ.TRADE_HAS_CLOSE');
  if (trade.status !== 'WAIT_BUYER_PAY') throw new Refusal('ACQ.TRADE_HAS_SUCCESS');
}

/** A trade as the control API shows it: times ISO 8601, money in yuan. */
export interface TradeView {
  outTradeNo: string;
  tradeNo: string;
  status: TradeStatus;
  product: Product;
  subject: string;
  totalAmount: string;
  refundedAmount: string;
  createdAt: string;
  expiresAt: string;
  paidAt?: string;
  closedAt?: string;
  finishedAt?: string;
  refunds: { outRequestNo: string; amount: string; at: string }[];
  notifyUrl?: string;
  returnUrl?: string;
}

/** Shows a trade to a person or a test. */
export function viewOf(trade: Trade): TradeView {
  const { order } = trade;
  const optional = (at: number | undefined) => (at === undefined ? undefined : iso(at));
  return {
    outTradeNo: order.outTradeNo,
    tradeNo: trade.tradeNo,
    status: trade.status,
    product: order.product,
    subject: order.subject,
    totalAmount: yuan(order.totalFen),
    refundedAmount: yuan(refundedFen(trade)),
    createdAt: iso(trade.createdAt),
    expiresAt: iso(trade.expiresAt),
    paidAt: optional(trade.paidAt),
    closedAt: optional(trade.closedAt),
    finishedAt: optional(trade.finishedAt),
    refunds: trade.refunds.map(({ outRequestNo, fen, at }) => ({
      outRequestNo,
      amount: yuan(fen),
      at: iso(at),
    })),
    notifyUrl: order.notifyUrl,
    returnUrl: order.returnUrl,
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
