import type { FaultMode } from './faults';
import type { Flaw } from './flaw';

/** A call to the gateway, as it came and as it was answered. */
export interface CallEntry {
  kind: 'call';
  at: string;
  method: string;
  /** For which seller it speaks; absent where that cannot be told. */
  sellerId?: string;
  outTradeNo?: string;
  bizContent?: Record<string, unknown>;
  /** Alipay's `code`; absent where the answer had none (a broken connection, an HTML page). */
  code?: string;
  subCode?: string;
  /** HTTP status; absent where nothing was answered. */
  httpStatus?: number;
  fault?: { mode: FaultMode | 'down'; when: 'before' | 'after' };
  /** Whether the request's signature held; absent where it was not looked at. */
  signature?: 'genuine' | 'false';
  /** What was wrong with the request, as far as can be told. */
  flaw?: Flaw;
  /** What was answered, as Alipay's fields; absent where the answer had none. */
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
  /** What the merchant answered; absent where nothing came back or nothing was sent. */
  answer?: { status: number; body: string };
  error?: string;
  /** HTTP 200 and exactly `success`. */
  accepted: boolean;
  /** How it was tampered with: `drop`, `drop-attempt`, `repeat`, `reorder`, `replay`, or the kind of forgery. */
  fault?: string;
}

/** Something that the buyer did. */
export interface BuyerEntry {
  kind: 'buyer';
  at: string;
  action: 'open' | 'scan' | 'pay' | 'leave';
  sellerId?: string;
  outTradeNo: string;
  /** Of a pay request that was opened: what it asked for. */
  method?: string;
  bizContent?: Record<string, unknown>;
}

/** One line of the journal. */
export type JournalEntry = CallEntry | NotificationEntry | BuyerEntry;

type Untimed<Entry> = Entry extends unknown ? Omit<Entry, 'at'> : never;

/** What crossed the wire, newest last, bounded: the oldest are forgotten first. */
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

  /** Writes an entry, at the present time. */
  write(entry: Untimed<JournalEntry>): void {
    const written = { ...entry, at: new Date(this.now()).toISOString() };
    this.#entries.push(written);
    for (const reader of this.#readers) reader(written);
    // Twice the limit before cutting: cutting at every entry would copy the whole list each time.
    if (this.#entries.length >= 2 * this.limit) this.#entries = this.#entries.slice(-this.limit);
  }

  /** Has `reader` called with every entry from now on, and without one when all are forgotten. */
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
