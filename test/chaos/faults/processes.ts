import type { Part } from '../part';
import type { World } from '../world';
import type { Fault } from './fault';

const workersOf = ({ parts }: World): Part[] => parts.workers.map(({ part }) => part);

/** Kills them now, and starts them again at the end. */
async function killed(parts: readonly Part[], signal: NodeJS.Signals = 'SIGKILL') {
  await Promise.all(parts.map((part) => part.kill(signal)));
  return {
    what: parts.map(({ name }) => name).join(', '),
    end: async () => {
      await Promise.all(parts.map((part) => part.start()));
      return parts.length;
    },
  };
}

function frozen(parts: readonly Part[]) {
  for (const part of parts) part.freeze();
  return Promise.resolve({
    what: parts.map(({ name }) => name).join(', '),
    end: () => {
      for (const part of parts) part.thaw();
      return Promise.resolve(parts.length);
    },
  });
}

/** Processes that die, or hang. */
export const PROCESS_FAULTS: readonly Fault[] = [
  {
    name: 'worker killed',
    takes: ['workers'],
    seconds: [1, 3],
    strike: (world, chance) => killed([chance.one(workersOf(world))]),
  },
  {
    name: 'worker stopped (SIGSTOP)',
    takes: ['workers'],
    seconds: [5, 12],
    strike: (world, chance) => frozen([chance.one(workersOf(world))]),
  },
  {
    name: 'all workers killed',
    takes: ['workers', 'egress'],
    // Longer than the interval between two checks.
    seconds: [4, 8],
    strike: (world) => killed(workersOf(world)),
  },
  {
    name: 'all workers stopped (SIGSTOP)',
    takes: ['workers', 'egress'],
    seconds: [4, 10],
    strike: (world) => frozen(workersOf(world)),
  },
  {
    name: 'HTTP server killed',
    takes: ['server'],
    seconds: [1, 4],
    strike: ({ parts }) => killed([parts.server]),
  },
  {
    name: 'HTTP server stopped (SIGSTOP)',
    takes: ['server'],
    seconds: [3, 8],
    strike: ({ parts }) => frozen([parts.server]),
  },
  {
    name: 'Temporal killed',
    takes: ['temporal', 'workers'],
    seconds: [1, 6],
    strike: ({ parts }, chance) => killed([chance.one(parts.temporal)]),
  },
  {
    name: "Temporal's store lost",
    takes: ['temporal', 'workers'],
    seconds: [2, 4],
    isPossible: ({ loseStore }) => loseStore !== undefined,
    strike: async ({ parts, loseStore }) => {
      const struck = await killed(parts.temporal);
      loseStore?.();
      return struck;
    },
  },
  {
    name: 'Postgres crashed',
    takes: ['postgres', 'workers'],
    seconds: [1, 5],
    // SIGQUIT is its immediate shutdown, without cleanup, as in a crash; with SIGKILL not even its children are told.
    strike: ({ parts }, chance) => killed([parts.postgres], chance.one(['SIGQUIT', 'SIGKILL'] as const)),
  },
];
