import type { MetricMeter } from '@temporalio/common';
import { readBacklog } from '../db/backlog';
import type { Database } from '../db/connect';
import type { Logger } from './log';

const EVERY_MS = 15_000;

/** Measures what is waiting, every 15 s until the answer is called. Each worker sees the same: take the maximum. */
export function measureBacklog(meter: MetricMeter, db: Database, log: Logger): () => void {
  const gauge = (name: string, description: string) =>
    meter.createGauge(`durable_alipay_${name}`, 'float', undefined, description);
  const gauges = {
    oldestUnresolvedSeconds: gauge('oldest_unresolved_seconds', 'How long an expired order has been UNPAID'),
    oldestUndeliveredSeconds: gauge(
      'oldest_undelivered_seconds',
      'How long a message to the order service has stood undelivered',
    ),
    oldestRefundingSeconds: gauge('oldest_refunding_seconds', 'How long a refund has been under way'),
    inReview: gauge('payments_in_review', 'Payments that wait for a person'),
    unmatched: gauge(
      'unmatched_notifications',
      'Genuine notifications of payments that are not here, not dealt with yet',
    ),
  };
  const lastRead = gauge(
    'backlog_last_read_seconds',
    'Unix time at which the backlog was last read; 0: never yet',
  );
  lastRead.set(0);
  const measure = async (): Promise<void> => {
    try {
      const backlog = await readBacklog(db);
      for (const [name, value] of Object.entries(backlog))
        gauges[name as keyof typeof gauges].set(value as number);
      lastRead.set(Date.now() / 1_000);
    } catch (err) {
      log.warn({ err, code: 'BACKLOG_UNREAD' }, 'backlog not measured');
    }
  };
  void measure();
  const timer = setInterval(() => void measure(), EVERY_MS);
  return () => clearInterval(timer);
}
