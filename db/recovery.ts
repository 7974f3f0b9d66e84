/**
 * What is owed again after a Temporal store was lost, or restored from a backup. The rows are made due; the follow-up
 * does the rest, at its own pace.
 */
import { PaymentError } from '../workflows/errors';
import type { Database } from './connect';
import { oneRow, rows, transaction } from './connect';
import { appendEvent } from './payment-events';
import { IS_HELD } from './rules';
import { markRecovered } from './temporal-stores';

/** How many rows are affected. */
export interface Recovery {
  /** UNPAID payments with a check planned: their run is gone, so they are queried at once. */
  unwatched: number;
  /**
   * Payments in REVIEW or REFUNDING, and refunds under way: their run is started again. If recovered by hand, also
   * payments whose run waits in one of these, but whose row does not.
   */
  unattended: number;
  /** Results that are told again, with their old ids. */
  undelivered: number;
}

/** What happened in between was known only to the lost store. */
interface RecoveryWindow {
  /** For results: those told earlier reached the order service. */
  since: Date;
  /** Rows written later are known to the present store. */
  before: Date;
}

const PAGE = 1_000;

/**
 * When a result is told again, by how long ago it was told. The newest come first: they are the most likely to have
 * been lost before the order service acted on them. For a minute they come as fast as they did before, so the workers
 * get to the open payments meanwhile; then four times as fast.
 */
const toldAgainIn = (age: string): string => `LEAST(${age}, interval '1 minute' + ${age} / 4)`;

const OVERDUE = `(CAST(:before AS timestamptz) - interval '3 minutes')`;

const UNWATCHED = `status = 'UNPAID' AND next_check_at > ${OVERDUE} AND updated_at < :before`;

// Without a time it is due already.
const UNATTENDED = `${IS_HELD} AND revive_at > :before`;

const STANDING_REFUND = `status IN ('REQUESTED', 'REVIEW') AND retry_at > :before`;

// What a webhook or a function has taken was never in the store.
const UNDELIVERED = `told_at >= :since AND told_at < :before AND told_by = 'signal'`;

export async function readClock(db: Database): Promise<Date> {
  return (await oneRow<{ now: Date }>(db, `SELECT clock_timestamp() AS now`)).now;
}

/**
 * {@link recover} on a person's decision, which is recorded in `payment_events`; `dryRun` only counts.
 *
 * @throws PaymentError INVALID_INPUT if `since` is in the future
 */
export async function recoverByHand(
  db: Database,
  { since, actor, dryRun }: { since: Date; actor: string; dryRun: boolean },
): Promise<Recovery> {
  const before = await readClock(db);
  if (since >= before) {
    throw new PaymentError(
      'INVALID_INPUT',
      `since must be in the past: it is now ${before.toISOString()}, by Postgres' clock`,
    );
  }
  if (dryRun) return countRecoverable(db, { since, before });
  await appendEvent(db, { outTradeNo: null, actor, event: 'recovery', detail: { since } });
  return recover(db, { since, before });
}

/** What a payment's run shows in `PaymentStatus`. */
export interface ShownRun {
  outTradeNo: string;
  shown: string;
}

/** The payments among these whose rows differ from what their runs show. */
export async function findMoved(db: Database, runs: readonly ShownRun[]): Promise<string[]> {
  const found = await rows<{ outTradeNo: string }>(
    db,
    `SELECT p.out_trade_no AS "outTradeNo"
     FROM unnest(CAST(:outTradeNos AS text[]), CAST(:shown AS text[])) AS run (out_trade_no, shown)
       JOIN :schema:.payments p USING (out_trade_no)
     WHERE CASE WHEN p.review_reason IS NULL THEN p.status ELSE 'REVIEW' END <> run.shown`,
    { outTradeNos: runs.map(({ outTradeNo }) => outTradeNo), shown: runs.map(({ shown }) => shown) },
  );
  return found.map(({ outTradeNo }) => outTradeNo);
}

/** What {@link recover} would change. */
export function countRecoverable(db: Database, window: RecoveryWindow): Promise<Recovery> {
  return oneRow(
    db,
    `SELECT
       (SELECT CAST(count(*) AS integer) FROM :schema:.payments WHERE ${UNWATCHED}) AS unwatched,
       (SELECT CAST(count(*) AS integer) FROM :schema:.payments p WHERE ${UNATTENDED})
         + (SELECT CAST(count(*) AS integer) FROM :schema:.refunds WHERE ${STANDING_REFUND}) AS unattended,
       (SELECT CAST(count(*) AS integer) FROM :schema:.order_messages WHERE ${UNDELIVERED}) AS undelivered`,
    window,
  );
}

// One page each. A row that somebody writes at the same moment is skipped: what is written is known to the present store.

const WATCH_AGAIN = `
  UPDATE :schema:.payments SET next_check_at = ${OVERDUE}, revive_at = NULL, revivals = 0
  WHERE out_trade_no IN (
    SELECT out_trade_no FROM :schema:.payments WHERE ${UNWATCHED}
    ORDER BY next_check_at LIMIT :page FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING out_trade_no`;

const ATTEND_AGAIN = `
  UPDATE :schema:.payments SET revive_at = :before, revivals = 0
  WHERE out_trade_no IN (
    SELECT out_trade_no FROM :schema:.payments p WHERE ${UNATTENDED}
    ORDER BY revive_at LIMIT :page FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING out_trade_no`;

const REFUND_AGAIN = `
  UPDATE :schema:.refunds SET retry_at = :before, attempts = 0
  WHERE (out_trade_no, out_request_no) IN (
    SELECT out_trade_no, out_request_no FROM :schema:.refunds WHERE ${STANDING_REFUND}
    ORDER BY retry_at LIMIT :page FOR NO KEY UPDATE SKIP LOCKED)
  RETURNING out_request_no`;

const TELL_AGAIN = `
  UPDATE :schema:.order_messages m SET
    told_at = NULL, told_by = NULL, found_by = NULL, attempts = 0,
    retry_at = clock_timestamp() + ${toldAgainIn('page.age')}
  FROM (
    SELECT id, CAST(:before AS timestamptz) - told_at AS age FROM :schema:.order_messages WHERE ${UNDELIVERED}
    ORDER BY told_at DESC LIMIT :page FOR NO KEY UPDATE SKIP LOCKED) page
  WHERE m.id = page.id RETURNING m.id`;

/**
 * Makes due what only the lost store knew, page by page, each page in a transaction. Safe to repeat, even by several
 * processes at once: what is already due stays as it is.
 *
 * @param signal ends it between two pages, and its reason is thrown
 */
export async function recover(db: Database, window: RecoveryWindow, signal?: AbortSignal): Promise<Recovery> {
  const byPages = async (statement: string): Promise<number> => {
    let done = 0;
    for (let changed = -1; changed !== 0; done += changed) {
      signal?.throwIfAborted();
      changed = (await transaction(db, (trx) => rows(trx, statement, { ...window, page: PAGE }))).length;
    }
    return done;
  };
  return {
    unwatched: await byPages(WATCH_AGAIN),
    unattended: (await byPages(ATTEND_AGAIN)) + (await byPages(REFUND_AGAIN)),
    undelivered: await byPages(TELL_AGAIN),
  };
}

/**
 * {@link recover} for a store that has taken over, and notes that it is done. If another process holds results that
 * were skipped here, and may still roll back, that is left to the next call.
 */
export async function recoverStore(
  db: Database,
  namespaceId: string,
  window: RecoveryWindow,
  signal?: AbortSignal,
): Promise<Recovery> {
  const recovered = await recover(db, window, signal);
  const { undelivered: left } = await countRecoverable(db, window);
  if (left === 0) await markRecovered(db, namespaceId);
  return recovered;
}
