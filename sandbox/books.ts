import { Refusal } from './refusal';
import type { Order, Trade, TradeEvent } from './trade';
import type { TradeListener, Trades } from './trades';

/** Identifies an order: by its number, and by its seller if several have an order with that number. */
export interface OrderRef {
  outTradeNo: string;
  sellerId?: string | undefined;
}

/** A change to a trade, in its seller's books. */
export type BookEvent = TradeEvent & { sellerId: string };

/** Called after each change in any seller's books. */
export type BookListener = (sellerId: string, ...change: Parameters<TradeListener>) => void;

/** The books of all sellers. Each seller sees only its own: a number means nothing in the books of another. */
export class Books {
  readonly #books = new Map<string, Trades>();
  readonly #listeners: BookListener[] = [];

  /**
   * @param first the seller who is meant if none is named
   * @param make opens empty books for one seller
   */
  constructor(
    private readonly first: string,
    private readonly make: () => Trades,
  ) {
    this.of(first);
  }

  /** The books of a seller, opened if they do not exist yet. */
  of(sellerId: string): Trades {
    const known = this.#books.get(sellerId);
    if (known !== undefined) return known;
    const trades = this.make();
    trades.onChange((...change) => {
      for (const listener of this.#listeners) listener(sellerId, ...change);
    });
    this.#books.set(sellerId, trades);
    return trades;
  }

  /**
   * The books that contain an order; the first seller's if none do.
   * @throws Refusal `INVALID_INPUT` if the seller is unknown, `AMBIGUOUS_ORDER` if several have the number
   */
  holding({ outTradeNo, sellerId }: OrderRef): Trades {
    if (sellerId !== undefined) {
      const trades = this.#books.get(sellerId);
      if (trades === undefined) throw new Refusal('INVALID_INPUT', `there is no seller ${sellerId}`);
      return trades;
    }
    const holders = [...this.#books].filter(([, trades]) => trades.order(outTradeNo) !== undefined);
    if (holders.length > 1) {
      const sellers = holders.map(([seller]) => seller).join(', ');
      throw new Refusal('AMBIGUOUS_ORDER', `${sellers} each have an order ${outTradeNo}: give its sellerId`);
    }
    return holders[0]?.[1] ?? this.of(this.first);
  }

  /** The order behind a cashier page's address, with the seller whose books contain it. */
  ofCashier(cashierId: string): { order: Order; sellerId: string } | undefined {
    for (const [sellerId, trades] of this.#books) {
      const order = trades.orderOfCashier(cashierId);
      if (order !== undefined) return { order, sellerId };
    }
    return undefined;
  }

  /** A trade by Alipay's number, whichever seller's it is. @throws Refusal `ACQ.TRADE_NOT_EXIST` */
  require(tradeNo: string): Trade {
    for (const trades of this.#books.values()) {
      const trade = trades.find({ tradeNo });
      if (trade !== undefined) return trade;
    }
    throw new Refusal('ACQ.TRADE_NOT_EXIST');
  }

  /** All trades, oldest first. */
  all(): Trade[] {
    return this.#merged(
      (trades) => trades.all(),
      ({ createdAt }) => createdAt,
    );
  }

  /** The orders opened last, oldest first. */
  latest(limit: number): Order[] {
    return this.#merged(
      (trades) => trades.latest(limit),
      ({ openedAt = 0 }) => openedAt,
    ).slice(-limit);
  }

  /** Calls `listener` after every change. */
  onChange(listener: BookListener): void {
    this.#listeners.push(listener);
  }

  /** Applies one past event again, without notifying anybody. */
  apply({ sellerId, ...event }: BookEvent): void {
    this.of(sellerId).apply(event);
  }

  /** Closes every waiting trade whose time to pay has run out. */
  expire(): void {
    for (const trades of this.#books.values()) trades.expire();
  }

  /** Forgets what exceeds each seller's limit. */
  trim(): void {
    for (const trades of this.#books.values()) trades.trim();
  }

  /** Forgets everything. */
  clear(): void {
    for (const trades of this.#books.values()) trades.clear();
  }

  #merged<Item>(read: (trades: Trades) => Item[], at: (item: Item) => number): Item[] {
    const [only, ...others] = this.#books.values();
    if (only !== undefined && others.length === 0) return read(only);
    return [...this.#books.values()].flatMap(read).sort((a, b) => at(a) - at(b));
  }
}
