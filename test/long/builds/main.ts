import { ALL_QUEUES, runWorkers } from '../../../worker/worker';

/** `durable-alipay worker` of another build: its bundled workflow code is the argument, all else comes from the environment. */
async function main(): Promise<void> {
  await runWorkers({
    queues: ALL_QUEUES,
    workflowBundle: { codePath: process.argv[2] ?? '' },
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
