import { cpuSeconds, machineSeconds } from './cpu';
import type { Service } from '../../sandbox/dev/services';
import type { World } from './world';

/** What was spent while something was done so many times. */
export interface Spent {
  seconds: number;
  /** CPU milliseconds for each, by process; `bench` is this one, with its buyers and checkouts. */
  cpu: Record<'worker' | 'temporal' | 'postgres' | 'sandbox' | 'bench', number>;
  /** Share of the machine that was busy, with whatever else ran on it. */
  busy: number;
}

/** Begins to measure a world with one worker; the answer ends it. */
export function startMeter(world: World): (count: number) => Spent {
  const before = soFar(world);
  return (count) => {
    const after = soFar(world);
    const each = (part: keyof Spent['cpu']): number => (1000 * (after.cpu[part] - before.cpu[part])) / count;
    return {
      seconds: (after.at - before.at) / 1000,
      cpu: {
        worker: each('worker'),
        temporal: each('temporal'),
        postgres: each('postgres'),
        sandbox: each('sandbox'),
        bench: each('bench'),
      },
      busy: (after.machine.busy - before.machine.busy) / (after.machine.all - before.machine.all),
    };
  };
}

function soFar(world: World) {
  const { user, system } = process.cpuUsage();
  return {
    at: performance.now(),
    cpu: {
      worker: cpuSeconds(onlyWorker(world).pid),
      temporal: cpuSeconds(world.temporalServer.pid),
      postgres: cpuSeconds(world.postgres.pid),
      sandbox: cpuSeconds(world.sandbox.pid),
      bench: (user + system) / 1e6,
    },
    machine: machineSeconds(),
  };
}

/** @throws Error where there is none */
export function onlyWorker({ workers: [worker] }: World): Service {
  if (!worker) throw new Error('No worker');
  return worker;
}
