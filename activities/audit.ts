import type { Audit } from '../db/audit';
import { auditBooks } from '../db/audit';
import type { AuditBooksInput, AuditReport } from '../workflows/messages';
import type { ActivityDependencies } from './dependencies';

/** What an audit found, in figures: it may be in history. */
export function reportOf({ orders, found, yuan, seconds }: Audit): AuditReport {
  const byCheck: Record<string, number> = {};
  for (const { name } of found) byCheck[name] = (byCheck[name] ?? 0) + 1;
  return { orders, violations: found.length, byCheck, yuan, seconds: Math.round(seconds * 1_000) / 1_000 };
}

export function createAuditActivities({ db, log }: ActivityDependencies) {
  return {
    /** Holds the tables against the rules of the ledger, and writes down what it finds. Safe to repeat. */
    async auditTables(options: AuditBooksInput): Promise<AuditReport> {
      const report = reportOf(await auditBooks(db, options));
      const { violations, byCheck, yuan } = report;
      if (violations > 0)
        log.error(
          { code: 'BOOKS_DISAGREE', alert: true, violations, byCheck, yuan },
          'the books contradict themselves',
        );
      return report;
    },
  };
}
