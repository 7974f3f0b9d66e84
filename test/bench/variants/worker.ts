import { join } from 'node:path';
import { Client } from '@temporalio/client';
import type { WorkflowBundle } from '@temporalio/worker';
import { DefaultLogger, NativeConnection, Runtime, Worker, bundleWorkflowCode } from '@temporalio/worker';
import { openGateway } from '../../../activities/alipay/open';
import { createMetrics } from '../../../activities/metrics';
import { openDatabase } from '../../../db/connect';
import { readConfig } from '../../../worker/config';
import { measureBacklog } from '../../../worker/gauges';
import { createLogger } from '../../../worker/log';
import { installTelemetry } from '../../../worker/telemetry';
import { readTemporalConfig } from '../../../worker/temporal-config';
import { createWorkers } from '../../../worker/worker';
import type { Variant } from './names';
import { ASKING_QUEUE } from './names';
import { createRetriesActivities } from './retries-activities';

// The application's worker with other workflows, in a process of its own: activities, options and settings are its own.

/** As in worker/worker.ts. */
const DATABASE_CONNECTIONS = 20;
const ASKING_AT_ONCE = 200;

const logger = new DefaultLogger('ERROR');
const NORMAL_PROXIES = join(__dirname, 'normal-proxies');

const BUNDLES: Record<Variant, () => Promise<WorkflowBundle>> = {
  normal: () =>
    bundleWorkflowCode({
      workflowsPath: require.resolve('../../../workflows'),
      logger,
      webpackConfigHook: (config) => ({
        ...config,
        plugins: [
          ...(config.plugins ?? []),
          {
            apply(compiler) {
              compiler.hooks.normalModuleFactory.tap('variant', ({ hooks }) => {
                hooks.beforeResolve.tap('variant', (module) => {
                  if (module.request === './proxies') module.request = NORMAL_PROXIES;
                });
              });
            },
          },
        ],
      }),
    }),
  retries: () => bundleWorkflowCode({ workflowsPath: require.resolve('./retries'), logger }),
};

async function main(): Promise<void> {
  const variant = process.argv[2] as Variant;
  const log = createLogger({ name: `${variant}-worker` });
  installTelemetry(log);
  const config = readConfig(process.env, { needs: ['database', 'alipay', 'payments', 'sweep', 'log'] });
  const { connectionOptions, namespace = 'default' } = readTemporalConfig(process.env);
  const db = openDatabase({ ...config.database, maxConnections: DATABASE_CONNECTIONS });
  const meter = Runtime.instance().metricMeter;
  const metrics = createMetrics(meter);
  const connection = await NativeConnection.connect(connectionOptions);
  const { latePaymentPolicy, closeMarginMs } = config.payments;
  const deps = {
    db,
    alipay: openGateway(db, config.alipay, metrics.gatewayCall),
    temporal: new Client({ connection, namespace }),
    log,
    metrics,
    latePaymentPolicy,
    closeMarginMs,
  };
  const workers = await createWorkers({
    connection,
    namespace,
    deps,
    workflowBundle: await BUNDLES[variant](),
  });
  if (variant === 'retries') {
    workers.push(
      await Worker.create({
        connection,
        namespace,
        taskQueue: ASKING_QUEUE,
        activities: createRetriesActivities(deps),
        maxConcurrentActivityTaskExecutions: ASKING_AT_ONCE,
        shutdownGraceTime: '20 seconds',
      }),
    );
  }
  const stopMeasuring = measureBacklog(meter, db, log);
  await Promise.all(workers.map((worker) => worker.run())).finally(stopMeasuring);
  await connection.close();
  await db.destroy();
}

main().catch((error: unknown) => {
  process.stderr.write(`the variant's worker does not run: ${String(error)}\n`);
  process.exit(1);
});
