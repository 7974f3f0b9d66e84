import './clock';
import './failpoints';
import { runWorkers } from '../../worker';
import type { TaskQueue } from '../../workflows/messages';

// A worker as `npm run worker` starts it, except for its workflow code, which was bundled before, and what breaks it.

const [, , , queues = ''] = process.argv;

runWorkers({
  queues: queues.split(',') as TaskQueue[],
  workflowBundle: { codePath: process.env['CHAOS_BUNDLE'] ?? '' },
}).catch((error: unknown) => {
  process.stderr.write(`the worker does not run: ${String(error)}\n`);
  // The SDK's native runtime keeps the process alive by itself.
  process.exit(1);
});
