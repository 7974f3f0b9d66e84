import { createLogger } from '../../../worker/log';
import { installTelemetry } from '../../../worker/telemetry';
import { ALL_QUEUES, runWorkers } from '../../../worker/worker';
import type { BundleName } from '.';
import { BUNDLES } from '.';

/** `npm run worker` of another build: its name is the argument, all else comes from the environment. */
async function main(): Promise<void> {
  const log = createLogger({ name: 'worker' });
  const address = process.env['METRICS_ADDRESS'];
  installTelemetry(log, address === undefined ? {} : { address });
  await runWorkers({
    queues: ALL_QUEUES,
    log,
    workflowBundle: await BUNDLES[process.argv[2] as BundleName](),
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
