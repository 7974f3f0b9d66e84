import type { FaultMode } from './faults';
import type { Flaw } from './flaw';

/** A call to the gateway, and its answer. */
export interface CallEntry {
  kind: 'call';
  at: string;
  method: string;
  /** The seller for whom it is made; absent if that cannot be told. */
  sellerId?: string;
  outTradeNo?: string;
  bizContent?: Record<string, unknown>;
  /** Alipay's `code`; absent if the answer had none (a broken connection, an HTML page). */
  code?: string;
  subCode?: string;
  /** HTTP status; absent if there was no answer. */
  httpStatus?: number;
  fault?: { mode: FaultMode | 'down'; when: 'before' | 'after' };
  /** Whether the request's signature held; absent if it was not checked. */
  signature?: 'genuine' | 'false';
  /** What was wrong with the request, if that can be told. */
  flaw?: Flaw;
  /** Alipay's answer by its fields; absent if it had none. */
  answer?: Record<string, string>;
}

/** One attempt to deliver a notification. */
export interface NotificationEntry {
  kind: 'notification';
  at: string;
  sellerId?: string;
  outTradeNo: string;
  notifyId: string;
  tradeStatus: string;
  attempt: number;
  url: string;
  /** What the merchant answered; absent if nothing came back or nothing was sent. */
  answer?: { status: number; body: string };
  error?: string;
  /** HTTP 200 and exactly `success`. */
  accepted: boolean;
  /** How it was tampered with: `drop`, `drop-attempt`, `repeat`, `replay`, or the kind of forgery. */
  fault?: string;
}

/** Something that the buyer did. */
export interface BuyerEntry {
  kind: 'buyer';
  at: string;
  action: 'open' | 'scan' | 'pay' | 'leave';
  sellerId?: string;
  outTradeNo: string;
  /** For an opened pay request: what it asked for. */
  method?: string;
  bizContent?: Record<string, unknown>;
}

/** One line of the journal. */
export type JournalEntry = CallEntry | NotificationEntry | BuyerEntry;

type Untimed<Entry> = Entry extends unknown ? Omit<Entry, 'at'> : never;

/** What crossed the wire, newest last, with a limit: the oldest entries are dropped first. */
export class Journal {
  #entries: JournalEntry[] = [];
  readonly #readers: ((entry?: JournalEntry) => void)[] = [];

  /**
   * @param limit how many entries are kept
   * @param now the clock, epoch ms
   */
  constructor(
    private readonly limit: number,
    private readonly now: () => number,
  ) {}

  /** Writes an entry with the current time. */
  write(entry: Untimed<JournalEntry>): void {
    const written = { ...entry, at: new Date(this.now()).toISOString() };
    this.#entries.push(written);
    for (const reader of this.#readers) reader(written);
    // Cut only at twice the limit: cutting at every entry would copy the whole list each time.
    if (this.#entries.length >= 2 * this.limit) this.#entries = this.#entries.slice(-this.limit);
  }

  /** Calls `reader` with every entry from now on, and without one when all are forgotten. */
  follow(reader: (entry?: JournalEntry) => void): void {
    this.#readers.push(reader);
  }

  /** The entries, oldest first. */
  read(): JournalEntry[] {
    return this.#entries.slice(-this.limit);
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries = [];
    for (const reader of this.#readers) reader();
  }
}
