import { constants } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import type { TaskQueue } from '../workflows/messages';
import type { Logger } from './log';
import { createLogger, inWords } from './log';
import { MOST_RUNS, runRehearsal } from './rehearsal';
import { installTelemetry } from './telemetry';
import { ALL_QUEUES, faultOfQueues, runWorkers } from './worker';

function parseQueues(text: string): TaskQueue[] {
  const names = text.split(',').map((name) => name.trim());
  const fault = faultOfQueues(names);
  if (fault !== undefined) throw new InvalidArgumentError(fault);
  return names as TaskQueue[];
}

/**
 * Makes these signals end the process until `callOff`: while it waits for what it needs, there is nothing to finish.
 * The SDK receives them too, but keeps them for workers that do not run yet; and process 1 of a container does not die
 * from a signal that it does not handle.
 */
function endBySignal(log: Logger): { callOff: () => void } {
  const signals = ['SIGINT', 'SIGTERM'] as const;
  const end = (signal: NodeJS.Signals): void => {
    log.info({ signal }, 'told to stop before it was ready');
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of signals) process.once(signal, end);
  return { callOff: () => signals.forEach((signal) => process.off(signal, end)) };
}

async function main(): Promise<void> {
  const { queues, rehearse } = new Command('durable-alipay worker')
    .description('Serves the task queues until SIGTERM or SIGINT; settings come from the environment.')
    .option(
      '--queues <names>',
      `which of ${ALL_QUEUES.join(', ')}, comma-separated; order-service posts to ORDER_SERVICE_URL, or is the built-in one without it`,
      parseQueues,
    )
    .option(
      '--rehearse',
      `only replay the running workflows with this build, ${MOST_RUNS} at most and reviews first; exits with 1 ` +
        'if one cannot continue',
    )
    // Reports errors and exits like the command line.
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'INVALID_INPUT:')) })
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .addHelpText('after', '\nExamples:\n  $ durable-alipay worker\n  $ durable-alipay worker --queues alipay')
    .parse()
    .opts<{ queues?: TaskQueue[]; rehearse?: true }>();
  const log = createLogger({ name: 'worker' });
  const { callOff } = endBySignal(log);
  if (rehearse) {
    // Without metrics: a worker that runs on the same machine already uses their address.
    installTelemetry(log);
    process.exit((await runRehearsal({ log })) ? 0 : 1);
  }
  await runWorkers({ log, onReady: callOff, ...(queues && { queues }) });
  log.info('worker stopped');
}

main().catch((error: unknown) => {
  process.stderr.write(`the worker does not run: ${inWords(error)}\n`);
  // The SDK's native runtime keeps the process alive by itself.
  process.exit(1);
});
