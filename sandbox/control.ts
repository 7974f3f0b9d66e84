import { randomUUID } from 'node:crypto';
import { FORGERIES, forgedForm, type ForgeKind } from './forge';
import type { Faults, FaultRule } from './faults';
import type { Gateway } from './gateway';
import type { Journal, JournalEntry } from './journal';
import { readYuan } from './money';
import { formOf, inventedFields, noticeFields, signNotice, type Merchant } from './notification';
import type { Notice, Notifier, NotifierFaults } from './notifier';
import { Refusal } from './refusal';
import { refundedFen, viewOf, type Order, type Trades, type TradeStatus, type TradeView } from './trades';

/** One line of the sandbox's books: integer fen. */
export interface LedgerLine {
  outTradeNo: string;
  tradeNo: string;
  status: TradeStatus;
  paidFen: number;
  refundedFen: number;
}

/** What came of a notification that was sent by hand. */
export interface HandDelivery {
  /** HTTP 200 and exactly `success`. */
  accepted: boolean;
  status?: number;
  body?: string;
  error?: string;
}

/** How the gateway behaves beside its faults. Absent fields stay as they are. */
export interface RefundPace {
  /** How long after a refund its query stays silent, ms. */
  visibleAfterMs?: number;
  /** How far apart two refunds of one trade must be, ms; sooner is `ACQ.SYSTEM_ERROR`. */
  spacingMs?: number;
}

/**
 * What stands beside the wire: the buyer's hand, the merchant portal, the accidents, the journal. An application never
 * sees it. Effects happen before the promise is returned, in the order of the calls. Refused acts reject with a `Refusal`.
 * Wherever an `outTradeNo` is asked for by `scan`, `pay` and `leave`, the pay URL does as well: it is opened first.
 */
export interface SandboxControl {
  /**
   * Does what a buyer's browser does with a pay URL (or with the form of `pageExecute('POST')`, or with a QR code's
   * address): checks its signature and remembers the order, which is not yet a trade.
   * @returns its `outTradeNo`
   */
  open(payUrl: string): Promise<string>;
  /** The buyer scans or logs in: the trade exists now, WAIT_BUYER_PAY. */
  scan(outTradeNo: string): Promise<TradeView>;
  /** The buyer pays; `notify: false` loses the notification for good. */
  pay(outTradeNo: string, options?: { notify?: boolean }): Promise<TradeView>;
  /** The buyer walks away; nothing changes but the journal. */
  leave(outTradeNo: string): Promise<void>;
  /** The trade, or null while there is none. */
  trade(outTradeNo: string): Promise<TradeView | null>;
  /** All trades, oldest first. */
  trades(): Promise<TradeView[]>;
  /** Everything that crossed the wire, oldest first. */
  journal(): Promise<JournalEntry[]>;
  clearJournal(): Promise<void>;
  /** Puts a fault in force, beside those already there. */
  fault(rule: FaultRule): Promise<void>;
  clearFaults(): Promise<void>;
  /** Replaces the notifier's faults; `{}` ends them. */
  notifier(faults: NotifierFaults): Promise<void>;
  /** How many notifications are still to be delivered. */
  pendingNotifications(): Promise<number>;
  /**
   * Sends one notification now, once, and waits for its answer: the trade's present state, or a payment that never was
   * where nobody scanned. Overrides replace fields before signing, `''` leaves one out; `sign` replaces the signature.
   * @param url where to, if not the order's `notify_url`
   */
  notify(outTradeNo: string, overrides?: Record<string, string>, url?: string): Promise<HandDelivery>;
  /** Sends a forged notification now; the order need not exist when `url` is given. */
  forge(kind: ForgeKind, outTradeNo: string, url?: string): Promise<HandDelivery>;
  /** A refund made in the merchant portal: no call of the application's, but a notification. */
  refundByHand(outTradeNo: string, amount: string): Promise<TradeView>;
  /** The refund window ends: TRADE_FINISHED. */
  finish(outTradeNo: string, options?: { notify?: boolean }): Promise<TradeView>;
  /** Every answer of the gateway comes so much later, ms; its effect does not. */
  latency(ms: number): Promise<void>;
  refunds(pace: RefundPace): Promise<void>;
  /** The gateway is down: HTTP 502, or broken connections with `reset`. */
  down(down: boolean, how?: '502' | 'reset'): Promise<void>;
  /** Per trade: paid, refunded, status. */
  ledger(): Promise<LedgerLine[]>;
}

/** The knobs that the control API turns and the server obeys. */
export interface Knobs {
  latencyMs: number;
  refundVisibleMs: number;
  refundSpacingMs: number;
}

/** What the control API works on. */
export interface ControlParts {
  gateway: Gateway;
  trades: Trades;
  notifier: Notifier;
  faults: Faults;
  journal: Journal;
  knobs: Knobs;
  merchant: Merchant;
  now: () => number;
}

/** Builds the control API over a running sandbox. */
export function controlOf(parts: ControlParts): SandboxControl {
  const { gateway, trades, notifier, faults, journal, knobs } = parts;
  const buyer = new Buyer(parts);
  const hand = new Hand(parts);
  return {
    open: later((payUrl: string) => buyer.open(payUrl)),
    scan: later((target: string) => buyer.scan(target)),
    pay: later((target: string, options: { notify?: boolean } = {}) =>
      buyer.pay(target, options.notify ?? true),
    ),
    leave: later((target: string) => buyer.leave(target)),
    trade: later((outTradeNo: string) => {
      const trade = trades.find({ outTradeNo });
      return trade === undefined ? null : viewOf(trade);
    }),
    trades: later(() => trades.all().map(viewOf)),
    journal: later(() => journal.read()),
    clearJournal: later(() => journal.clear()),
    fault: later((rule: FaultRule) => faults.add(rule)),
    clearFaults: later(() => faults.clear()),
    notifier: later((wanted: NotifierFaults) => notifier.setFaults(wanted)),
    pendingNotifications: later(() => notifier.pending()),
    notify: later((outTradeNo: string, overrides: Record<string, string> = {}, url?: string) =>
      hand.notify(outTradeNo, overrides, url),
    ),
    forge: later((kind: ForgeKind, outTradeNo: string, url?: string) => hand.forge(kind, outTradeNo, url)),
    refundByHand: later((outTradeNo: string, amount: string) => {
      const fen = readYuan(amount);
      if (fen === undefined || fen === 0) throw new Refusal('INVALID_INPUT', `amount ${amount} is not yuan`);
      trades.commit(trades.refunding({ outTradeNo }, fen, `portal_${randomUUID().replaceAll('-', '')}`));
      return viewOf(trades.require({ outTradeNo }));
    }),
    finish: later((outTradeNo: string, options: { notify?: boolean } = {}) => {
      trades.commit(trades.finishing(outTradeNo, options.notify ?? true));
      return viewOf(trades.require({ outTradeNo }));
    }),
    latency: later((ms: number) => {
      knobs.latencyMs = ms;
    }),
    refunds: later(({ visibleAfterMs, spacingMs }: RefundPace) => {
      knobs.refundVisibleMs = visibleAfterMs ?? knobs.refundVisibleMs;
      knobs.refundSpacingMs = spacingMs ?? knobs.refundSpacingMs;
    }),
    down: later((down: boolean, how: '502' | 'reset' = '502') => {
      gateway.down = down && how;
    }),
    ledger: later(() => trades.all().map(ledgerLine)),
  };
}

// Acts at once and answers by a promise: the same interface serves in this process and over HTTP.
function later<Args extends unknown[], Result>(
  act: (...args: Args) => Result | Promise<Result>,
): (...args: Args) => Promise<Result> {
  return (...args) => new Promise((resolve) => resolve(act(...args)));
}

function ledgerLine(trade: ReturnType<Trades['require']>): LedgerLine {
  return {
    outTradeNo: trade.order.outTradeNo,
    tradeNo: trade.tradeNo,
    status: trade.status,
    paidFen: trade.paidAt === undefined ? 0 : trade.order.totalFen,
    refundedFen: refundedFen(trade),
  };
}

/** The buyer's hand. The cashier page's buttons come here too. */
export class Buyer {
  constructor(private readonly parts: Pick<ControlParts, 'gateway' | 'trades' | 'journal'>) {}

  /** Opens a pay URL, a pay form or a QR code. @throws Refusal */
  open(payUrl: string): string {
    const { gateway, trades, journal } = this.parts;
    const { address, form } = readPayRequest(payUrl);
    const [, cashierId] = /^\/cashier\/([0-9a-f]+)$/.exec(address.pathname) ?? [];
    if (cashierId === undefined) return gateway.open(address.search.slice(1), form).outTradeNo;
    const order = trades.orderOfCashier(cashierId);
    if (order === undefined) throw new Refusal('UNKNOWN_ORDER', 'no such cashier page');
    journal.write({ kind: 'buyer', action: 'open', outTradeNo: order.outTradeNo });
    return order.outTradeNo;
  }

  /** @throws Refusal */
  scan(target: string): TradeView {
    const outTradeNo = this.#opened(target);
    return this.#act('scan', outTradeNo, () => this.parts.trades.scanning(outTradeNo));
  }

  /** @throws Refusal */
  pay(target: string, notify: boolean): TradeView {
    const outTradeNo = this.#opened(target);
    return this.#act('pay', outTradeNo, () => this.parts.trades.paying(outTradeNo, notify));
  }

  /** @throws Refusal */
  leave(target: string): void {
    this.parts.journal.write({ kind: 'buyer', action: 'leave', outTradeNo: this.#opened(target) });
  }

  #opened(target: string): string {
    return /^https?:\/\/|</.test(target) ? this.open(target) : target;
  }

  #act(action: 'scan' | 'pay', outTradeNo: string, events: () => ReturnType<Trades['scanning']>): TradeView {
    this.parts.trades.commit(events());
    this.parts.journal.write({ kind: 'buyer', action, outTradeNo });
    return viewOf(this.parts.trades.require({ outTradeNo }));
  }
}

// The form that alipay-sdk's pageExecute('POST') returns is submitted as a browser would.
function readPayRequest(payUrl: string): { address: URL; form: string } {
  const action = /<form action="([^"]+)"/.exec(payUrl)?.[1];
  const address = action ?? payUrl;
  if (!URL.canParse(address)) throw new Refusal('INVALID_INPUT', 'not a pay URL');
  const inputs =
    action === undefined ? [] : payUrl.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g);
  const form = new URLSearchParams();
  for (const [, name = '', value = ''] of inputs) form.set(name, value.replaceAll('&quot;', '"'));
  return { address: new URL(address), form: form.toString() };
}

/** Notifications sent by hand, true and forged. */
class Hand {
  constructor(private readonly parts: ControlParts) {}

  async notify(outTradeNo: string, overrides: Record<string, string>, url?: string): Promise<HandDelivery> {
    const { merchant, now } = this.parts;
    const notice = this.#notice(outTradeNo, url);
    const { sign, ...changes } = overrides;
    const fields = Object.fromEntries(
      Object.entries({ ...notice.fields, ...changes }).filter(([, value]) => value !== ''),
    );
    const signed = signNotice(fields, merchant.alipayPrivate, now());
    return this.#send({ ...notice, fields }, formOf(sign === undefined ? signed : { ...signed, sign }));
  }

  async forge(kind: ForgeKind, outTradeNo: string, url?: string): Promise<HandDelivery> {
    if (!FORGERIES.includes(kind))
      throw new Refusal('INVALID_INPUT', `no forgery is called ${kind as string}`);
    const notice = this.#notice(outTradeNo, url);
    const form = forgedForm(kind, notice.fields, notice.totalFen, this.parts.merchant, this.parts.now());
    return this.#send(notice, form, kind);
  }

  async #send(notice: Notice, form: string, fault?: string): Promise<HandDelivery> {
    const { accepted, answer, error } = await this.parts.notifier.send(notice, form, 1, fault);
    return { accepted, ...answer, ...(error === undefined ? {} : { error }) };
  }

  #notice(outTradeNo: string, url?: string): Notice {
    const { trades, merchant, now } = this.parts;
    const trade = trades.find({ outTradeNo });
    const order = trades.order(outTradeNo) ?? strangersOrder(outTradeNo);
    const target = url ?? order.notifyUrl;
    if (target === undefined) {
      throw new Refusal(
        'UNKNOWN_ORDER',
        `no notify_url is known for ${outTradeNo}: open it first, or give a url`,
      );
    }
    const fields =
      trade === undefined
        ? inventedFields(merchant, order, '2026010122001000000000000001', now())
        : noticeFields(merchant, trade, trade.refunds.at(-1));
    return { notifyId: fields['notify_id'] ?? '', outTradeNo, totalFen: order.totalFen, url: target, fields };
  }
}

function strangersOrder(outTradeNo: string): Order {
  return { outTradeNo, product: 'page', totalFen: 1, subject: 'unknown', content: '', cashierId: '' };
}
