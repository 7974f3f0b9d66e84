import { Command, InvalidArgumentError } from 'commander';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { PaymentError } from '../workflows/errors';
import type { TaskQueue } from '../workflows/messages';
import { createLogger } from './log';
import type { Logger } from './log';
import { ALL_QUEUES, runWorkers } from './worker';

function parseQueues(text: string): TaskQueue[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !(ALL_QUEUES as readonly string[]).includes(name));
  if (unknown.length > 0)
    throw new InvalidArgumentError(
      `No such queue: ${unknown.join(', ')}. There are ${ALL_QUEUES.join(', ')}.`,
    );
  return names as TaskQueue[];
}

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** The SDK's lines, workflows' own among them, go where all others go. */
function installRuntime(log: Logger): void {
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => log[LEVELS[level]](meta ?? {}, message)),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } } },
  });
}

async function main(): Promise<void> {
  const { queues } = new Command('worker')
    .description('Serves the task queues until SIGTERM or SIGINT; settings come from the environment.')
    .option('--queues <names>', `which queues, by comma`, parseQueues, [...ALL_QUEUES])
    .addHelpText('after', '\nExamples:\n  npm run worker\n  npm run worker -- --queues payments,alipay')
    .parse()
    .opts<{ queues: TaskQueue[] }>();
  const log = createLogger({ name: 'worker' });
  installRuntime(log);
  await runWorkers({ queues, log });
  log.info('worker stopped');
}

main().catch((error: unknown) => {
  const text = error instanceof PaymentError ? `${error.code}: ${error.message}` : String(error);
  process.stderr.write(`the worker does not run: ${text}\n`);
  process.exitCode = 1;
});
