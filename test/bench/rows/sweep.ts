import { availableParallelism } from 'node:os';
import { cpuSeconds, machineSeconds, memoryOf } from '../cpu';
import type { Bench, Finding, Row } from '../row';
import { putExpiredOrders } from '../shop';
import { verify } from '../verify';
import type { World } from '../world';

const PARALLEL = 50;
const LATENCY_MS = 100;

interface Sweep {
  orders: number;
  seconds: number;
  perSecond: number;
  callsPerOrder: number;
  /** CPU milliseconds per order of everything that ran for it. */
  cpu: { worker: number; temporal: number; postgres: number; sandbox: number; bench: number };
  /** Orders a second that the latency permits, and that the CPUs permit. */
  bound: { latency: number; cpu: number };
  busy: number;
  memory: { now: number; most: number };
  longestHistory: number;
}

export const sweep: Row = {
  name: 'sweep',
  summary: 'closing expired orders at a gateway that takes 100 ms, and how that grows',
  async run(bench) {
    const sizes = bench.quick ? [200, 1_000] : [200, 1_000, 5_000];
    const world = await bench.open({ env: { SWEEP_PARALLEL: String(PARALLEL) } });
    await world.alipay.latency(LATENCY_MS);
    let closed = 0;
    const sweeps: Sweep[] = [];
    // The first one warms up.
    for (const size of [100, ...sizes]) {
      sweeps.push(await sweepOnce(world, bench, size));
      closed += size;
      await verify(world, { closed });
    }
    return findingsOf(sweeps.slice(1));
  },
};

async function sweepOnce(world: World, bench: Bench, orders: number): Promise<Sweep> {
  await putExpiredOrders(world, `expired-${orders}-`, orders);
  await world.alipay.clearJournal();
  const [worker] = world.workers;
  if (!worker) throw new Error('No worker');
  const read = () => ({
    worker: cpuSeconds(worker.pid),
    temporal: cpuSeconds(world.temporalServer.pid),
    postgres: cpuSeconds(world.postgres.pid),
    sandbox: cpuSeconds(world.sandbox.pid),
    bench: process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6,
    machine: machineSeconds(),
  });
  const start = read();
  const progress = bench.progress(`sweep: orders`, orders);
  let seen = 0;
  const startedAt = performance.now();
  const report = await world.payments.sweep.run({}, (_, so_far) => {
    const now = so_far?.closed ?? 0;
    progress.advance(now - seen);
    seen = now;
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const end = read();
  progress.end();
  if (report.closed !== orders)
    throw new Error(`Closed ${report.closed} of ${orders}: ${JSON.stringify(report)}`);

  const calls = (await world.alipay.journal()).filter(({ kind }) => kind === 'call').length;
  const callsPerOrder = calls / orders;
  const per = (part: keyof Sweep['cpu']): number => ((end[part] - start[part]) * 1000) / orders;
  const cpu = {
    worker: per('worker'),
    temporal: per('temporal'),
    postgres: per('postgres'),
    sandbox: per('sandbox'),
    bench: per('bench'),
  };
  const all = Object.values(cpu).reduce((sum, ms) => sum + ms, 0);
  return {
    orders,
    seconds,
    perSecond: orders / seconds,
    callsPerOrder,
    cpu,
    bound: {
      latency: PARALLEL / ((callsPerOrder * LATENCY_MS) / 1000),
      cpu: (availableParallelism() * 1000) / all,
    },
    busy: (end.machine.busy - start.machine.busy) / (end.machine.all - start.machine.all),
    memory: memoryOf(worker.pid),
    longestHistory: await longestHistory(world),
  };
}

async function longestHistory({ temporal }: World): Promise<number> {
  let longest = 0;
  for await (const { historyLength } of temporal.workflow.list({
    query: `WorkflowType = 'sweepExpiredOrders'`,
  })) {
    longest = Math.max(longest, historyLength);
  }
  return longest;
}

function findingsOf(sweeps: Sweep[]): Finding[] {
  const [first, last] = [sweeps[0], sweeps.at(-1)];
  if (!first || !last) throw new Error('Nothing was swept');
  const bound = Math.min(last.bound.latency, last.bound.cpu);
  const reached = last.perSecond / bound;
  const perOrder = sweeps.map(({ seconds, orders }) => (seconds * 1000) / orders);
  // Of the last step only: the smallest sweep's time is mostly its begin and end.
  const [before = 0, after = 0] = perOrder.slice(-2);
  const growth = after / before;
  const history = Math.max(...sweeps.map(({ longestHistory: events }) => events));
  const memory = sweeps.map(({ memory: { now } }) => now);
  const flat = (memory.at(-1) ?? 0) / (memory.at(-2) ?? 1) <= 1.25;
  return [
    {
      what: `sweep of ${last.orders} orders ÷ its bound`,
      figure:
        `${reached.toFixed(3)}: ${last.perSecond.toFixed(0)} orders/s; bounds: latency ${last.bound.latency.toFixed(0)}, ` +
        `CPU ${last.bound.cpu.toFixed(0)} orders/s; machine ${(100 * last.busy).toFixed(0)} % busy`,
      target: '≥ 0.85',
      met: reached >= 0.85,
      detail: { parallel: PARALLEL, latencyMs: LATENCY_MS, sweeps },
    },
    {
      what: `sweep growth ${sweeps.map(({ orders }) => orders).join(' → ')}`,
      figure:
        `${perOrder.map((ms) => ms.toFixed(1)).join(' → ')} ms per order, worker ${memory.join(' → ')} MB, ` +
        `longest history ${history} events`,
      target: 'last step ±15 %, memory flat, history ≤ 10,000',
      met: Math.abs(growth - 1) <= 0.15 && flat && history <= 10_000,
      detail: { growth, perOrder, memory, history },
    },
  ];
}
