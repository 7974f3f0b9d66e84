import { setCurrentDetails } from '@temporalio/workflow';
import { fieldsOf, requireInput } from './failures';
import { auditInWords } from './in-words';
import type { AuditBooksInput, AuditReport } from './messages';
import { auditOnce } from './proxies';

/**
 * Checks the tables against the ledger's rules, in one snapshot. It changes no payment: its findings are for a person.
 *
 * Fails with INVALID_INPUT, or if the tables cannot be read; the next audit then covers the same orders.
 */
export async function auditBooks(input?: AuditBooksInput): Promise<AuditReport> {
  const { whole = false } = fieldsOf(input);
  requireInput(typeof whole === 'boolean', 'whole: true or false');
  const report = await auditOnce.auditTables({ whole });
  setCurrentDetails(auditInWords(report));
  return report;
}
