import type { Accounts } from './accounts';
import { Dice, type Chance } from './chance';
import { Courier, type DeliveryAnswer } from './delivery';
import { forgedForm, type ForgeKind } from './forge';
import type { Clock } from './clock';
import type { Journal } from './journal';
import { formOf, noticeFields, signNotice } from './notification';
import { Refusal } from './refusal';
import type { Trade, TradeEvent } from './trade';
import type { Params } from './wire';

/** The pauses between the eight deliveries of one notification at scale 1, ms: 4m, 10m, 10m, 1h, 2h, 6h, 15h. */
export const RETRY_PAUSES_MS = [4, 10, 10, 60, 120, 360, 900].map((minutes) => minutes * 60_000);

const REORDER_LONGEST_MS = 1000;
/** How many notifications can be replayed: only the latest. */
const SENT_MAX = 500;

/** What can go wrong with notifications. Fields that are left out do not happen; setting them again replaces all. */
export interface NotifierFaults {
  /** The whole notification is lost, retries too: a dropped order (掉单). */
  drop?: Chance;
  /** One delivery is lost in transit; without an answer, Alipay tries again on schedule. */
  dropAttempt?: Chance;
  /** Delivered twice at the same time. */
  repeat?: Chance;
  /** Held back until the next notification has been delivered (or a second has passed). */
  reorder?: Chance;
  /** Delays every delivery, ms, not scaled. */
  delayMs?: number;
  /** A forged one is sent first. */
  forge?: { kind: ForgeKind; chance: Chance };
}

/** A notification to deliver: all its deliveries have the same `notify_id`. */
export interface Notice {
  notifyId: string;
  sellerId?: string | undefined;
  outTradeNo: string;
  totalFen: number;
  url: string;
  fields: Params;
}

/** What the state file records about notifications. */
export type NoticeEvent =
  | { type: 'noticed'; at: number; notice: Notice }
  | { type: 'tried'; at: number; notifyId: string; attempt: number; nextAt?: number };

/** The outcome of one delivery. */
export interface DeliveryOutcome {
  /** HTTP 200 and exactly `success`. */
  accepted: boolean;
  answer?: DeliveryAnswer;
  error?: string;
}

interface Pending {
  notice: Notice;
  /** Deliveries so far. */
  attempts: number;
  nextAt: number;
}

/** What the notifier needs from its surroundings. */
export interface NotifierSettings {
  accounts: Accounts;
  journal: Journal;
  clock: Clock;
  random: () => number;
  /** How many times faster than Alipay the retries come. */
  scale: number;
  deadlineMs: number;
  store: (event: NoticeEvent) => void;
}

/** Sends notifications and repeats them until the merchant answers exactly `success`. */
export class Notifier {
  readonly #pending = new Map<string, Pending>();
  readonly #sent = new Map<string, { notice: Notice; form: string }>();
  readonly #courier: Courier;
  #closed = false;
  /** What was to be delivered in an earlier round is forgotten. */
  #round = 0;
  #held: (() => void)[] = [];
  #delayMs = 0;
  #forgeKind: ForgeKind | undefined;
  #dice: Record<'drop' | 'dropAttempt' | 'repeat' | 'reorder' | 'forge', Dice>;

  constructor(private readonly settings: NotifierSettings) {
    this.#courier = new Courier(settings.deadlineMs);
    this.#dice = this.#diceFor({});
  }

  /** Replaces the faults in force; `{}` ends them. */
  setFaults(faults: NotifierFaults): void {
    this.#dice = this.#diceFor(faults);
    this.#delayMs = faults.delayMs ?? 0;
    this.#forgeKind = faults.forge?.kind;
  }

  /** Sends the notification that a change of a trade triggers, depending on its product. */
  onTradeEvent(event: TradeEvent, trade: Trade | undefined, how?: 'quietly'): void {
    const url = trade?.order.notifyUrl;
    if (trade === undefined || url === undefined || how === 'quietly' || !triggers(event, trade)) return;
    const refund = event.type === 'refunded' ? trade.refunds.at(-1) : undefined;
    const merchant = this.settings.accounts.merchantOf(trade.order);
    const fields = noticeFields(merchant, trade, refund);
    const { sellerId } = merchant;
    const { outTradeNo, totalFen } = trade.order;
    const notice = { notifyId: fields['notify_id'] ?? '', sellerId, outTradeNo, totalFen, url, fields };
    this.settings.store({ type: 'noticed', at: this.settings.clock.now(), notice });
    this.#begin(notice);
  }

  /** Applies a past event. */
  restore(event: NoticeEvent): void {
    if (event.type === 'noticed') {
      const { notice, at } = event;
      this.#pending.set(notice.notifyId, { notice, attempts: 0, nextAt: at });
      return;
    }
    const pending = this.#pending.get(event.notifyId);
    if (pending === undefined) return;
    if (event.nextAt === undefined) this.#pending.delete(event.notifyId);
    else Object.assign(pending, { attempts: event.attempt, nextAt: event.nextAt });
  }

  /** Continues with what the last process left undelivered; what is overdue is sent at once. */
  resume(): void {
    for (const pending of this.#pending.values()) {
      this.#later(Math.max(0, pending.nextAt - this.settings.clock.now()), () => this.#attempt(pending));
    }
  }

  /** Forgets what is still to be delivered, and the faults. */
  clear(): void {
    this.#round += 1;
    this.#pending.clear();
    this.#sent.clear();
    this.#held = [];
    this.setFaults({});
  }

  /** How many notifications are still to be delivered. */
  pending(): number {
    return this.#pending.size;
  }

  /**
   * Posts one form now, once, and returns the outcome. A failed delivery is an outcome with `error`, not an exception.
   * @param fault how the form was tampered with, for the journal
   */
  async send(notice: Notice, form: string, attempt: number, fault?: string): Promise<DeliveryOutcome> {
    if (fault === undefined) this.#keep(notice, form);
    const outcome = await this.#post(notice, form);
    this.#record(notice, attempt, { ...outcome, fault });
    return outcome;
  }

  /** Posts a notification again, byte for byte. @throws Refusal `UNKNOWN_NOTIFICATION` */
  async replay(notifyId: string): Promise<DeliveryOutcome> {
    const sent = this.#sent.get(notifyId);
    if (sent === undefined) throw new Refusal('UNKNOWN_NOTIFICATION', `${notifyId} is not among the latest`);
    return this.send(sent.notice, sent.form, 1, 'replay');
  }

  #keep(notice: Notice, form: string): void {
    this.#sent.delete(notice.notifyId);
    this.#sent.set(notice.notifyId, { notice, form });
    const [oldest] = this.#sent.keys();
    if (this.#sent.size > SENT_MAX && oldest !== undefined) this.#sent.delete(oldest);
  }

  async #post({ url, fields }: Notice, form: string): Promise<DeliveryOutcome> {
    try {
      const answer = await this.#courier.post(url, form, fields['charset']);
      return { accepted: answer.status === 200 && answer.body === 'success', answer };
    } catch (cause) {
      return { accepted: false, error: cause instanceof Error ? cause.message || cause.name : String(cause) };
    }
  }

  /** Ends every timer and connection. Pending notifications stay in the state file. */
  close(): void {
    this.#closed = true;
    this.#courier.close();
  }

  #begin(notice: Notice): void {
    const pending = { notice, attempts: 0, nextAt: this.settings.clock.now() };
    this.#pending.set(notice.notifyId, pending);
    if (this.#dice.drop.throw()) {
      this.#record(notice, 1, { accepted: false, fault: 'drop' });
      this.#finish(pending, 1);
      return;
    }
    if (this.#dice.reorder.throw()) this.#hold(() => this.#attempt(pending));
    else this.#later(this.#delayMs, () => this.#attempt(pending));
  }

  #attempt(pending: Pending): void {
    // Its outcome is recorded, and it never rejects: nobody waits for a delivery.
    void this.#deliver(pending).then(() => this.#releaseHeld());
  }

  async #deliver(pending: Pending): Promise<void> {
    const { notice } = pending;
    const attempt = pending.attempts + 1;
    if (this.#forgeKind !== undefined && this.#dice.forge.throw()) {
      await this.send(notice, this.#forged(this.#forgeKind, notice), attempt, this.#forgeKind);
    }
    const round = this.#round;
    const accepted = await this.#deliverOnce(notice, attempt);
    if (this.#closed || round !== this.#round) return;
    if (accepted) this.#finish(pending, attempt);
    else this.#retry(pending, attempt);
  }

  async #deliverOnce(notice: Notice, attempt: number): Promise<boolean> {
    if (this.#dice.dropAttempt.throw()) {
      this.#record(notice, attempt, { accepted: false, fault: 'drop-attempt' });
      return false;
    }
    const { accounts, clock } = this.settings;
    const form = formOf(signNotice(notice.fields, accounts.alipayPrivate, clock.now()));
    if (!this.#dice.repeat.throw()) return (await this.send(notice, form, attempt)).accepted;
    const [first, second] = await Promise.all([
      this.send(notice, form, attempt),
      this.send(notice, form, attempt, 'repeat'),
    ]);
    return first.accepted || second.accepted;
  }

  #retry(pending: Pending, attempt: number): void {
    const pause = RETRY_PAUSES_MS[attempt - 1];
    if (pause === undefined) {
      this.#finish(pending, attempt);
      return;
    }
    const { clock, scale, store } = this.settings;
    const wait = pause / scale + this.#delayMs;
    Object.assign(pending, { attempts: attempt, nextAt: clock.now() + wait });
    store({
      type: 'tried',
      at: clock.now(),
      notifyId: pending.notice.notifyId,
      attempt,
      nextAt: pending.nextAt,
    });
    this.#later(wait, () => this.#attempt(pending));
  }

  #finish({ notice }: Pending, attempt: number): void {
    this.#pending.delete(notice.notifyId);
    this.settings.store({ type: 'tried', at: this.settings.clock.now(), notifyId: notice.notifyId, attempt });
  }

  #hold(release: () => void): void {
    this.#held.push(release);
    this.#later(REORDER_LONGEST_MS, () => this.#releaseHeld());
  }

  #releaseHeld(): void {
    const held = this.#held;
    this.#held = [];
    for (const release of held) release();
  }

  #later(ms: number, act: () => void): void {
    if (this.#closed) return;
    const round = this.#round;
    this.settings.clock.later(ms, () => {
      if (round === this.#round && !this.#closed) act();
    });
  }

  #forged(kind: ForgeKind, notice: Notice): string {
    return forgedForm(
      kind,
      notice.fields,
      notice.totalFen,
      this.settings.accounts,
      this.settings.clock.now(),
    );
  }

  #record(notice: Notice, attempt: number, outcome: DeliveryOutcome & { fault?: string }): void {
    const { notifyId, sellerId, outTradeNo, url, fields } = notice;
    const tradeStatus = fields['trade_status'] ?? '';
    this.settings.journal.write({
      kind: 'notification',
      sellerId,
      outTradeNo,
      notifyId,
      tradeStatus,
      attempt,
      url,
      ...outcome,
    });
  }

  #diceFor(faults: NotifierFaults): Record<'drop' | 'dropAttempt' | 'repeat' | 'reorder' | 'forge', Dice> {
    const dice = (chance: Chance | undefined) => new Dice(chance, this.settings.random);
    return {
      drop: dice(faults.drop),
      dropAttempt: dice(faults.dropAttempt),
      repeat: dice(faults.repeat),
      reorder: dice(faults.reorder),
      forge: dice(faults.forge?.chance),
    };
  }
}

// A trade that closes unpaid causes no notification for page.pay, precreate and bar codes; for the others it does.
function triggers(event: TradeEvent, trade: Trade): boolean {
  switch (event.type) {
    case 'paid':
    case 'finished':
      return event.notify;
    case 'refunded':
      return true;
    case 'closed':
      return !['page', 'precreate', 'barcode'].includes(trade.order.product);
    case 'opened':
    case 'scanned':
      return false;
  }
}
