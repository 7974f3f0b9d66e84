import type { MetricMeter } from '@temporalio/common';
import { AUDIT_CHECKS, readAuditFigures } from '../db/audit';
import { readBacklog } from '../db/backlog';
import type { Database } from '../db/connect';
import type { Logger } from './log';

const EVERY_MS = 15_000;

/**
 * Measures what is waiting, every 15 s, until the returned function is called. Every worker with these merchants
 * reports the same: take the maximum.
 */
export function measureBacklog(
  meter: MetricMeter,
  { db, log, merchants }: { db: Database; log: Logger; merchants: readonly string[] },
): () => void {
  const gauge = (name: string, description: string) =>
    meter.createGauge(`durable_alipay_${name}`, 'float', undefined, description);
  const gauges = {
    oldestUnresolvedSeconds: gauge('oldest_unresolved_seconds', 'How long an expired order has been UNPAID'),
    oldestUndeliveredSeconds: gauge(
      'oldest_undelivered_seconds',
      'How long a message to the order service has been undelivered',
    ),
    oldestRefundingSeconds: gauge('oldest_refunding_seconds', 'How long a refund has been under way'),
    inReview: gauge('payments_in_review', 'Payments that wait for a person'),
    refundsInReview: gauge('refunds_in_review', 'Refunds that wait for a person'),
    braked: gauge('payments_braked', 'Payments whose refund REFUND_BRAKE has stopped'),
    paused: gauge('paused', 'Pauses in force: refunds or merchants that a person has paused'),
    unmatched: gauge(
      'unmatched_notifications',
      'Genuine notifications of payments unknown here, not resolved yet',
    ),
    openDiscrepancies: gauge(
      'bill_discrepancies_open',
      "Where Alipay's daily bills and the tables disagree, not settled yet",
    ),
    unreconciledDays: gauge(
      'bill_days_unreconciled',
      'Days of the last month on which money moved, but whose bill has not been compared',
    ),
    foundByAskingAlone: gauge(
      'payments_found_by_asking_alone',
      'Payments of this hour that were found by asking, while no notification came at all',
    ),
  };
  const audited = {
    violations: gauge('audit_violations', 'Where the books contradict themselves, by the check that says so'),
    yuan: gauge('audit_yuan_unexplained', 'Yuan that these leave unexplained'),
    age: gauge(
      'audit_age_seconds',
      'How long ago the books were last audited, or how long an audit of all orders has been due',
    ),
  };
  const measureAudit = async (): Promise<void> => {
    const { violations, yuan, ageSeconds } = await readAuditFigures(db);
    for (const { name: check } of AUDIT_CHECKS) audited.violations.set(violations[check] ?? 0, { check });
    audited.yuan.set(yuan);
    audited.age.set(ageSeconds);
  };
  const lastRead = gauge(
    'backlog_last_read_seconds',
    'Unix time at which the backlog was last read; 0: never yet',
  );
  lastRead.set(0);
  const measure = async (): Promise<void> => {
    try {
      const backlog = await readBacklog(db, merchants);
      for (const [name, value] of Object.entries(backlog))
        gauges[name as keyof typeof gauges].set(value as number);
      await measureAudit();
      lastRead.set(Date.now() / 1_000);
    } catch (err) {
      log.warn({ err, code: 'BACKLOG_UNREAD' }, 'backlog not measured');
    }
  };
  void measure();
  const timer = setInterval(() => void measure(), EVERY_MS);
  return () => clearInterval(timer);
}
