import { Command, InvalidArgumentError } from 'commander';
import { PaymentError } from '../workflows/errors';
import type { TaskQueue } from '../workflows/messages';
import { readConfig } from './config';
import { createLogger } from './log';
import { MOST_RUNS, runRehearsal } from './rehearsal';
import { installTelemetry } from './telemetry';
import { ALL_QUEUES, DEFAULT_QUEUES, runWorkers } from './worker';

function parseQueues(text: string): TaskQueue[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !(ALL_QUEUES as readonly string[]).includes(name));
  if (unknown.length > 0)
    throw new InvalidArgumentError(
      `No such queue: ${unknown.join(', ')}. There are ${ALL_QUEUES.join(', ')}.`,
    );
  return names as TaskQueue[];
}

async function main(): Promise<void> {
  const { queues, rehearse } = new Command('worker')
    .description('Serves the task queues until SIGTERM or SIGINT; settings come from the environment.')
    .option(
      '--queues <names>',
      `which of ${ALL_QUEUES.join(', ')}, by comma; order-service is the built-in one, for a shop without its own`,
      parseQueues,
      [...DEFAULT_QUEUES],
    )
    .option(
      '--rehearse',
      `only replay the runs under way with this build, ${MOST_RUNS} of them at most and reviews first; ends with 1 ` +
        'where one does not go on',
    )
    .addHelpText('after', '\nExamples:\n  npm run worker\n  npm run worker -- --queues alipay')
    .parse()
    .opts<{ queues: TaskQueue[]; rehearse?: true }>();
  const log = createLogger({ name: 'worker' });
  if (rehearse) {
    // Without metrics: their address is taken where a worker runs beside it.
    installTelemetry(log);
    process.exit((await runRehearsal({ log })) ? 0 : 1);
  }
  installTelemetry(log, readConfig(process.env, { needs: ['metrics'] }).metrics);
  await runWorkers({ queues, log });
  log.info('worker stopped');
}

main().catch((error: unknown) => {
  const text = error instanceof PaymentError ? `${error.code}: ${error.message}` : String(error);
  process.stderr.write(`the worker does not run: ${text}\n`);
  // The SDK's native runtime keeps the process alive by itself.
  process.exit(1);
});
