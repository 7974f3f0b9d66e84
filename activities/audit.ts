import type { Audit } from '../db/audit';
import { auditBooks } from '../db/audit';
import type { AuditReport, PaymentsQueueActivities } from '../workflows/messages';
import type { ActivityDependencies } from './dependencies';

/** What an audit found, in figures only, so it may be in history. */
export function reportOf({ orders, found, yuan, seconds }: Audit): AuditReport {
  const byCheck: Record<string, number> = {};
  for (const { name } of found) byCheck[name] = (byCheck[name] ?? 0) + 1;
  return { orders, violations: found.length, byCheck, yuan, seconds: Math.round(seconds * 1_000) / 1_000 };
}

export function createAuditActivities({
  db,
  log,
}: ActivityDependencies): Pick<PaymentsQueueActivities, 'auditTables'> {
  const told = (audit: Audit): AuditReport => {
    const report = reportOf(audit);
    const { violations, byCheck, yuan } = report;
    if (violations > 0)
      log.error(
        { code: 'BOOKS_DISAGREE', alert: true, violations, byCheck, yuan },
        'the books contradict themselves',
      );
    return report;
  };
  return {
    auditTables: async ({ whole }) => told(await auditBooks(db, { whole, onPart: told })),
  };
}
