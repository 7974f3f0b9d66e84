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
   * All orders. Default: those that have moved since the last audit, and those in which it found something; all of them once a
   * day, for what moved without an event.
   */
  whole?: boolean | undefined;
  /** How old a fact must be to count, ms. Default ten minutes: what follows from it may be on its way. */
  settledMs?: number | undefined;
  /** Hears what was found in what has moved, where the audit of all that was due then fails. */
  onPart?: ((audit: Audit) => void) | undefined;
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

/** Of more than a tenth of the orders looking at all is no dearer; of few orders nobody minds, and a million ids fill the memory. */
const mostMoved = (orders: number): number => Math.min(1_000_000, Math.max(100_000, orders / 10));

/** Of each check: a wrong backup must not fill the memory. */
const MOST_FOUND = 10_000;

/**
 * Checks the tables against the rules of the ledger, one statement per rule, all in one snapshot, and stores what it finds. It
 * waits for no lock, and nothing waits for it.
 *
 * What has moved comes first, and is stored, also where all orders are due: to read them may take longer than a statement may,
 * and then nothing else would be audited either.
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

/** Of all orders, or of those that have moved; undefined: they are too many. */
function runPass(db: Database, whole: boolean, settledMs: number): Promise<Pass | undefined> {
  return snapshot(db, async (trx) => {
    const { at, seenEvent, lastSeen, isWholeDue, orders } = await readProgress(trx, settledMs);
    let scope: string[] | undefined;
    if (!whole) {
      const most = Math.floor(mostMoved(orders));
      scope = await findMoved(trx, { lastSeen, seenEvent }, most + 1);
      if (scope.length > most) return undefined;
      // Of some orders each is looked up: with many of them Postgres would rather read whole tables, once for each check.
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
  /** Of the snapshot. */
  at: Date;
  /** The last event that is old enough; bigints, as strings. */
  seenEvent: string;
  lastSeen: string;
  isWholeDue: boolean;
  /** How many there are, as Postgres last counted them. */
  orders: number;
}

/** Of the row that the migration has written. */
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

/** Orders of payments of which events tell more than a question since the last audit, and those in which it found something. */
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
  // Of some orders each is found by its key.
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
