import { ORDER_STATUS_BY_KEY } from '../by-key';
import type { Database } from '../connect';
import { oneRow, rows, snapshot } from '../connect';
import { toFen, toYuan } from '../money';
import type { AuditCheck } from './checks';
import { AUDIT_CHECKS } from './checks';
import type { Audited, Violation } from './violations';
import { recordAudit } from './violations';

export interface AuditOptions {
  /**
   * All orders. Default: those that have moved since the last audit, and those in which it found something; all of them
   * once a day, to catch what moved without an event.
   */
  whole?: boolean | undefined;
  /** How old a fact must be to count, ms. Default ten minutes: its consequences may still be on their way. */
  settledMs?: number | undefined;
  /** Gets what was found in the orders that have moved, if the audit of all orders that was due then fails. */
  onPart?: ((audit: Audit) => void) | undefined;
}

/** What an audit has found. */
export interface Audit {
  /** How many orders it has looked at; null: all. */
  orders: number | null;
  found: Violation[];
  /** The unexplained amount, yuan; a payment that several checks name counts once. */
  yuan: string;
  seconds: number;
}

const SETTLED_MS = 600_000;

/** Above a tenth of the orders, checking all costs no more; few orders do not matter, and a million ids fill the memory. */
const mostMoved = (orders: number): number => Math.min(1_000_000, Math.max(100_000, orders / 10));

/** The most that one check reports: a wrong backup must not fill the memory. */
const MOST_FOUND = 10_000;

/**
 * Checks the tables against the rules of the ledger, one statement per rule, all in one snapshot, and stores what it finds. It
 * waits for no lock, and nothing waits for it.
 *
 * What has moved comes first, and is stored, even if all orders are due: reading them may take longer than a statement
 * may, and then nothing at all would be audited.
 */
export async function auditBooks(
  db: Database,
  { whole = false, settledMs = SETTLED_MS, onPart }: AuditOptions = {},
): Promise<Audit> {
  const started = performance.now();
  const audit = async (isWhole: boolean): Promise<Pass | undefined> => {
    const pass = await runPass(db, isWhole, settledMs);
    if (pass) await recordAudit(db, pass);
    return pass;
  };
  const auditOf = ({ orders, found }: Pass): Audit => ({
    orders,
    found: [...found],
    yuan: unexplainedBy(found),
    seconds: (performance.now() - started) / 1_000,
  });
  const moved = whole ? undefined : await audit(false);
  if (moved && !moved.isWholeDue) return auditOf(moved);
  try {
    return auditOf((await audit(true)) as Pass);
  } catch (error) {
    if (moved) onPart?.(auditOf(moved));
    throw error;
  }
}

/** One snapshot, and what was found in it. */
interface Pass extends Audited {
  orders: number | null;
  isWholeDue: boolean;
}

/** Audits all orders, or those that have moved; undefined: those are too many. */
function runPass(db: Database, whole: boolean, settledMs: number): Promise<Pass | undefined> {
  return snapshot(db, async (trx) => {
    const { at, seenEvent, lastSeen, isWholeDue, orders } = await readProgress(trx, settledMs);
    let scope: string[] | undefined;
    if (!whole) {
      const most = Math.floor(mostMoved(orders));
      scope = await findMoved(trx, { lastSeen, seenEvent }, most + 1);
      if (scope.length > most) return undefined;
      // A partial audit looks up each order: with many of them Postgres would rather read whole tables, once per check.
      await trx.raw(
        'SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off',
      );
    }
    const found: Violation[] = [];
    for (const check of AUDIT_CHECKS) found.push(...(await runCheck(trx, check, scope, settledMs)));
    return { orders: scope?.length ?? null, found, at, seenEvent, whole, isWholeDue };
  });
}

interface Progress {
  /** The time of the snapshot. */
  at: Date;
  /** The last event that is old enough; bigints, as strings. */
  seenEvent: string;
  lastSeen: string;
  isWholeDue: boolean;
  /** How many orders there are, as Postgres last counted them. */
  orders: number;
}

/** Reads the row that the migration has written. */
function readProgress(trx: Database, settledMs: number): Promise<Progress> {
  return oneRow(
    trx,
    `SELECT now() AS at, seen_event AS "lastSeen",
       COALESCE((SELECT max(id) FROM :schema:.payment_events
         WHERE id > seen_event AND at <= now() - :settledMs * interval '1 millisecond'), seen_event) AS "seenEvent",
       COALESCE(whole_at <= now() - interval '1 day', true) AS "isWholeDue",
       COALESCE((SELECT CAST(reltuples AS float8) FROM pg_class
         WHERE oid = (SELECT tableoid FROM :schema:.orders LIMIT 1)), 0) AS orders
     FROM :schema:.audits`,
    { settledMs },
  );
}

/** Orders with payment events since the last audit other than checkouts and bare checks, or with open violations. */
async function findMoved(
  trx: Database,
  { lastSeen, seenEvent }: Pick<Progress, 'lastSeen' | 'seenEvent'>,
  limit: number,
): Promise<string[]> {
  const moved = await rows<{ id: string }>(
    trx,
    `SELECT p.order_id AS id FROM :schema:.payment_events e JOIN :schema:.payments p USING (out_trade_no)
     WHERE e.id > CAST(:lastSeen AS bigint) AND e.id <= CAST(:seenEvent AS bigint) AND e.event NOT IN ('checked-out', 'checked')
     UNION SELECT order_id FROM :schema:.audit_violations WHERE gone_at IS NULL LIMIT :limit`,
    { lastSeen, seenEvent, limit },
  );
  return moved.map(({ id }) => id);
}

function runCheck(
  trx: Database,
  { name, sql, sqlOfSome = sql }: AuditCheck,
  scope: string[] | undefined,
  settledMs: number,
): Promise<Violation[]> {
  // A partial audit finds each order by its key.
  const orders =
    scope === undefined
      ? `SELECT * FROM :schema:.orders`
      : `SELECT o.id, ${ORDER_STATUS_BY_KEY} AS status, o.total_amount, o.created_at, o.paid_at, o.paid_by, o.closed_at
         FROM unnest(CAST(:scope AS text[])) AS moved (id) JOIN :schema:.orders o USING (id)`;
  return rows(
    trx,
    `WITH audited AS NOT MATERIALIZED (${orders})
     SELECT CAST(:name AS text) AS name, v.order_id AS "orderId", COALESCE(v.out_trade_no, '') AS "outTradeNo",
       CAST(v.amount AS numeric(14,2)) AS amount, v.since
     FROM (${scope ? sqlOfSome : sql}) v WHERE v.since <= now() - :settledMs * interval '1 millisecond'
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
