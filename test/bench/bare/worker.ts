import { Client } from '@temporalio/client';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker } from '@temporalio/worker';
import { createLogger } from '../../../worker/log';
import { installTelemetry } from '../../../worker/telemetry';
import { readTemporalConfig } from '../../../worker/temporal-config';
import { createBareActivities } from './activities';
import { BARE_QUEUES } from './names';

// Serves the bare workflows in its own process, with the worker options of worker/worker.ts.

async function main(): Promise<void> {
  installTelemetry(createLogger({ name: 'bare-worker' }));
  const { connectionOptions } = readTemporalConfig(process.env);
  const connection = await NativeConnection.connect(connectionOptions);
  const activities = createBareActivities(new Client({ connection }));
  const workflowBundle = await bundleWorkflowCode({
    workflowsPath: require.resolve('./workflows'),
    logger: new DefaultLogger('ERROR'),
  });
  const common = { connection, activities, shutdownGraceTime: '20 seconds' as const };
  const workflows = {
    ...common,
    workflowBundle,
    maxCachedWorkflows: 600,
    stickyQueueScheduleToStartTimeout: '2 seconds',
  } as const;
  const workers = await Promise.all([
    Worker.create({ ...workflows, taskQueue: BARE_QUEUES.payments }),
    Worker.create({ ...workflows, taskQueue: BARE_QUEUES.orderService }),
    Worker.create({
      ...common,
      taskQueue: BARE_QUEUES.alipay,
      maxConcurrentActivityTaskExecutions: 200,
    }),
  ]);
  await Promise.all(workers.map((worker) => worker.run()));
  await connection.close();
}

main().catch((error: unknown) => {
  process.stderr.write(`the bare worker does not run: ${String(error)}\n`);
  process.exit(1);
});
