import { createHash } from 'node:crypto';
import type { KeptEvidence, PaymentEvidence, ProvenRow } from '../db/audit';
import { readProofs } from '../db/audit';
import { listKeys } from '../db/alipay-keys';
import type { StoredKey } from '../db/alipay-keys';
import type { Database } from '../db/connect';
import { readFen, toFen, toYuan } from '../db/money';
import { AlipayKey, isItself } from './alipay/key';
import { meaningOf, notificationOf } from './alipay/notification';
import { readSignedFields } from './alipay/signed-body';

/** How a payment's row and what Alipay signed can disagree. */
export const PROOF_FAULTS = {
  'signature-wrong': 'Alipay has not signed these bytes: the body or its signature was changed.',
  'digest-wrong': 'The body and its digest differ: one of them was changed.',
  'key-unknown':
    "It names a key that is not in the settings. If it was Alipay's, say so: --trust <fingerprint>.",
  'other-payment': 'Alipay signed it for another payment.',
  'other-merchant': 'Alipay signed it for another merchant.',
  'payment-unproven': 'Nothing that Alipay signed says that it was paid.',
  'amount-differs': 'Alipay signed a different amount from the row.',
  'trade-differs': 'Alipay signed a different trade number from the row.',
  'refund-unproven': 'The row says that more was refunded than Alipay signed.',
} as const;

type ProofFaultName = keyof typeof PROOF_FAULTS;

interface ProofFault {
  fault: ProofFaultName;
  outTradeNo: string;
  orderId: string;
  /** The piece of evidence; null if the fault is in the row. A bigint, as a string. */
  evidenceId: string | null;
  /** What is there, and what should be; nothing about the buyer. */
  says: string;
  since: Date;
}

export interface ProofAudit {
  /** PAID, REFUNDING or REFUNDED. */
  payments: number;
  proven: number;
  /** How many cannot be judged, because their evidence was pruned. Not a fault. */
  unprovable: number;
  faults: ProofFault[];
  /** Fingerprints of the keys that counted. */
  keys: string[];
}

export interface ProofOptions {
  /** Fingerprints of stored keys that are no longer in the settings, and that a person knows to be Alipay's. */
  trust?: readonly string[] | undefined;
  /** How old a row's last change must be, ms. Default ten minutes. */
  settledMs?: number | undefined;
}

const PAGE = 1_000;

/** Verifies again what proves each payment that counts as paid, and compares the row with it. It writes nothing. */
export async function auditProofs(
  db: Database,
  settings: readonly StoredKey[],
  { trust = [], settledMs = 600_000 }: ProofOptions = {},
): Promise<ProofAudit> {
  const kept = (await listKeys(db)).filter((key) => trust.includes(key.fingerprint) && isItself(key));
  const keys = new Map(
    [...kept, ...settings]
      .map(({ publicKey }) => new AlipayKey(publicKey))
      .map((key) => [key.fingerprint, key]),
  );
  const audit: ProofAudit = { payments: 0, proven: 0, unprovable: 0, faults: [], keys: [...keys.keys()] };
  for (let after = ''; ;) {
    const page = await readProofs(db, { after, limit: PAGE, settledMs });
    for (const payment of page) {
      const { faults, isUnprovable } = proveRow(payment, keys);
      audit.payments += 1;
      if (faults.length > 0) audit.faults.push(...faults);
      else if (isUnprovable) audit.unprovable += 1;
      else audit.proven += 1;
    }
    const last = page.at(-1);
    if (!last || page.length < PAGE) return audit;
    after = last.row.outTradeNo;
  }
}

type Find = (fault: ProofFaultName, evidenceId: string | null, says?: string) => void;

/** Compares one row with its evidence. */
function proveRow(
  { row, evidence }: PaymentEvidence,
  keys: ReadonlyMap<string, AlipayKey>,
): { faults: ProofFault[]; isUnprovable: boolean } {
  const { outTradeNo, orderId, updatedAt: since } = row;
  const faults: ProofFault[] = [];
  const find: Find = (fault, evidenceId, says = '') =>
    faults.push({ fault, outTradeNo, orderId, evidenceId, says, since });
  const words = evidence.flatMap((piece) => genuineWord(row, piece, keys, find) ?? []);
  const isPruned = evidence.some(({ body }) => body === null);
  const unproven: Find = (fault, id, says) => {
    if (!isPruned) find(fault, id, says);
  };

  const paid = words.filter(
    ({ meaning, wasPaid }) => meaning === 'paid' || (meaning === 'closed' && wasPaid),
  );
  if (paid.length === 0) unproven('payment-unproven', null, row.status);
  else holdAmount(row, paid, find);
  const back = refundsProven(words, toFen(row.paidAmount ?? row.totalAmount));
  if (toFen(row.refundedAmount) > back)
    unproven('refund-unproven', null, `${row.refundedAmount}, signed: ${toYuan(back)}`);
  return { faults, isUnprovable: isPruned && (paid.length === 0 || toFen(row.refundedAmount) > back) };
}

/** What a genuine body says. */
interface GenuineWord {
  id: string;
  meaning: 'paid' | 'closed' | 'nothing';
  wasPaid: boolean;
  tradeNo: string | null;
  total: number | undefined;
  fields: Record<string, string>;
}

/** Undefined if it says nothing that counts. */
function genuineWord(
  { outTradeNo, merchant }: ProvenRow,
  { id, kind, body, signature, digest, charset, keyFingerprint }: KeptEvidence,
  keys: ReadonlyMap<string, AlipayKey>,
  find: Find,
): GenuineWord | undefined {
  if (body === null || signature === null) return undefined;
  const key = keys.get(keyFingerprint);
  if (!key) {
    find('key-unknown', id, keyFingerprint);
    return undefined;
  }
  if (!key.verify(body, signature, charset)) {
    find('signature-wrong', id);
    return undefined;
  }
  if (!createHash('sha256').update(body).digest().equals(digest)) find('digest-wrong', id);
  const fields = fieldsOf(kind, body, charset);
  const { out_trade_no: of, app_id: appId, seller_id: sellerId } = fields;
  // An answer about a refund was requested by this trade's number; some answers do not repeat it.
  if (of !== outTradeNo && !(kind === 'refund' && of === undefined)) {
    find('other-payment', id, of ?? 'none');
    return undefined;
  }
  if (merchant !== null && kind === 'notification' && `${appId}/${sellerId}` !== merchant) {
    find('other-merchant', id, `${appId}/${sellerId}`);
    return undefined;
  }
  const said = notificationOf(fields);
  const { tradeNo } = said;
  const wasPaid =
    said.paidAt !== null || fields['send_pay_date'] !== undefined || said.refundedAmount !== undefined;
  return { id, meaning: meaningOf(said), wasPaid, tradeNo, total: readFen(said.totalAmount), fields };
}

/** A genuine body that cannot be read says nothing. */
function fieldsOf(kind: KeptEvidence['kind'], body: Buffer, charset: string): Record<string, string> {
  try {
    return readSignedFields(kind === 'notification' ? kind : 'answer', body, charset);
  } catch {
    return {};
  }
}

function holdAmount(row: ProvenRow, paid: readonly GenuineWord[], find: Find): void {
  const { paidAmount, acceptedAmount, totalAmount, tradeNo, status, reviewReason } = row;
  const amounts = new Set(paid.flatMap(({ total }) => total ?? []));
  const signed = [...amounts].map(toYuan).join(', ');
  // While a person reviews it, and after a refund, the amount may differ from what was asked for.
  const isAsked = status === 'PAID' && reviewReason === null;
  const asked = isAsked ? (acceptedAmount ?? totalAmount) : undefined;
  for (const amount of new Set([paidAmount ?? totalAmount, asked ?? paidAmount ?? totalAmount])) {
    if (!amounts.has(toFen(amount))) find('amount-differs', null, `${amount}, signed: ${signed}`);
  }
  const named = paid.flatMap((word) => word.tradeNo ?? []);
  if (tradeNo !== null && named.length > 0 && !named.includes(tradeNo))
    find('trade-differs', null, `${tradeNo}, signed: ${named[0]}`);
}

/**
 * What went back according to what Alipay signed, fen: the highest sum that it reports for the trade, or what it proves refund by
 * refund. The first refund is proven by the answer to it, which names no number; every other one by its query, which does.
 */
function refundsProven(words: readonly GenuineWord[], taken: number): number {
  const named = new Map<string, number>();
  let told = 0;
  let first = 0;
  for (const { id, meaning, wasPaid, fields } of words) {
    const fee = readFen(fields['refund_fee']) ?? 0;
    // A trade that was paid is closed only after all of the money has gone back.
    if (meaning === 'closed' && wasPaid) told = Math.max(told, taken);
    if (meaning !== 'nothing') told = Math.max(told, fee);
    if (fields['fund_change'] === 'Y') first = Math.max(first, fee);
    if (fields['refund_status'] === 'REFUND_SUCCESS')
      named.set(fields['out_request_no'] ?? id, readFen(fields['refund_amount']) ?? 0);
  }
  return Math.max(
    told,
    [...named.values()].reduce((sum, amount) => sum + amount, first),
  );
}
