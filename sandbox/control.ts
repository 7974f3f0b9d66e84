import { createPrivateKey, randomUUID } from 'node:crypto';
import type { Accounts, AccountView } from './accounts';
import type { Books } from './books';
import { Buyer } from './buyer';
import type { BillFaults } from './bill';
import type { Bills } from './bills';
import { spki, type Certificates } from './certificates';
import type { Clock } from './clock';
import type { ForgeKind } from './forge';
import type { Faults, FaultRule } from './faults';
import type { Gateway } from './gateway';
import { Hand, type HandDelivery } from './hand';
import { exportIncident, replayIncident, type Incident, type Replay } from './incident';
import type { Journal, JournalEntry } from './journal';
import { makeKeyPair } from './keys';
import { readYuan } from './money';
import type { Notifier, NotifierFaults } from './notifier';
import { Refusal } from './refusal';
import { plant, type Seed } from './seed';
import type { Store } from './store';
import { viewOf, type TradeView } from './trade-view';
import { refundedFen, type Trade, type TradeEvent } from './trade';
import { type Trades } from './trades';
import type { TradeStatus } from './trade';

/** One line of the sandbox's books: integer fen. */
export interface LedgerLine {
  sellerId?: string;
  outTradeNo: string;
  tradeNo: string;
  status: TradeStatus;
  paidFen: number;
  refundedFen: number;
}

/** Whose order is meant: needed only if several sellers have one with that number. */
export interface Whose {
  sellerId?: string;
}

/** How refunds behave, apart from the gateway's faults. Fields that are left out keep their values. */
export interface RefundPace {
  /** How long after a refund its query does not show it, ms. */
  visibleAfterMs?: number;
  /** The least time between two refunds of one trade, ms; an earlier one gets `ACQ.SYSTEM_ERROR`. */
  spacingMs?: number;
  /** How long after its acceptance (`fund_change=N`) a refund moves money, ms; 0: at once. */
  outcomeAfterMs?: number;
  /** The seller's balance, yuan: a larger refund gets `ACQ.SELLER_BALANCE_NOT_ENOUGH`. `null`: unlimited. */
  balance?: string | null;
  /** Whose balance. Default: that of every seller. */
  sellerId?: string;
}

/**
 * Everything that a test or a person can do to the sandbox and an application cannot: act as the buyer or in the
 * merchant portal, cause faults, read the journal. Effects happen before the promise is returned, in the order of the
 * calls. Refused actions reject with a `Refusal`. An order is named by its number, and also by its seller if several
 * have one with that number (`AMBIGUOUS_ORDER`). For the `outTradeNo` of `scan`, `pay` and `leave` you can also give
 * the pay URL: it is opened first.
 */
export interface SandboxControl {
  /**
   * Does what a buyer's browser does with a pay URL (or with the form of `pageExecute('POST')`, or with the URL in a QR
   * code): checks its signature and remembers the order, which is not a trade yet.
   * @returns its `outTradeNo`
   */
  open(payUrl: string): Promise<string>;
  /** The buyer scans or logs in: now the trade exists, WAIT_BUYER_PAY. */
  scan(outTradeNo: string, whose?: Whose): Promise<TradeView>;
  /** The buyer pays; `notify: false` loses the notification for good. */
  pay(outTradeNo: string, options?: { notify?: boolean } & Whose): Promise<TradeView>;
  /** The buyer walks away; only the journal changes. */
  leave(outTradeNo: string, whose?: Whose): Promise<void>;
  /** The trade, or null if there is none yet. */
  trade(outTradeNo: string, whose?: Whose): Promise<TradeView | null>;
  /** The applications and sellers that this sandbox serves, the first one first. */
  accounts(): Promise<AccountView[]>;
  /** All trades of all sellers, oldest first. */
  trades(): Promise<TradeView[]>;
  /** Everything that crossed the wire, oldest first. */
  journal(): Promise<JournalEntry[]>;
  clearJournal(): Promise<void>;
  /** Adds a fault to those in force. */
  fault(rule: FaultRule): Promise<void>;
  clearFaults(): Promise<void>;
  /** Replaces the notifier's faults; `{}` ends them. */
  notifier(faults: NotifierFaults): Promise<void>;
  /** How many notifications are still to be delivered. */
  pendingNotifications(): Promise<number>;
  /**
   * Sends one notification now, once, and waits for its answer: the trade's current state or, if nobody scanned, a
   * made-up payment. Overrides replace fields before signing, `''` omits one; `sign` replaces the signature.
   * @param url where to send it, if not to the order's `notify_url`
   */
  notify(
    outTradeNo: string,
    overrides?: Record<string, string>,
    url?: string,
    whose?: Whose,
  ): Promise<HandDelivery>;
  /** Posts an earlier notification again, byte for byte, with its old time and signature. */
  replayNotification(notifyId: string): Promise<HandDelivery>;
  /** Sends a forged notification now; the order need not exist if `url` is given. */
  forge(kind: ForgeKind, outTradeNo: string, url?: string, whose?: Whose): Promise<HandDelivery>;
  /** The merchant closes a trade that nobody has paid, like `alipay.trade.close`. */
  close(outTradeNo: string, whose?: Whose): Promise<TradeView>;
  /** The time to pay runs out now: Alipay closes the trade. */
  expire(outTradeNo: string, whose?: Whose): Promise<TradeView>;
  /** A refund in the merchant portal: the application makes no call, but gets a notification. */
  refundByHand(outTradeNo: string, amount: string, whose?: Whose): Promise<TradeView>;
  /** The refund window ends: TRADE_FINISHED. */
  finish(outTradeNo: string, options?: { notify?: boolean } & Whose): Promise<TradeView>;
  /** Delays every answer of the gateway, ms, but not its effect. */
  latency(ms: number): Promise<void>;
  refunds(pace: RefundPace): Promise<void>;
  /** Replaces the faults of the daily bills; `{}` ends them. */
  bills(faults: BillFaults): Promise<void>;
  /** Takes the gateway down: HTTP 502, or broken connections with `reset`. */
  down(down: boolean, how?: '502' | 'reset'): Promise<void>;
  /**
   * Renews Alipay's certificate: another serial number and, with `newKey`, another key. Only in certificate mode.
   * @returns the new file, as the open platform would offer it
   */
  rotateCertificate(options?: { newKey?: boolean }): Promise<{ sn: string; pem: string }>;
  /** For each trade: paid, refunded, status. */
  ledger(): Promise<LedgerLine[]>;
  /** What a bar code now leads to: `paid` at once (default), or `password`: the buyer must enter it (10003). */
  barCode(outcome: 'paid' | 'password'): Promise<void>;
  /** Lets the sandbox's time jump ahead or run faster; what falls due happens. Without arguments it tells the time. */
  clock(change?: { advanceMs?: number; scale?: number }): Promise<{ now: string; scale: number }>;
  /** Creates orders without notifying any merchant. @returns how many are new */
  seed(seed: Seed): Promise<number>;
  /** Back to the first start: only the seed's trades, no faults, empty journal, real time, first certificate. */
  reset(): Promise<void>;
  /** The journal in a form that can be sent to somebody: order numbers, texts and people are replaced. */
  exportIncident(): Promise<Incident>;
  /** Replays an exported incident. @param options where its notifications go; by default nowhere */
  replayIncident(incident: Incident, options?: { notifyUrl?: string }): Promise<Replay>;
}

/** The settings that the control API changes and the server obeys. */
export interface Knobs {
  latencyMs: number;
  refundVisibleMs: number;
  refundSpacingMs: number;
  refundOutcomeMs: number;
  /** Sellers with a limited balance: by their id, fen. */
  sellerFen: ReadonlyMap<string, number>;
  barCode: 'paid' | 'password';
}

/** The settings of a fresh sandbox. */
export const UNTOUCHED: Readonly<Knobs> = {
  latencyMs: 0,
  refundVisibleMs: 0,
  refundSpacingMs: 0,
  refundOutcomeMs: 0,
  sellerFen: new Map(),
  barCode: 'paid',
};

/** What the control API works on. */
export interface ControlParts {
  gateway: Gateway;
  bills: Bills;
  books: Books;
  notifier: Notifier;
  faults: Faults;
  journal: Journal;
  knobs: Knobs;
  accounts: Accounts;
  certificates?: Certificates | undefined;
  clock: Clock;
  now: () => number;
  store: () => Store;
  /** What the sandbox starts with. */
  seed?: Seed | undefined;
}

/** Builds the control API of a running sandbox. */
export function controlOf(parts: ControlParts): SandboxControl {
  const { gateway, books, accounts, notifier, faults, journal, knobs, clock } = parts;
  const buyer = new Buyer(parts);
  const hand = new Hand(parts);
  const { alipayPrivate } = accounts;
  const change = (
    outTradeNo: string,
    { sellerId }: Whose,
    events: (trades: Trades) => TradeEvent[],
  ): TradeView => {
    const trades = books.holding({ outTradeNo, sellerId });
    trades.commit(events(trades));
    return viewOf(trades.require({ outTradeNo }));
  };
  return {
    open: later((payUrl: string) => buyer.open(payUrl)),
    scan: later((target: string, { sellerId }: Whose = {}) => buyer.scan(target, sellerId)),
    pay: later((target: string, { notify = true, sellerId }: { notify?: boolean } & Whose = {}) =>
      buyer.pay(target, notify, sellerId),
    ),
    leave: later((target: string, { sellerId }: Whose = {}) => buyer.leave(target, sellerId)),
    trade: later((outTradeNo: string, { sellerId }: Whose = {}) => {
      const trade = books.holding({ outTradeNo, sellerId }).find({ outTradeNo });
      return trade === undefined ? null : viewOf(trade);
    }),
    accounts: later(() => accounts.views()),
    trades: later(() => books.all().map(viewOf)),
    journal: later(() => journal.read()),
    clearJournal: later(() => journal.clear()),
    fault: later((rule: FaultRule) => faults.add(rule)),
    clearFaults: later(() => faults.clear()),
    notifier: later((wanted: NotifierFaults) => notifier.setFaults(wanted)),
    pendingNotifications: later(() => notifier.pending()),
    notify: later(
      (outTradeNo: string, overrides: Record<string, string> = {}, url?: string, whose: Whose = {}) =>
        hand.notify({ outTradeNo, ...whose }, overrides, url),
    ),
    replayNotification: later((notifyId: string) => hand.replay(notifyId)),
    close: later((outTradeNo: string, whose: Whose = {}) =>
      change(outTradeNo, whose, (trades) => trades.closing({ outTradeNo })),
    ),
    expire: later((outTradeNo: string, whose: Whose = {}) =>
      change(outTradeNo, whose, (trades) => trades.closing({ outTradeNo }, 'timeout')),
    ),
    forge: later((kind: ForgeKind, outTradeNo: string, url?: string, whose: Whose = {}) =>
      hand.forge(kind, { outTradeNo, ...whose }, url),
    ),
    refundByHand: later((outTradeNo: string, amount: string, whose: Whose = {}) => {
      const fen = readYuan(amount);
      if (fen === undefined || fen === 0) throw new Refusal('INVALID_INPUT', `amount ${amount} is not yuan`);
      const requestNo = `portal_${randomUUID().replaceAll('-', '')}`;
      return change(outTradeNo, whose, (trades) => trades.refunding({ outTradeNo }, fen, requestNo));
    }),
    finish: later((outTradeNo: string, { notify = true, ...whose }: { notify?: boolean } & Whose = {}) =>
      change(outTradeNo, whose, (trades) => trades.finishing(outTradeNo, notify)),
    ),
    latency: later((ms: number) => {
      knobs.latencyMs = ms;
    }),
    refunds: later(({ visibleAfterMs, spacingMs, outcomeAfterMs, balance, sellerId }: RefundPace) => {
      knobs.refundVisibleMs = visibleAfterMs ?? knobs.refundVisibleMs;
      knobs.refundSpacingMs = spacingMs ?? knobs.refundSpacingMs;
      knobs.refundOutcomeMs = outcomeAfterMs ?? knobs.refundOutcomeMs;
      if (balance !== undefined) setBalance(parts, balance, sellerId);
    }),
    bills: later((faults: BillFaults) => {
      parts.bills.faults = faults;
    }),
    down: later((down: boolean, how: '502' | 'reset' = '502') => {
      gateway.down = down && how;
    }),
    rotateCertificate: later(async ({ newKey = false }: { newKey?: boolean } = {}) => {
      const { certificates } = parts;
      if (!certificates) throw new Refusal('INVALID_INPUT', 'the application is in key mode');
      if (newKey) accounts.alipayPrivate = createPrivateKey((await makeKeyPair()).privateKey);
      certificates.rotate(spki(accounts.alipayPrivate));
      return { sn: certificates.alipaySn, pem: certificates.alipay };
    }),
    ledger: later(() => books.all().map(ledgerLine)),
    barCode: later((outcome: Knobs['barCode']) => {
      knobs.barCode = outcome;
    }),
    clock: later((change: { advanceMs?: number; scale?: number } = {}) => {
      if (Object.keys(change).length > 0) clock.change(change);
      books.expire();
      return { now: new Date(clock.now()).toISOString(), scale: clock.scale };
    }),
    seed: later((seed: Seed) => plant(parts, seed)),
    reset: later(() => {
      accounts.alipayPrivate = alipayPrivate;
      reset(parts);
    }),
    exportIncident: later(() => exportIncident(journal.read())),
    replayIncident: later((incident: Incident, options: { notifyUrl?: string } = {}) =>
      replayIncident(
        {
          ...{ gateway, faults, clock, buyer, sellerId: accounts.first.sellerId },
          tradeNoOf: (outTradeNo) => books.of(accounts.first.sellerId).find({ outTradeNo })?.tradeNo,
        },
        incident,
        options.notifyUrl,
      ),
    ),
  };
}

function reset(parts: ControlParts): void {
  const { gateway, books, notifier, faults, journal, knobs, bills, certificates, clock, store, seed } = parts;
  certificates?.reset();
  gateway.clear();
  notifier.clear();
  faults.clear();
  books.clear();
  bills.faults = {};
  Object.assign(knobs, UNTOUCHED);
  store().clear();
  clock.reset();
  if (seed !== undefined) plant(parts, seed);
  // Last: whoever follows the journal then reads everything anew.
  journal.clear();
}

function setBalance({ accounts, knobs }: ControlParts, balance: string | null, sellerId?: string): void {
  if (sellerId !== undefined && accounts.pick({ sellerId }) === undefined)
    throw new Refusal('INVALID_INPUT', `there is no seller ${sellerId}`);
  const fen = balance === null ? Infinity : readBalance(balance);
  const sellers = sellerId === undefined ? accounts.all.map((account) => account.sellerId) : [sellerId];
  knobs.sellerFen = new Map([...knobs.sellerFen, ...sellers.map((seller) => [seller, fen] as const)]);
}

function readBalance(balance: string): number {
  const fen = readYuan(balance);
  if (fen === undefined) throw new Refusal('INVALID_INPUT', `balance ${balance} is not yuan`);
  return fen;
}

// Acts at once and returns a promise: the same interface serves this process and HTTP.
function later<Args extends unknown[], Result>(
  act: (...args: Args) => Result | Promise<Result>,
): (...args: Args) => Promise<Result> {
  return (...args) => new Promise((resolve) => resolve(act(...args)));
}

function ledgerLine(trade: Trade): LedgerLine {
  return {
    sellerId: trade.order.payee?.sellerId,
    outTradeNo: trade.order.outTradeNo,
    tradeNo: trade.tradeNo,
    status: trade.status,
    paidFen: trade.paidAt === undefined ? 0 : trade.order.totalFen,
    refundedFen: refundedFen(trade),
  };
}
