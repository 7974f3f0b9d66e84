import type { ClientBase } from 'pg';
import type PgBoss from 'pg-boss';
import type { PaymentResult } from '../../../../workflows/messages';
import { hearNotifications } from '../hear';
import type { Means } from '../open-work';
import { openMeans } from '../open-work';
import type { Genuine } from '../work';
import { act, ask, CHECKS, connectionOf, record, recordNotified } from '../work';
import type { Check, Told } from './queues';
import {
  CHECK_WORKERS,
  CHECKING,
  QUEUES,
  TELLING,
  checkId,
  createBoss,
  createQueues,
  sendCheck,
  through,
} from './queues';

// The peer's worker process: both queues, until it is told to stop.

/**
 * One check. What it finds, the next job and the end of this one are one transaction: only the query to Alipay may be
 * repeated after a crash.
 */
async function check({ db, alipay, intervalMs }: Means, boss: PgBoss, job: PgBoss.Job<Check>): Promise<void> {
  const { outTradeNo, check: number } = job.data;
  const asked = await ask({ db, alipay }, outTradeNo);
  await db.transaction(async (trx) => {
    const connection = await connectionOf(trx);
    if (asked !== 'settled') {
      const messages = await record(trx, { outTradeNo, check: number }, asked);
      await sendMessages(boss, connection, messages);
      if (asked.answer !== 'paid' && number < CHECKS) {
        const dueAt = new Date(Date.now() + intervalMs);
        await sendCheck(boss, connection, { outTradeNo, check: number + 1 }, dueAt);
      }
    }
    await boss.complete(QUEUES.checks, job.id, {}, { db: through(connection) });
  });
}

/** A notification: what it proves, the next job and the end of the waiting check are one transaction. */
async function take({ db }: Means, boss: PgBoss, genuine: Genuine): Promise<void> {
  await db.transaction(async (trx) => {
    const { waiting, messages } = await recordNotified(trx, genuine);
    const connection = await connectionOf(trx);
    await sendMessages(boss, connection, messages);
    const { outTradeNo } = genuine.notification;
    await boss.cancel(QUEUES.checks, checkId({ outTradeNo, check: waiting }), { db: through(connection) });
  });
}

async function sendMessages(boss: PgBoss, connection: ClientBase, messages: PaymentResult[]): Promise<void> {
  for (const message of messages) {
    await boss.send(QUEUES.orders, message, { singletonKey: message.messageId, db: through(connection) });
  }
}

async function tell({ db }: Means, boss: PgBoss, job: PgBoss.Job<Told>): Promise<void> {
  await db.transaction(async (trx) => {
    await act(trx, job.data);
    await boss.complete(QUEUES.orders, job.id, {}, { db: through(await connectionOf(trx)) });
  });
}

/** Jobs come in batches that pg-boss completes or fails as one; here each job succeeds or fails on its own. */
function each<Data>(boss: PgBoss, queue: string, handle: (job: PgBoss.Job<Data>) => Promise<void>) {
  return async (jobs: PgBoss.Job<Data>[]): Promise<void> => {
    await Promise.all(
      jobs.map((job) =>
        handle(job).catch((error: unknown) => boss.fail(queue, job.id, { message: String(error) })),
      ),
    );
  };
}

async function main(): Promise<void> {
  const means = openMeans(process.env);
  const boss = createBoss(means.databaseUrl, { worker: true });
  await boss.start();
  await createQueues(boss);
  for (let worker = 0; worker < CHECK_WORKERS; worker += 1) {
    await boss.work<Check>(
      QUEUES.checks,
      CHECKING,
      each<Check>(boss, QUEUES.checks, (job) => check(means, boss, job)),
    );
  }
  await boss.work<Told>(
    QUEUES.orders,
    TELLING,
    each<Told>(boss, QUEUES.orders, (job) => tell(means, boss, job)),
  );
  await hearNotifications(means, (genuine) => take(means, boss, genuine));
  process.once('SIGTERM', () => {
    void boss
      .stop({ graceful: true, wait: true, timeout: 10_000 })
      .then(() => means.db.destroy())
      .then(() => process.exit(0));
  });
  process.stdout.write('ready\n');
}

main().catch((error: unknown) => {
  process.stderr.write(`the worker on pg-boss does not run: ${String(error)}\n`);
  process.exit(1);
});
