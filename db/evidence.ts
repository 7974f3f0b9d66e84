import { createHash } from 'node:crypto';
import { UNRECORDED_BY_KEY } from './by-key';
import type { CheckMade } from './checks';
import { NOTE_CHECK, actorOf, checkBindings } from './checks';
import type { Database } from './connect';
import { hasRow, oneRow, row, rows } from './connect';
import { storableJson, storableText } from './storable';

// Verified bodies from Alipay: stored before anything is concluded from them, owed until they are recorded.

/** `answer`: to a query of the trade. `refund`: to a refund, or a query of one, that proves it. */
export type EvidenceKind = 'notification' | 'answer' | 'refund';

/** A body as Alipay signed it. */
export interface SignedBody {
  /** The bytes that the signature covers: of an answer the node `<method>_response`; of a notification `k=v` sorted, joined by `&`. */
  bytes: Buffer;
  signature: string;
  /** How to decode the bytes: `utf-8`, `gbk` … */
  charset: string;
  /** SHA-256 of the public key that verified it, hexadecimal. */
  keyFingerprint: string;
}

/** What the timeline says about a piece of evidence; nothing about the buyer. Amounts are yuan. */
export interface EvidenceWords {
  tradeStatus?: string | undefined;
  totalAmount?: string | undefined;
  /** Cumulative. */
  refundedAmount?: string | undefined;
  /** Of one refund. */
  refundAmount?: string | undefined;
}

export interface NewEvidence {
  outTradeNo: string;
  kind: EvidenceKind;
  /** Of a notification, which is stored once per `notify_id`; Alipay keeps it the same in its repeats. */
  notifyId?: string | undefined;
  signed: SignedBody;
  /** Whether it may change anything. What says nothing new counts as recorded at once. */
  isNews: boolean;
  says: EvidenceWords;
  /** Of an answer: the check that brought it. */
  check?: CheckMade;
  /** Of an answer: which question brought it. */
  askedBy?: string;
}

export interface EvidenceRef {
  /** A bigint, as a string. */
  id: string;
  /** Whether the ledger has taken it into account. */
  isRecorded: boolean;
}

const NO_CHECK: CheckMade = { check: 0 };

/**
 * Stores a verified body once: a notification by its `notify_id`, an answer by its bytes. The same statement writes the
 * event that names it, and notes the check that brought it. Undefined if the payment is unknown.
 */
export async function storeEvidence(db: Database, evidence: NewEvidence): Promise<EvidenceRef | undefined> {
  const { kind, signed, isNews, says, check = NO_CHECK, askedBy = null } = evidence;
  const inserted = await row<EvidenceRef>(
    db,
    `WITH stored AS (
       INSERT INTO :schema:.evidence (out_trade_no, kind, notify_id, body, digest, signature, charset, key_fingerprint,
         asked_by, recorded_at)
       SELECT out_trade_no, :kind, :notifyId, :body, :digest, :signature, :charset, :keyFingerprint,
         :askedBy, CASE WHEN NOT :isNews THEN now() END
       FROM :schema:.payments WHERE out_trade_no = :outTradeNo
       ON CONFLICT DO NOTHING RETURNING id, out_trade_no, recorded_at
     ), told AS (
       INSERT INTO :schema:.payment_events (out_trade_no, actor, event, detail)
       SELECT out_trade_no, :actor, :event, jsonb_build_object('evidence', CAST(id AS text)) || CAST(:says AS jsonb)
       FROM stored
     ), checked AS (${NOTE_CHECK})
     SELECT id, recorded_at IS NOT NULL AS "isRecorded" FROM stored`,
    {
      ...identityOf(evidence),
      ...signedColumns(signed),
      ...checkBindings(check),
      isNews,
      askedBy,
      actor: kind === 'notification' ? 'alipay' : actorOf(check),
      event: kind === 'notification' ? 'notified' : 'answered',
      // By Alipay's own names.
      says: storableJson({
        trade_status: says.tradeStatus,
        total_amount: says.totalAmount,
        refund_fee: says.refundedAmount,
        refund_amount: says.refundAmount,
      }),
    },
  );
  return inserted ?? findAgain(db, evidence);
}

/**
 * Evidence that is already stored. If it was recorded, is still news, and the row knows of no payment, the row is older
 * than the evidence (it was restored from a backup by hand): the evidence is owed again.
 */
async function findAgain(db: Database, evidence: NewEvidence): Promise<EvidenceRef | undefined> {
  return row<EvidenceRef>(
    db,
    `WITH owed AS (
       UPDATE :schema:.evidence e SET body = :body, signature = :signature, charset = :charset,
         key_fingerprint = :keyFingerprint, digest = :digest, recorded_at = NULL, pruned_at = NULL, attempts = 0,
         retry_at = now() + interval '1 minute'
       FROM :schema:.payments p
       WHERE ${SAME} AND e.recorded_at IS NOT NULL AND :isNews
         AND p.out_trade_no = e.out_trade_no AND p.status IN ('UNPAID', 'CLOSED') RETURNING e.id)
     SELECT e.id, e.recorded_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM owed) AS "isRecorded"
     FROM :schema:.evidence e WHERE ${SAME}`,
    { ...identityOf(evidence), ...signedColumns(evidence.signed), isNews: evidence.isNews },
  );
}

/** The condition for the row of {@link identityOf}. */
const SAME = `e.out_trade_no = :outTradeNo AND e.kind = :kind AND (e.notify_id = :notifyId OR e.kind <> 'notification' AND e.digest = :digest)`;

const digestOf = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

const identityOf = ({ outTradeNo, kind, notifyId, signed }: NewEvidence) => ({
  outTradeNo,
  kind,
  notifyId: notifyId === undefined ? null : storableText(notifyId),
  digest: digestOf(signed.bytes),
});

/** As the tables store it. */
export const signedColumns = ({ bytes, signature, charset, keyFingerprint }: SignedBody) => ({
  body: bytes,
  signature,
  charset,
  keyFingerprint,
});

/** A piece of evidence that the ledger has yet to decide on. */
export interface UnrecordedEvidence {
  id: string;
  kind: EvidenceKind;
  bytes: Buffer;
  charset: string;
  /** Of an answer: which question brought it; null: not known. */
  askedBy: string | null;
}

/** Evidence about a payment that is not recorded yet, oldest first. */
export function findUnrecorded(db: Database, outTradeNo: string): Promise<UnrecordedEvidence[]> {
  return rows(
    db,
    `SELECT id, kind, body AS bytes, charset, asked_by AS "askedBy" FROM :schema:.evidence
     WHERE out_trade_no = :outTradeNo AND ${UNRECORDED_BY_KEY} ORDER BY id`,
    { outTradeNo },
  );
}

/** Whether evidence about any of these payments, other than `except`, is not recorded yet. */
export function owesEvidence(
  db: Database,
  outTradeNos: readonly string[],
  except?: string,
): Promise<boolean> {
  return hasRow(
    db,
    `SELECT 1 AS found FROM :schema:.evidence
     WHERE out_trade_no = ANY(:outTradeNos) AND ${UNRECORDED_BY_KEY} AND id <> CAST(:except AS bigint) LIMIT 1`,
    { outTradeNos, except: except ?? '0' },
  );
}

/** Call it in the transaction that takes the evidence into account. */
export async function markRecorded(trx: Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await rows(
    trx,
    `UPDATE :schema:.evidence SET recorded_at = now() WHERE id = ANY(CAST(:ids AS bigint[])) AND ${UNRECORDED_BY_KEY}`,
    { ids },
  );
}

/**
 * Removes bodies and signatures from recorded evidence older than `olderThanMs`, at most `limit` pieces, and from rows
 * of `payments` what they proved, once none of its evidence is left; a stub of each stays. What is not recorded is
 * never pruned. Returns how many pieces were.
 */
export async function pruneEvidence(
  db: Database,
  { olderThanMs, limit }: { olderThanMs: number; limit: number },
): Promise<number> {
  const { count } = await oneRow<{ count: number }>(
    db,
    `WITH due AS (
       SELECT id FROM :schema:.evidence
       WHERE recorded_at IS NOT NULL AND pruned_at IS NULL
         AND received_at <= now() - :olderThanMs * interval '1 millisecond'
       ORDER BY received_at LIMIT :limit FOR UPDATE SKIP LOCKED
     ), pruned AS (
       UPDATE :schema:.evidence e SET body = NULL, signature = NULL, pruned_at = now()
       FROM due WHERE e.id = due.id RETURNING e.out_trade_no
     ), emptied AS (
       UPDATE :schema:.payments p SET callback_content = NULL
       WHERE p.out_trade_no IN (SELECT out_trade_no FROM pruned) AND p.callback_content IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM :schema:.evidence kept WHERE kept.out_trade_no = p.out_trade_no
           AND kept.pruned_at IS NULL AND kept.id NOT IN (SELECT id FROM due))
     )
     SELECT CAST(count(*) AS integer) AS count FROM pruned`,
    { olderThanMs, limit },
  );
  return count;
}
