/** The sweep of expired orders: its input, progress and result. */

/** The input of `sweepExpiredOrders`. */
export interface SweepInput {
  /** How many orders are asked about and closed at the same time. */
  parallel: number;
  /** How many orders one page holds. */
  pageSize: number;
  /** Asks Alipay for real, but writes and closes nothing. */
  dryRun?: boolean;
  /** Where a continued sweep resumes, and what it has done so far. Not for callers. */
  progress?: SweepProgress;
}

/** The last order of a page; the next page starts after it. */
export interface SweepCursor {
  expiresAt: string;
  orderId: string;
}

/** The result of `sweepExpiredOrders`, and of its query `progress`. */
export interface SweepReport {
  /** Expired orders looked at. */
  scanned: number;
  closed: number;
  /** Found paid, and handed to the payment's workflow. */
  rescued: number;
  /** Left open: an unknown answer, a payment in review or being refunded, or not closable yet. */
  held: number;
  /** Ended in an error; the next sweep tries them again. */
  failed: number;
  /** The first 100 order ids of each kind. */
  rescuedIds: string[];
  heldIds: string[];
  failedIds: string[];
  seconds: number;
  /** ISO 8601: when the oldest order that was looked at expired; null if there was none. */
  oldest: string | null;
  gatewayDown: boolean;
  /** Only looked at: nothing was closed or written. */
  dryRun?: true;
  /** Under `--cron` only: where the next tick resumes. */
  next?: SweepCursor;
}

/** What one run of a sweep hands to the next. */
export interface SweepProgress {
  report: SweepReport;
  after: SweepCursor | null;
  /** Epoch milliseconds of the first run's start. */
  startedAt: number;
}

/** An order for a sweep to close, and where the next page begins. */
export interface ExpiredOrder {
  id: string;
  /** ISO 8601 with microseconds: a Date would round the cursor and skip or repeat orders. */
  expiresAt: string;
}

/** Order ids by what became of them. */
export interface ChunkReport {
  closed: string[];
  rescued: string[];
  held: string[];
  failed: string[];
}

/** The progress of a chunk: in its heartbeat, and in the details of the ALIPAY_DOWN that ends an attempt. */
export interface ChunkProgress extends ChunkReport {
  /** How many of its orders, from the first on, need no further look. */
  done: number;
}

/**
 * The longest that closing one order may take, ms: three calls to Alipay for a payment, each after a wait for a slot
 * under the quota (30 s at most). An order that takes longer is reported as failed.
 */
export const CLOSE_ORDER_TIMEOUT_MS = 90_000;

/** The longest that one attempt at a chunk of `orders` orders may take, ms. */
export const chunkTimeoutMs = (orders: number): number => orders * CLOSE_ORDER_TIMEOUT_MS + 10_000;
