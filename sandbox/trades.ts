import { randomInt } from 'node:crypto';
import { beijingTime } from './beijing';
import { Refusal } from './refusal';
import type { Order, Trade, TradeEvent, TradeIds, TradeStatus } from './trade';
import { outTradeNoOf, payableUntil, refundedFen, tradeExpiry } from './trade';

/** Called after each committed change. */
export type TradeListener = (event: TradeEvent, trade: Trade | undefined, how?: 'quietly') => void;

/**
 * One seller's books at Alipay. Synchronous throughout: a decision and its commit happen in one turn of the event loop,
 * so a race between close and pay has exactly one winner.
 *
 * Each `…ing` method decides without changing anything and returns the events that would; `commit` applies them.
 * Because the two are separate, a fault can hit before or after the effect.
 */
export class Trades {
  readonly #orders = new Map<string, Order>();
  readonly #trades = new Map<string, Trade>();
  readonly #outTradeNoByTradeNo = new Map<string, string>();
  readonly #outTradeNoByCashier = new Map<string, string>();
  readonly #waiting = new Set<Trade>();
  readonly #listeners: TradeListener[] = [];

  /**
   * @param now the clock, epoch ms
   * @param limit how many trades are kept; the oldest that do not wait for payment are forgotten
   */
  constructor(
    private readonly now: () => number,
    private readonly limit = Infinity,
  ) {}

  /** Calls `listener` after every committed event. */
  onChange(listener: TradeListener): void {
    this.#listeners.push(listener);
  }

  /** Applies decided events at once, and calls the listeners; `quietly`: the merchant is not notified. */
  commit(events: readonly TradeEvent[], how?: 'quietly'): void {
    for (const event of events) {
      this.apply(event);
      const trade = this.#trades.get(outTradeNoOf(event));
      for (const listener of this.#listeners) listener(event, trade, how);
    }
    // Cut only at a tenth above the limit: cutting at every trade would go through the waiting ones each time.
    if (this.#orders.size > this.limit * 1.1) this.trim();
  }

  /** Forgets what exceeds the limit. */
  trim(): void {
    for (const [outTradeNo, order] of this.#orders) {
      if (this.#orders.size <= this.limit) return;
      const trade = this.#trades.get(outTradeNo);
      if (trade?.status === 'WAIT_BUYER_PAY') continue;
      this.#orders.delete(outTradeNo);
      this.#outTradeNoByCashier.delete(order.cashierId);
      this.#trades.delete(outTradeNo);
      if (trade !== undefined) this.#outTradeNoByTradeNo.delete(trade.tradeNo);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#orders.clear();
    this.#trades.clear();
    this.#outTradeNoByTradeNo.clear();
    this.#outTradeNoByCashier.clear();
    this.#waiting.clear();
  }

  /** Applies one past event again, without notifying anybody. */
  apply(event: TradeEvent): void {
    switch (event.type) {
      case 'opened':
        this.#orders.set(event.order.outTradeNo, { ...event.order, openedAt: event.at });
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

  /** The orders opened last, oldest first. */
  latest(limit: number): Order[] {
    return [...this.#orders.values()].slice(-limit);
  }

  /** The order behind a cashier page's address. */
  orderOfCashier(cashierId: string): Order | undefined {
    return this.#orders.get(this.#outTradeNoByCashier.get(cashierId) ?? '');
  }

  /** The trade as it is now: looking at it closes it if its time to pay has run out. */
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

  /** Closes every waiting trade whose time to pay has run out. */
  expire(): void {
    for (const trade of this.#waiting) this.#closeIfExpired(trade);
  }

  /**
   * The cashier is opened, or a QR code requested. Opening again with the same content is allowed while unpaid.
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
   * A mini program's server creates the trade: it exists at once, before the buyer has seen it.
   * @throws Refusal like `opening`
   */
  creating(order: Order): TradeEvent[] {
    const opened = this.opening(order);
    if (this.find(order) !== undefined) return [];
    return [...opened, this.#scan(order)];
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
    if (this.now() >= payableUntil(order)) throw new Refusal('EXPIRED', 'the time to pay has run out');
    return [this.#scan(order)];
  }

  /**
   * The buyer pays; a first payment includes the scan.
   * @param notify false loses the notification for good
   * @throws Refusal like `scanning`
   */
  paying(outTradeNo: string, notify: boolean): TradeEvent[] {
    return [...this.scanning(outTradeNo), { type: 'paid', at: this.now(), outTradeNo, notify }];
  }

  /**
   * The merchant closes it, or the time to pay ends: possible only while the buyer has not paid.
   * @throws Refusal `ACQ.TRADE_NOT_EXIST`, `ACQ.TRADE_STATUS_ERROR`
   */
  closing(ids: TradeIds, by: 'merchant' | 'timeout' = 'merchant'): TradeEvent[] {
    const trade = this.require(ids);
    if (trade.status !== 'WAIT_BUYER_PAY') throw new Refusal('ACQ.TRADE_STATUS_ERROR');
    return [{ type: 'closed', at: this.now(), outTradeNo: trade.order.outTradeNo, by }];
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
    const unnumbered = outRequestNo === undefined;
    const event = { type: 'refunded', at: this.now(), outTradeNo, outRequestNo: requestNo, fen } as const;
    return [unnumbered ? { ...event, unnumbered } : event];
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

  #scan(order: Order): TradeEvent & { type: 'scanned' } {
    const at = this.now();
    const { outTradeNo } = order;
    return {
      type: 'scanned',
      at,
      outTradeNo,
      tradeNo: this.#newTradeNo(at),
      expiresAt: tradeExpiry(order, at),
    };
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

  #refund({ outTradeNo, outRequestNo, unnumbered, fen, at }: TradeEvent & { type: 'refunded' }): void {
    const trade = this.#trades.get(outTradeNo);
    if (trade === undefined) throw new Error(`SANDBOX_STATE: ${outTradeNo} was refunded but never scanned`);
    trade.refunds.push({ outRequestNo, unnumbered, fen, at });
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

function refuseUnlessWaiting(trade: Trade): void {
  if (trade.status === 'TRADE_CLOSED') throw new Refusal('ACQ.TRADE_HAS_CLOSE');
  if (trade.status !== 'WAIT_BUYER_PAY') throw new Refusal('ACQ.TRADE_HAS_SUCCESS');
}
