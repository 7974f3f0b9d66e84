import type { Database } from '../connect';
import { oneRow, rows, transaction } from '../connect';
import { storableJson } from '../storable';

/** Where the books contradict themselves. */
export interface Violation {
  /** The check that found it. */
  name: string;
  orderId: string;
  /** Empty if it is only about the order. */
  outTradeNo: string;
  /** The yuan that it leaves unexplained. */
  amount: string;
  /** When the fact arose. */
  since: Date;
}

/** The yuan that open violations leave unexplained; a payment that several name counts once. */
const UNEXPLAINED = `
  SELECT COALESCE(sum(amount), 0.00) AS yuan FROM (
    SELECT max(amount) AS amount FROM :schema:.audit_violations WHERE gone_at IS NULL GROUP BY order_id, out_trade_no) each`;

/** What an audit has looked at. */
export interface Audited {
  found: readonly Violation[];
  /** The time of its snapshot. */
  at: Date;
  whole: boolean;
  seenEvent: string;
}

/** Stores what an audit has found; what it no longer finds is marked as gone. A newer audit's findings stay. */
export async function recordAudit(db: Database, { found, at, whole, seenEvent }: Audited): Promise<void> {
  await transaction(db, async (trx) => {
    await rows(
      trx,
      `UPDATE :schema:.audits SET audited_at = now(), seen_event = GREATEST(seen_event, CAST(:seenEvent AS bigint)),
         whole_at = CASE WHEN :whole THEN now() ELSE whole_at END`,
      { seenEvent, whole },
    );
    await rows(
      trx,
      `INSERT INTO :schema:.audit_violations AS v (name, order_id, out_trade_no, amount, since)
       SELECT DISTINCT ON (name, "orderId", "outTradeNo") name, "orderId", "outTradeNo", amount, since
       FROM jsonb_to_recordset(CAST(:found AS jsonb))
         AS f(name text, "orderId" text, "outTradeNo" text, amount numeric, since timestamptz)
       ORDER BY name, "orderId", "outTradeNo", since
       ON CONFLICT (name, order_id, out_trade_no) DO UPDATE SET amount = excluded.amount, since = excluded.since,
         seen_at = now(), found_at = CASE WHEN v.gone_at IS NULL THEN v.found_at ELSE now() END, gone_at = NULL`,
      { found: storableJson(found) },
    );
    await rows(
      trx,
      `UPDATE :schema:.audit_violations SET gone_at = now()
       WHERE gone_at IS NULL AND seen_at < now() AND seen_at <= :at`,
      { at },
    );
  });
}

/** What the last audits have found that still holds, for metrics. */
interface AuditFigures {
  /** How many are open, by the check that found them. */
  violations: Record<string, number>;
  yuan: number;
  /**
   * How long ago the last audit was, or how long one of all orders has been due, whichever is longer; if there was
   * none, how long ago the tables were created.
   */
  ageSeconds: number;
}

export function readAuditFigures(db: Database): Promise<AuditFigures> {
  return oneRow(
    db,
    `SELECT (SELECT COALESCE(jsonb_object_agg(name, open), '{}') FROM (
         SELECT name, count(*) AS open FROM :schema:.audit_violations WHERE gone_at IS NULL GROUP BY name) counted) AS violations,
       CAST((${UNEXPLAINED}) AS float8) AS yuan,
       CAST(EXTRACT(EPOCH FROM now() - LEAST(COALESCE(audited_at, created_at),
         COALESCE(whole_at, created_at) + interval '1 day')) AS float8) AS "ageSeconds"
     FROM :schema:.audits`,
  );
}
