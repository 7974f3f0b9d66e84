import type { ServerResponse } from 'node:http';
import type { ControlParts } from '../control';
import type { JournalEntry } from '../journal';
import { yuan } from '../money';
import { viewOf } from '../trade-view';
import type { OrderRef } from '../books';
import { outTradeNoOf, type Order } from '../trade';

/** How many orders and how many journal entries a console shows. */
const SHOWN_MAX = 200;
const FLUSH_MS = 100;
const TICK_MS = 1000;
/** A reader this far behind gets nothing: what it misses drops out of the bounded lists. */
const BEHIND_MAX = 1_000_000;
const TEXT_MAX = 6000;

interface Reader {
  raw: ServerResponse;
  fresh: boolean;
  entries: JournalEntry[];
  /** Keyed by seller and number. */
  orders: Map<string, OrderRef>;
  state: string;
}

/**
 * The console's server-sent events: first a `snapshot`, then `changes`, at most ten times a second. What waits for a
 * reader is bounded like the lists that it shows, so neither a slow reader nor a fast client makes it grow.
 */
export class Feed {
  readonly #readers = new Set<Reader>();
  #timer: NodeJS.Timeout | undefined;
  #ticked = 0;

  constructor(private readonly parts: ControlParts) {
    parts.journal.follow((entry) => {
      for (const reader of this.#readers) {
        if (entry === undefined) reader.fresh = true;
        else reader.entries.push(entry);
        if (reader.entries.length > SHOWN_MAX) reader.entries.shift();
      }
    });
    parts.books.onChange((sellerId, event) => {
      const outTradeNo = outTradeNoOf(event);
      const key = `${sellerId} ${outTradeNo}`;
      for (const { orders } of this.#readers) {
        orders.delete(key);
        orders.set(key, { sellerId, outTradeNo });
        const [oldest] = orders.keys();
        if (orders.size > SHOWN_MAX && oldest !== undefined) orders.delete(oldest);
      }
    });
  }

  /** Adds a reader, whose headers have already been sent. */
  open(raw: ServerResponse): void {
    const reader: Reader = { raw, fresh: true, entries: [], orders: new Map(), state: '' };
    this.#readers.add(reader);
    raw.on('close', () => this.#leave(reader));
    this.#timer ??= setInterval(() => this.#flush(), FLUSH_MS);
    this.#send(reader, true);
  }

  /** Disconnects every reader. */
  close(): void {
    for (const reader of this.#readers) {
      reader.raw.end();
      this.#leave(reader);
    }
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #flush(): void {
    const isTick = Date.now() - this.#ticked >= TICK_MS;
    if (isTick) this.#ticked = Date.now();
    for (const reader of this.#readers) {
      const { fresh, entries, orders, raw } = reader;
      if (raw.writableLength > BEHIND_MAX) continue;
      if (isTick || fresh || entries.length > 0 || orders.size > 0) this.#send(reader, isTick);
    }
  }

  #send(reader: Reader, isTick: boolean): void {
    const { books, journal, now } = this.parts;
    const { fresh } = reader;
    const orders = fresh
      ? books.latest(SHOWN_MAX)
      : [...reader.orders.values()].flatMap((ref) => books.holding(ref).order(ref.outTradeNo) ?? []);
    const entries = fresh ? journal.read().slice(-SHOWN_MAX) : reader.entries;
    const state = JSON.stringify(this.#state());
    const message = {
      now: now(),
      orders: orders.map((order) => this.#row(order)),
      entries: entries.map((entry) => this.#entry(entry)),
      ...(state === reader.state ? {} : { state: this.#state() }),
    };
    const isNews = fresh || orders.length > 0 || entries.length > 0 || state !== reader.state;
    Object.assign(reader, { fresh: false, entries: [], orders: new Map(), state });
    if (isNews || isTick) {
      reader.raw.write(`event: ${fresh ? 'snapshot' : 'changes'}\ndata: ${JSON.stringify(message)}\n\n`);
    }
  }

  #state() {
    const { faults, gateway, knobs, notifier } = this.parts;
    return {
      faults: faults.inForce(),
      down: gateway.down,
      latencyMs: knobs.latencyMs,
      pending: notifier.pending(),
    };
  }

  #row(order: Order) {
    const { accounts, books } = this.parts;
    const { appId, sellerId } = order.payee ?? accounts.first;
    const trade = books.of(sellerId).find(order);
    const { outTradeNo, product, subject, totalFen, notifyUrl, returnUrl, cashierId } = order;
    const opened = {
      appId,
      sellerId,
      outTradeNo,
      product,
      subject,
      totalAmount: yuan(totalFen),
      notifyUrl,
      returnUrl,
    };
    return {
      ...(trade === undefined ? { ...opened, status: 'OPENED', refunds: [] } : viewOf(trade)),
      undelivered: trade?.undelivered === true,
      cashier: `/cashier/${cashierId}`,
      // Only if there is a choice.
      ...(accounts.areSeveral && { account: `${appId} · ${sellerId}` }),
    };
  }

  #entry({ sellerId, ...entry }: JournalEntry): Record<string, unknown> {
    return { ...shown(entry), ...(this.parts.accounts.areSeveral && { sellerId }) };
  }
}

// What a call requested and got is sent as text, cut if it is long.
function shown(entry: JournalEntry): Record<string, unknown> {
  if (entry.kind !== 'call') return { ...entry };
  const { bizContent, answer, flaw, ...rest } = entry;
  return {
    ...rest,
    question: pretty(bizContent),
    answer: pretty(answer),
    ...(flaw && { flaw: { ...flaw, expected: cut(flaw.expected), got: cut(flaw.got) } }),
  };
}

function pretty(value: object | undefined): string | undefined {
  return value === undefined ? undefined : cut(JSON.stringify(value, null, 2));
}

function cut(text: string | undefined): string | undefined {
  return text === undefined || text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)} …`;
}
