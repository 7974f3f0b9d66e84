import { DBOS } from '@dbos-inc/dbos-sdk';
import type { PaymentResult } from '../../../../workflows/messages';
import { hearNotifications } from '../hear';
import type { Means } from '../open-work';
import { openMeans } from '../open-work';
import type { Asked, Genuine } from '../work';
import { act, ask, CHECKS, CONNECTIONS, record, recordNotified, undelivered } from '../work';
import type { PaymentInput } from './names';
import { APPLICATION, QUEUE, SCHEMA, WORKFLOW, workflowId } from './names';

// The peer's worker process: takes payments from the queue, and runs each as a workflow until its end.

/** A failed step is retried after 1 s, 2 s, 4 s … */
const RETRIES = { retriesAllowed: true, maxAttempts: 10, intervalSeconds: 1, backoffRate: 2 } as const;

interface Found {
  answer: string;
  messages: PaymentResult[];
}

/**
 * One step: at least once. If the process died after the transaction and before DBOS recorded the step, the payment is
 * found settled, and what is not told yet is told now.
 */
async function checkOnce({ db, alipay }: Means, outTradeNo: string, check: number): Promise<Found> {
  const asked: Asked = await ask({ db, alipay }, outTradeNo);
  if (asked === 'settled') return { answer: asked, messages: await undelivered(db, outTradeNo) };
  const messages = await db.transaction((trx) => record(trx, { outTradeNo, check }, asked));
  return { answer: asked.answer, messages };
}

/** Registers the workflows. Returns what takes a notification, which Alipay may repeat until that succeeds. */
function register(means: Means): (genuine: Genuine) => Promise<void> {
  /** The order service, a workflow with the message's id: DBOS starts it once. */
  const fulfillOrder = DBOS.registerWorkflow(
    async (message: PaymentResult): Promise<void> => {
      await DBOS.runStep(() => means.db.transaction((trx) => act(trx, message)), { name: 'act', ...RETRIES });
    },
    { name: 'fulfillOrder' },
  );

  const tell = async (messages: PaymentResult[]): Promise<void> => {
    for (const message of messages) {
      await DBOS.startWorkflow(fulfillOrder, { workflowID: message.messageId })(message);
    }
  };

  DBOS.registerWorkflow(
    async ({ outTradeNo, intervalMs, checkedOutAt }: PaymentInput): Promise<string> => {
      let dueAt = checkedOutAt + intervalMs;
      for (let check = 1; check <= CHECKS; check += 1) {
        // A sleep is stored as the time at which it ends, so a run that restarts does not sleep again from the start.
        await DBOS.sleepms(Math.max(0, dueAt - Date.now()));
        const { answer, messages } = await DBOS.runStep(() => checkOnce(means, outTradeNo, check), {
          name: `check ${check}`,
          ...RETRIES,
        });
        await tell(messages);
        if (answer === 'paid' || answer === 'settled') return answer;
        dueAt = Date.now() + intervalMs;
      }
      return 'unconfirmed';
    },
    { name: WORKFLOW },
  );

  return async (genuine) => {
    const { messages } = await means.db.transaction((trx) => recordNotified(trx, genuine));
    await tell(messages);
    await DBOS.cancelWorkflow(workflowId(genuine.notification.outTradeNo));
  };
}

async function main(): Promise<void> {
  const means = openMeans(process.env);
  DBOS.setConfig({
    name: APPLICATION,
    systemDatabaseUrl: means.databaseUrl,
    systemDatabaseSchemaName: SCHEMA,
    systemDatabasePoolSize: CONNECTIONS,
    logLevel: 'warn',
  });
  const take = register(means);
  await DBOS.launch();
  // No concurrency limit: a sleeping workflow would take a slot of it.
  await DBOS.registerQueue(QUEUE);
  await hearNotifications(means, take);
  process.once('SIGTERM', () => {
    void DBOS.shutdown()
      .then(() => means.db.destroy())
      .then(() => process.exit(0));
  });
  process.stdout.write('ready\n');
}

main().catch((error: unknown) => {
  process.stderr.write(`the worker on DBOS does not run: ${String(error)}\n`);
  process.exit(1);
});
