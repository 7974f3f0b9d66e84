import { TASK_QUEUES } from '../../../workflows/messages';
import type { Chance } from '../chance';
import { BAD_BUILD } from '../history';
import type { Oddity, Worker, World } from '../world';
import type { Fault, Struck } from './fault';

/** Restarts a worker with an oddity, and at the end without it. */
async function odd(worker: Worker, oddity: Oddity, what: string): Promise<Struck> {
  const restartWith = async (next: Oddity): Promise<void> => {
    await worker.part.kill('SIGTERM');
    worker.oddity = next;
    await worker.part.start();
  };
  await restartWith(oddity);
  return { what: `${worker.part.name}, ${what}`, end: () => restartWith({}).then(() => 1) };
}

/** One that runs the payments' workflows. */
const workflowWorker = ({ parts }: World, chance: Chance): Worker =>
  chance.one(parts.workers.filter(({ queue }) => queue === TASK_QUEUES.payments));

/** Workers that differ from the others. */
export const ODDITIES: readonly Fault[] = [
  {
    name: "a worker's clock wrong",
    takes: ['workers'],
    seconds: [8, 20],
    strike: ({ parts }, chance) => {
      const minutes = chance.one([-10, 10] as const);
      return odd(
        chance.one(parts.workers),
        { CHAOS_CLOCK_MS: String(minutes * 60_000) },
        `${minutes} minutes`,
      );
    },
  },
  {
    name: 'a worker of another build',
    takes: ['workers'],
    seconds: [8, 20],
    strike: (world, chance) =>
      odd(workflowWorker(world, chance), { CHAOS_BUNDLE: world.bundles.rebuilt }, 'rebuilt'),
  },
  {
    name: BAD_BUILD,
    takes: ['workers'],
    seconds: [3, 8],
    strike: (world, chance) =>
      odd(workflowWorker(world, chance), { CHAOS_BUNDLE: world.bundles.incompatible }, 'incompatible'),
  },
];
