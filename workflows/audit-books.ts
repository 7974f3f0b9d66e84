import { setCurrentDetails } from '@temporalio/workflow';
import { fieldsOf, requireInput } from './failures';
import { auditInWords } from './in-words';
import type { AuditBooksInput, AuditReport } from './messages';
import { auditOnce } from './proxies';

/**
 * Holds the tables against the rules of the ledger, in one snapshot. It changes no payment: what it finds is for a person.
 *
 * Fails with INVALID_INPUT, or where the tables cannot be read; the next one looks at the same again.
 */
export async function auditBooks(input?: AuditBooksInput): Promise<AuditReport> {
  const { whole = false } = fieldsOf(input);
  requireInput(typeof whole === 'boolean', 'whole: true or false');
  const report = await auditOnce.auditTables({ whole });
  setCurrentDetails(auditInWords(report));
  return report;
}
