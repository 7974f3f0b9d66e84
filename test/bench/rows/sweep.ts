import { availableParallelism } from 'node:os';
import { oneRow } from '../../../db/connect';
import { waitFor } from '../../../dev/wait-for';
import { memoryOf } from '../cpu';
import { onlyWorker, startMeter } from '../meter';
import type { Spent } from '../meter';
import type { Bench, Finding, Row } from '../row';
import { putExpiredOrders } from '../shop';
import { verify } from '../verify';
import type { Rig } from '../rig';

const PARALLEL = 50;
const LATENCY_MS = 100;

const WARM_UP = 200;
const SIZES = [1_000, 10_000, 100_000];

/** The size compared with the bound. */
const JUDGED = 10_000;

/** With `--quick`. */
const FEWER = [1_000, 5_000];

/** CPU includes everything that ran until the sweep's end; order workflows lag behind it. */
interface Sweep extends Spent {
  orders: number;
  perSecond: number;
  /** Results that the order service had not accepted within a second: the follow-up tells them. */
  undelivered: number;
  callsPerOrder: number;
  /** Orders per second that the latency allows, and that the CPUs allow. */
  bound: { latency: number; cpu: number };
  memory: { now: number; most: number };
  longestHistory: number;
}

export const sweep: Row = {
  name: 'sweep',
  summary: 'closing expired orders at a gateway that takes 100 ms, and how that grows',
  async run(bench) {
    const sizes = bench.quick ? FEWER : SIZES;
    const rig = await bench.open({ env: { SWEEP_PARALLEL: String(PARALLEL) } });
    await rig.alipay.latency(LATENCY_MS);
    let closed = 0;
    const sweeps: Sweep[] = [];
    for (const size of [WARM_UP, ...sizes]) {
      sweeps.push(await sweepOnce(rig, bench, size));
      closed += size;
      await tellTheRest(rig);
      await verify(rig, { closed, toldAgain: true });
    }
    return findingsOf(sweeps.slice(1), bench.quick);
  },
};

async function sweepOnce(rig: Rig, bench: Bench, orders: number): Promise<Sweep> {
  await putExpiredOrders(rig, `expired-${orders}-`, orders);
  await rig.alipay.clearJournal();
  const stopMeter = startMeter(rig);
  const progress = bench.progress(`sweep: orders`, orders);
  let seen = 0;
  const report = await rig.payments.sweep.run({}, (_, so_far) => {
    const now = so_far?.closed ?? 0;
    progress.advance(now - seen);
    seen = now;
  });
  const spent = stopMeter(orders);
  const undelivered = await countUndelivered(rig);
  progress.end();
  if (report.closed !== orders)
    throw new Error(`Closed ${report.closed} of ${orders}: ${JSON.stringify(report)}`);

  const callsPerOrder = await countCalls(rig);
  const all = Object.values(spent.cpu).reduce((sum, ms) => sum + ms, 0);
  return {
    ...spent,
    orders,
    undelivered,
    perSecond: orders / spent.seconds,
    callsPerOrder,
    bound: {
      latency: PARALLEL / ((callsPerOrder * LATENCY_MS) / 1000),
      cpu: (availableParallelism() * 1000) / all,
    },
    memory: memoryOf(onlyWorker(rig).pid),
    longestHistory: await longestHistory(rig),
  };
}

async function countUndelivered({ db }: Rig): Promise<number> {
  const { undelivered } = await oneRow<{ undelivered: number }>(
    db,
    `SELECT count(*)::int AS undelivered FROM order_messages WHERE told_at IS NULL`,
  );
  return undelivered;
}

/** Does what the Schedule's next follow-ups would do. Not measured. */
async function tellTheRest(rig: Rig): Promise<void> {
  await waitFor(
    async () => {
      const undelivered = await countUndelivered(rig);
      if (undelivered > 0) await rig.payments.followUp.run();
      return undelivered === 0;
    },
    { what: 'all results to be told', timeoutMs: 900_000, everyMs: 1_000 },
  );
}

/** Calls per payment, of the newest ones: the journal keeps the last 20,000 entries. */
async function countCalls({ alipay }: Rig): Promise<number> {
  const calls = (await alipay.journal()).filter(({ kind }) => kind === 'call');
  return calls.length / new Set(calls.map(({ outTradeNo }) => outTradeNo)).size;
}

async function longestHistory({ temporal }: Rig): Promise<number> {
  let longest = 0;
  for await (const { historyLength } of temporal.workflow.list({
    query: `WorkflowType = 'sweepExpiredOrders'`,
  })) {
    longest = Math.max(longest, historyLength);
  }
  return longest;
}

function findingsOf(sweeps: Sweep[], quick: boolean): Finding[] {
  const last = sweeps.at(-1);
  const judged = sweeps.find(({ orders }) => orders === JUDGED) ?? last;
  if (!last || !judged) throw new Error('Nothing was swept');
  const smaller = quick ? ` (${last.orders}: quick)` : '';
  const bound = Math.min(judged.bound.latency, judged.bound.cpu);
  const reached = judged.perSecond / bound;
  const perOrder = sweeps.map(({ seconds, orders }) => (seconds * 1000) / orders);
  const growth = perOrder.slice(1).map((ms, step) => ms / (perOrder[step] ?? Number.NaN));
  const history = Math.max(...sweeps.map(({ longestHistory: events }) => events));
  const memory = sweeps.map(({ memory: { now } }) => now);
  const flat = (memory.at(-1) ?? 0) / (memory.at(-2) ?? 1) <= 1.25;
  return [
    {
      what: `sweep of ${JUDGED} orders${smaller} ÷ its bound`,
      figure:
        `${reached.toFixed(3)}: ${judged.perSecond.toFixed(0)} orders/s; bounds: latency ${judged.bound.latency.toFixed(0)}, ` +
        `CPU ${judged.bound.cpu.toFixed(0)} orders/s; machine ${(100 * judged.busy).toFixed(0)} % busy` +
        (judged.undelivered > 0 ? `; ${judged.undelivered} results told by the follow-up` : ''),
      target: '≥ 0.9',
      met: reached >= 0.9,
      detail: { parallel: PARALLEL, latencyMs: LATENCY_MS, sweeps },
    },
    {
      what: `sweep growth ${SIZES.join(' → ')}${quick ? ` (${FEWER.join(' → ')}: quick)` : ''}`,
      figure:
        `${perOrder.map((ms) => ms.toFixed(1)).join(' → ')} ms per order, worker ${memory.join(' → ')} MB, ` +
        `longest history ${history} events`,
      target: 'each step ±15 %, memory flat, history ≤ 10,000',
      met: growth.every((step) => Math.abs(step - 1) <= 0.15) && flat && history <= 10_000,
      detail: { growth, perOrder, memory, history },
    },
  ];
}
