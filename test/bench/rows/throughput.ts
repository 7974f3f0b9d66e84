import { waitFor } from '../../../dev/wait-for';
import { WORKFLOWS } from '../../../workflows/messages';
import { startBarePayment } from '../bare/checkout';
import { BARE_WORKFLOWS } from '../bare/names';
import { cpuSeconds, machineSeconds } from '../cpu';
import { inLanes } from '../pace';
import type { Finding, Progress, Row } from '../row';
import { checkOutAndPay, untilDone } from '../shop';
import { median, spread } from '../statistics';
import { countEnded, verify } from '../verify';
import type { Rig } from '../rig';

/** On the dev server, shorter timers take about one second too. */
const INTERVAL_MS = 1_000;

/**
 * Payments open at the same time. Each sleeps for a second, so this is also the most per second. With many more, they
 * would wait for the worker longer than they sleep.
 */
const OPEN = 80;

/** How many of the last runs have their state transitions compared. */
const LOOKED_AT = 50;

interface Measured {
  perSecond: number;
  /** CPU milliseconds per payment. */
  cpu: { worker: number; temporal: number; postgres: number; all: number };
  /** Share of the machine that was busy. */
  busy: number;
}

type Side = 'app' | 'bare';

export const throughput: Row = {
  name: 'throughput',
  summary: 'payments per second, and CPU per payment, against bare workflows of the same shape',
  async run(bench) {
    const payments = bench.quick ? 150 : 500;
    const rig = await bench.open({ env: { PAYMENT_CHECK_INTERVAL: `${INTERVAL_MS}ms` } });
    const [worker] = rig.workers;
    if (!worker) throw new Error('No worker');
    const pids = { app: worker.pid, bare: (await rig.startBareWorker()).pid };
    const done = { app: 0, bare: 0 };
    const measure = async (side: Side, count: number, progress: Progress): Promise<Measured> => {
      const result = await measureOne(rig, side, { count, before: done[side], pid: pids[side], progress });
      done[side] += count;
      await verify(rig, { paid: done.app });
      return result;
    };

    const warmUp = bench.progress('throughput: warm-up', payments);
    for (const side of ['app', 'bare'] as const) await measure(side, payments / 2, warmUp);
    warmUp.end();

    const app: Measured[] = [];
    const bare: Measured[] = [];
    const progress = bench.progress('throughput: payments', 2 * bench.pairs * payments);
    for (let pair = 0; pair < bench.pairs; pair += 1) {
      // Which side goes first alternates too: the second one always meets a larger database.
      const order: Side[] = pair % 2 === 0 ? ['app', 'bare'] : ['bare', 'app'];
      for (const side of order) (side === 'app' ? app : bare).push(await measure(side, payments, progress));
    }
    progress.end();
    const transitions = {
      app: await transitionsOf(rig, [WORKFLOWS.confirmPayment, WORKFLOWS.fulfillOrder]),
      bare: await transitionsOf(rig, [BARE_WORKFLOWS.payment, BARE_WORKFLOWS.order]),
    };
    const [rate, cpu] = findingsOf(app, bare, transitions);
    bench.sustained = median(app.map(({ perSecond }) => perSecond));
    return [rate, cpu];
  },
};

/** A closed loop: a lane checks out, waits for the end, and checks out again. */
async function measureOne(
  rig: Rig,
  side: Side,
  { count, before, pid, progress }: { count: number; before: number; pid: number; progress: Progress },
): Promise<Measured> {
  const read = () => ({
    worker: cpuSeconds(pid),
    temporal: cpuSeconds(rig.temporalServer.pid),
    postgres: cpuSeconds(rig.postgres.pid),
    machine: machineSeconds(),
  });
  const start = read();
  const startedAt = performance.now();
  await inLanes(count, OPEN, async (index) => {
    await (side === 'app' ? liveApp : liveBare)(rig, before + index);
    progress.advance();
  });
  const seconds = (performance.now() - startedAt) / 1000;
  await ordersToEnd(rig, side, before + count);
  const end = read();

  const perPayment = (part: 'worker' | 'temporal' | 'postgres'): number =>
    ((end[part] - start[part]) * 1000) / count;
  const cpu = {
    worker: perPayment('worker'),
    temporal: perPayment('temporal'),
    postgres: perPayment('postgres'),
  };
  return {
    perSecond: count / seconds,
    cpu: { ...cpu, all: cpu.worker + cpu.temporal + cpu.postgres },
    busy: (end.machine.busy - start.machine.busy) / (end.machine.all - start.machine.all),
  };
}

async function liveApp(rig: Rig, number: number): Promise<void> {
  const { outTradeNo } = await checkOutAndPay(rig, `order-${number}`);
  await untilDone(rig, outTradeNo);
}

async function liveBare({ temporal }: Rig, number: number): Promise<void> {
  const workflowId = await startBarePayment(temporal, {
    outTradeNo: `number_${number}`,
    orderId: `order-${number}`,
    intervalMs: INTERVAL_MS,
  });
  await temporal.workflow.getHandle(workflowId).result();
}

/** An order workflow ends a moment after its payment's. */
async function ordersToEnd({ temporal }: Rig, side: Side, count: number): Promise<void> {
  const type = side === 'app' ? WORKFLOWS.fulfillOrder : BARE_WORKFLOWS.order;
  await waitFor(async () => (await countEnded(temporal, type)).completed === count, {
    what: `${count} workflows ${type} to have completed`,
    timeoutMs: 60_000,
    everyMs: 200,
  });
}

/** State transitions per payment, with its order workflow: the mean of the newest. One that starts late has fewer. */
async function transitionsOf({ temporal }: Rig, types: readonly string[]): Promise<number> {
  let sum = 0;
  for (const type of types) sum += await meanTransitions(temporal, type);
  return sum;
}

async function meanTransitions(temporal: Rig['temporal'], type: string): Promise<number> {
  const counts: number[] = [];
  for await (const { workflowId } of temporal.workflow.list({ query: `WorkflowType = '${type}'` })) {
    const { raw } = await temporal.workflow.getHandle(workflowId).describe();
    if (counts.push(Number(raw.workflowExecutionInfo?.stateTransitionCount)) === LOOKED_AT) break;
  }
  return counts.reduce((sum, each) => sum + each, 0) / counts.length;
}

function findingsOf(
  app: Measured[],
  bare: Measured[],
  transitions: Record<Side, number>,
): [Finding, Finding] {
  const ratios = (of: (measured: Measured) => number): number[] =>
    app.map((measured, pair) => of(measured) / of(bare[pair] ?? measured));
  const rates = ratios(({ perSecond }) => perSecond);
  const costs = ratios(({ cpu }) => cpu.all);
  const middle = (side: Measured[], of: (measured: Measured) => number, digits: number): string =>
    median(side.map(of)).toFixed(digits);
  const byPart = (side: Measured[]): string =>
    (['worker', 'temporal', 'postgres'] as const)
      .map((part) => `${part} ${middle(side, ({ cpu }) => cpu[part], 1)}`)
      .join(' + ');
  const detail = { pairs: app.length, transitions, app, bare };
  return [
    {
      what: 'throughput ÷ bare',
      figure:
        `${spread(rates, 2)}: ${middle(app, ({ perSecond }) => perSecond, 0)} ÷ ` +
        `${middle(bare, ({ perSecond }) => perSecond, 0)} payments/s, ` +
        `transitions ${transitions.app.toFixed(1)} ÷ ${transitions.bare.toFixed(1)}, machine ${middle(app, ({ busy }) => 100 * busy, 0)} % busy`,
      target: '≥ 0.85',
      met: median(rates) >= 0.85,
      detail,
    },
    {
      what: 'CPU per payment ÷ bare',
      figure: `${spread(costs, 2)}: ${byPart(app)} ms ÷ ${byPart(bare)} ms`,
      target: '≤ 1.15',
      met: median(costs) <= 1.15,
      detail,
    },
  ];
}
