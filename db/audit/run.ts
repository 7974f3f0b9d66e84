import type { Database } from '../connect';
import { oneRow, rows, snapshot } from '../connect';
import { toFen, toYuan } from '../money';
import type { AuditCheck } from './checks';
import { AUDIT_CHECKS } from './checks';
import type { Audited, Violation } from './violations';
import { recordAudit } from './violations';

export interface AuditOptions {
  /**
   * All orders. Default: those that have moved since the last audit, and those in which it found something; all of them once a
   * day, for what moved without an event.
   */
  whole?: boolean | undefined;
  /** How old a fact must be to count, ms. Default ten minutes: what follows from it may be on its way. */
  settledMs?: number | undefined;
}

/** What an audit has found. */
export interface Audit {
  /** How many orders it has looked at; null: all. */
  orders: number | null;
  found: Violation[];
  /** What is unexplained, yuan; of a payment that several checks name, once. */
  yuan: string;
  seconds: number;
}

const SETTLED_MS = 600_000;

/** With more orders than these, looking at all is no dearer. */
const MOST_MOVED = 100_000;

/** Of each check: a wrong backup must not fill the memory. */
const MOST_FOUND = 10_000;

/**
 * Checks the tables against the rules of the ledger, one statement per rule, all in one snapshot, and stores what it finds. It
 * waits for no lock, and nothing waits for it.
 */
export async function auditBooks(
  db: Database,
  { whole = false, settledMs = SETTLED_MS }: AuditOptions = {},
): Promise<Audit> {
  const started = performance.now();
  const { orders, audited } = await snapshot(db, async (trx) => {
    const { at, seenEvent, lastSeen, isWholeDue } = await readProgress(trx, settledMs);
    const moved = whole || isWholeDue ? undefined : await findMoved(trx, { lastSeen, seenEvent });
    const isWhole = moved === undefined || moved.length > MOST_MOVED;
    const scope = isWhole ? undefined : moved;
    const found: Violation[] = [];
    // Of some orders each is looked up: with many of them Postgres would rather read whole tables, once for each check.
    if (scope)
      await trx.raw(
        'SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off',
      );
    for (const check of AUDIT_CHECKS) found.push(...(await runCheck(trx, check, scope, settledMs)));
    return {
      orders: scope?.length ?? null,
      audited: { found, at, seenEvent, whole: isWhole } satisfies Audited,
    };
  });
  await recordAudit(db, audited);
  const seconds = (performance.now() - started) / 1_000;
  return { orders, found: [...audited.found], yuan: unexplainedBy(audited.found), seconds };
}

interface Progress {
  /** Of the snapshot. */
  at: Date;
  /** The last event that is old enough; bigints, as strings. */
  seenEvent: string;
  lastSeen: string;
  isWholeDue: boolean;
}

/** Of the row that the migration has written. */
function readProgress(trx: Database, settledMs: number): Promise<Progress> {
  return oneRow(
    trx,
    `SELECT now() AS at, seen_event AS "lastSeen",
       COALESCE((SELECT max(id) FROM :schema:.payment_events
         WHERE id > seen_event AND at <= now() - :settledMs * interval '1 millisecond'), seen_event) AS "seenEvent",
       COALESCE(whole_at <= now() - interval '1 day', true) AS "isWholeDue"
     FROM :schema:.audits`,
    { settledMs },
  );
}

/** Orders of payments of which events tell more than a question since the last audit, and those in which it found something. */
async function findMoved(
  trx: Database,
  { lastSeen, seenEvent }: Pick<Progress, 'lastSeen' | 'seenEvent'>,
): Promise<string[]> {
  const moved = await rows<{ id: string }>(
    trx,
    `SELECT p.order_id AS id FROM :schema:.payment_events e JOIN :schema:.payments p USING (out_trade_no)
     WHERE e.id > CAST(:lastSeen AS bigint) AND e.id <= CAST(:seenEvent AS bigint) AND e.event NOT IN ('checked-out', 'checked')
     UNION SELECT order_id FROM :schema:.audit_violations WHERE gone_at IS NULL LIMIT :limit`,
    { lastSeen, seenEvent, limit: MOST_MOVED + 1 },
  );
  return moved.map(({ id }) => id);
}

function runCheck(
  trx: Database,
  { name, sql }: AuditCheck,
  scope: string[] | undefined,
  settledMs: number,
): Promise<Violation[]> {
  const orders =
    scope === undefined
      ? `SELECT * FROM :schema:.orders`
      : `SELECT o.* FROM unnest(CAST(:scope AS text[])) AS moved (id) JOIN :schema:.orders o USING (id)`;
  return rows(
    trx,
    `WITH audited AS NOT MATERIALIZED (${orders})
     SELECT CAST(:name AS text) AS name, v.order_id AS "orderId", COALESCE(v.out_trade_no, '') AS "outTradeNo",
       CAST(v.amount AS numeric(14,2)) AS amount, v.since
     FROM (${sql}) v WHERE v.since <= now() - :settledMs * interval '1 millisecond'
     ORDER BY v.since, v.order_id LIMIT :limit`,
    { name, settledMs, limit: MOST_FOUND, ...(scope && { scope }) },
  );
}

function unexplainedBy(found: readonly Violation[]): string {
  const each = new Map<string, number>();
  for (const { orderId, outTradeNo, amount } of found) {
    const key = `${orderId} ${outTradeNo}`;
    each.set(key, Math.max(each.get(key) ?? 0, toFen(amount)));
  }
  return toYuan([...each.values()].reduce((sum, fen) => sum + fen, 0));
}
