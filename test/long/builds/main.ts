import { ALL_QUEUES, runWorkers } from '../../../worker/worker';

/** `durable-alipay worker` of another build: the argument is its bundled workflow code, the rest is environment. */
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
