import { cpuSeconds, machineSeconds } from './cpu';
import type { Service } from '../../dev/services';
import type { Rig } from './rig';

/** What it took to do something `count` times. */
export interface Spent {
  seconds: number;
  /** CPU milliseconds each, by process; `bench` is this one, with its buyers and checkouts. */
  cpu: Record<'worker' | 'temporal' | 'postgres' | 'sandbox' | 'bench', number>;
  /** Share of the machine that was busy, including whatever else ran on it. */
  busy: number;
}

/** Starts measuring a rig with one worker; the returned function ends it. */
export function startMeter(rig: Rig): (count: number) => Spent {
  const before = soFar(rig);
  return (count) => {
    const after = soFar(rig);
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

function soFar(rig: Rig) {
  const { user, system } = process.cpuUsage();
  return {
    at: performance.now(),
    cpu: {
      worker: cpuSeconds(onlyWorker(rig).pid),
      temporal: cpuSeconds(rig.temporalServer.pid),
      postgres: cpuSeconds(rig.postgres.pid),
      sandbox: cpuSeconds(rig.sandbox.pid),
      bench: (user + system) / 1e6,
    },
    machine: machineSeconds(),
  };
}

/** @throws Error if there is none */
export function onlyWorker({ workers: [worker] }: Rig): Service {
  if (!worker) throw new Error('No worker');
  return worker;
}
