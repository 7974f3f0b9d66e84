import { isItself } from '../activities/alipay/key';
import { reportOf } from '../activities/audit';
import type { ProofAudit, ProofOptions } from '../activities/proofs';
import { auditProofs } from '../activities/proofs';
import type { StoredKey } from '../db/alipay-keys';
import { listKeys } from '../db/alipay-keys';
import type { AuditOptions, KeptEvidence, Violation } from '../db/audit';
import { auditBooks, findEvidence } from '../db/audit';
import type { AuditReport } from '../workflows/messages';
import type { ClientDependencies } from './dependencies';
import { explained } from './dependencies';
import { parseOutTradeNo } from './input';

/** What an audit of the tables has found. */
export interface AuditResult extends AuditReport {
  /** Grouped by check, oldest first. */
  found: Violation[];
}

/** What proves a payment to a third party. It holds the buyer's data. */
export interface Proofs {
  /** Oldest first; a pruned piece is a stub. */
  evidence: KeptEvidence[];
  /** The keys that verify it, the configured ones first. */
  keys: StoredKey[];
}

/** Audits of the books and of their evidence. They change no payment. */
export type Audits = ReturnType<typeof auditsOf>;

export const auditsOf = ({ db, alipay }: Pick<ClientDependencies, 'db' | 'alipay'>) => ({
  /**
   * Checks the tables against the rules of the ledger now, in one snapshot; all orders by default. Stores what it finds
   * for the metrics, as a scheduled audit does.
   */
  run: (options: AuditOptions = {}): Promise<AuditResult> =>
    explained(async () => {
      const audit = await auditBooks(db, { whole: true, ...options });
      return { ...reportOf(audit), found: audit.found };
    }),
  /** Verifies again what Alipay signed for each payment that counts as paid, and compares the row with it. */
  evidence: (options?: ProofOptions): Promise<ProofAudit> =>
    explained(() => auditProofs(db, alipay.keys, options)),
  /**
   * The evidence stored for one payment, and Alipay's keys.
   *
   * @throws PaymentError INVALID_INPUT
   */
  proofs: (outTradeNo: string): Promise<Proofs> =>
    explained(async () => ({
      evidence: await findEvidence(db, parseOutTradeNo(outTradeNo)),
      keys: [...alipay.keys, ...(await listKeys(db)).filter(isItself)],
    })),
});
