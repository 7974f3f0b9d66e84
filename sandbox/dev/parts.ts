import type { Client } from '@temporalio/client';
import { TASK_QUEUES } from '../../workflows/messages';
import { ROOT } from './cache';
import { PLACES } from './places';
import { assertFree } from './ports';
import { startService, untilReady } from './services';
import type { Service } from './services';
import { howToChoose, PORTS } from './settings';
import type { Settings } from './settings';
import type { Part } from './supervisor';

/** The processes of the application and the sandbox, each as `npm run <name>` starts it, in the order of their start. */
export function applicationParts(settings: Settings, env: NodeJS.ProcessEnv, temporal: Client): Part[] {
  const { ports, external } = settings;
  const sandbox: Part = {
    name: 'sandbox',
    start: () => listening('sandbox', 'sandbox/main.ts', env, 'sandbox', ports.sandbox),
  };
  const worker: Part = { name: 'worker', start: () => startWorker(env, temporal) };
  const server: Part = {
    name: 'server',
    // One METRICS_ADDRESS cannot be two processes': it is the worker's.
    start: () =>
      listening('server', 'client/server.ts', { ...env, METRICS_ADDRESS: undefined }, 'server', ports.server),
  };
  return [...(external.gateway ? [] : [sandbox]), worker, server];
}

async function listening(
  name: string,
  file: string,
  env: NodeJS.ProcessEnv,
  port: 'sandbox' | 'server',
  number: number,
): Promise<Service> {
  await assertFree(number, PORTS[port].what, howToChoose(port));
  const service = await run(name, file, env);
  await untilReady(service, async () => {
    const response = await fetch(`http://127.0.0.1:${number}/healthz`, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
  });
  return service;
}

/** A worker has no port: it is ready when the server has seen it ask for work. */
async function startWorker(env: NodeJS.ProcessEnv, temporal: Client): Promise<Service> {
  const started = Date.now();
  // The demo has no order service of its own.
  const queues = Object.values(TASK_QUEUES).join();
  const service = await run('worker', 'worker/main.ts', env, ['--queues', queues]);
  await untilReady(service, async () => {
    const { pollers } = await temporal.workflowService.describeTaskQueue({
      namespace: temporal.options.namespace,
      taskQueue: { name: TASK_QUEUES.payments },
    });
    const seen = pollers.some(
      ({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 >= started - 1000,
    );
    if (!seen) throw new Error('no poller yet');
  });
  return service;
}

function run(name: string, file: string, env: NodeJS.ProcessEnv, args: string[] = []): Promise<Service> {
  return startService({
    name,
    command: process.execPath,
    args: ['--import', 'tsx', file, ...args],
    cwd: ROOT,
    env,
    logFile: PLACES.log(name),
    // A worker finishes the tasks it has begun.
    graceMs: 20_000,
  });
}
