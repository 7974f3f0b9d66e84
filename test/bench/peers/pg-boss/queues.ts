import { createHash } from 'node:crypto';
import PgBoss from 'pg-boss';
import type { ClientBase } from 'pg';
import type { PaymentResult } from '../../../../workflows/messages';
import { CALL_MS } from '../work';

export const QUEUES = { checks: 'checks', orders: 'orders' } as const;

/** A job of queue `checks`: one check of one payment. */
export interface Check {
  outTradeNo: string;
  check: number;
}

export type Told = PaymentResult;

/** How often a worker polls for due jobs: the shortest interval that pg-boss permits, for punctual checks. */
const POLL_SECONDS = 0.5;

/** Two workers of fifty jobs: as many concurrent checks as a Temporal worker runs local activities. */
export const CHECK_WORKERS = 2;
export const CHECKING = { batchSize: 50, pollingIntervalSeconds: POLL_SECONDS, priority: false } as const;
export const TELLING = { batchSize: 50, pollingIntervalSeconds: POLL_SECONDS, priority: false } as const;

/**
 * A dead process's job is given back only when it expires, which maintenance looks for. The job must not expire while a
 * healthy process waits for Alipay: twice the deadline of one call, to leave the database its time too. Defaults: 15
 * and 2 minutes.
 */
const EXPIRE_SECONDS = (2 * CALL_MS) / 1_000;
const MAINTENANCE_SECONDS = 5;

/** pg-boss on the application's own database: jobs commit with the rows they belong to. */
export function createBoss(databaseUrl: string, { worker }: { worker: boolean }): PgBoss {
  const boss = new PgBoss({
    connectionString: databaseUrl,
    supervise: worker,
    migrate: worker,
    schedule: false,
    maintenanceIntervalSeconds: MAINTENANCE_SECONDS,
  });
  boss.on('error', (error) => void process.stderr.write(`pg-boss: ${error.message}\n`));
  return boss;
}

/** At most one waiting check per payment (policy `short`); a failed job is retried with growing delays. */
export async function createQueues(boss: PgBoss): Promise<void> {
  const retries = { retryLimit: 10, retryDelay: 1, retryBackoff: true, expireInSeconds: EXPIRE_SECONDS };
  await boss.createQueue(QUEUES.checks, { name: QUEUES.checks, policy: 'short', ...retries });
  await boss.createQueue(QUEUES.orders, { name: QUEUES.orders, policy: 'short', ...retries });
}

/** Sends a check that is due at a given time. */
export async function sendCheck(
  boss: PgBoss,
  connection: ClientBase,
  check: Check,
  dueAt: Date,
): Promise<void> {
  await boss.send(QUEUES.checks, check, {
    id: checkId(check),
    startAfter: dueAt,
    singletonKey: check.outTradeNo,
    db: through(connection),
  });
}

/** A UUID with which a check can be cancelled. */
export const checkId = ({ outTradeNo, check }: Check): string =>
  createHash('md5').update(`${outTradeNo}/${check}`).digest('hex');

/** Runs pg-boss' own statements on another connection. */
export const through = (connection: ClientBase): PgBoss.Db => ({
  executeSql: (text, values) => connection.query<Record<string, unknown>>(text, values),
});
