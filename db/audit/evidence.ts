import type { Database } from '../connect';
import { rows, snapshot } from '../connect';
import type { EvidenceKind } from '../evidence';
import type { Payment } from '../payments';

/** A stored body to be verified again, or the stub of a pruned one. */
export interface KeptEvidence {
  /** A bigint, as a string. */
  id: string;
  kind: EvidenceKind;
  receivedAt: Date;
  charset: string;
  keyFingerprint: string;
  digest: Buffer;
  /** Null once pruned; so is the signature. */
  body: Buffer | null;
  signature: string | null;
}

/** What a row says and its evidence must prove. Amounts are yuan. */
export type ProvenRow = Pick<
  Payment,
  | 'outTradeNo'
  | 'orderId'
  | 'merchant'
  | 'status'
  | 'tradeNo'
  | 'totalAmount'
  | 'paidAmount'
  | 'acceptedAmount'
  | 'refundedAmount'
  | 'reviewReason'
> & { updatedAt: Date };

export interface PaymentEvidence {
  row: ProvenRow;
  /** Oldest first. */
  evidence: KeptEvidence[];
}

const EVIDENCE = `
  id, kind, received_at AS "receivedAt", charset, key_fingerprint AS "keyFingerprint", digest, body, signature`;

/** All stored evidence about a payment, oldest first. */
export function findEvidence(db: Database, outTradeNo: string): Promise<KeptEvidence[]> {
  return rows(db, `SELECT ${EVIDENCE} FROM :schema:.evidence WHERE out_trade_no = :outTradeNo ORDER BY id`, {
    outTradeNo,
  });
}

/** One page of the payments that Alipay took money for, after `after`, each with its evidence, as they are at one moment. */
export function readProofs(
  db: Database,
  { after, limit, settledMs }: { after: string; limit: number; settledMs: number },
): Promise<PaymentEvidence[]> {
  return snapshot(db, async (trx) => {
    const page = await rows<ProvenRow>(
      trx,
      `SELECT out_trade_no AS "outTradeNo", order_id AS "orderId", merchant, status, trade_no AS "tradeNo",
         total_amount AS "totalAmount", paid_amount AS "paidAmount", accepted_amount AS "acceptedAmount",
         refunded_amount AS "refundedAmount", review_reason AS "reviewReason", updated_at AS "updatedAt"
       FROM :schema:.payments
       WHERE out_trade_no > :after AND status IN ('PAID', 'REFUNDING', 'REFUNDED')
         AND updated_at <= now() - :settledMs * interval '1 millisecond'
       ORDER BY out_trade_no LIMIT :limit`,
      { after, limit, settledMs },
    );
    const found = await rows<KeptEvidence & { outTradeNo: string }>(
      trx,
      `SELECT out_trade_no AS "outTradeNo", ${EVIDENCE} FROM :schema:.evidence
       WHERE out_trade_no = ANY(:outTradeNos) ORDER BY id`,
      { outTradeNos: page.map(({ outTradeNo }) => outTradeNo) },
    );
    const payments = new Map(page.map((row) => [row.outTradeNo, { row, evidence: [] as KeptEvidence[] }]));
    for (const { outTradeNo, ...piece } of found) payments.get(outTradeNo)?.evidence.push(piece);
    return [...payments.values()];
  });
}
