import { memoryOf } from '../cpu';
import { onlyWorker, startMeter } from '../meter';
import type { Spent } from '../meter';
import { INTERVAL_MS, probe } from '../probes';
import type { Became, Lateness } from '../probes';
import type { Bench, Finding, Row } from '../row';
import { allAsleep, putToSleep } from '../sleepers';
import { verify } from '../verify';
import type { Rig } from '../rig';
import { inWords } from './lateness';

const FEW = 1_000;
const MANY = 100_000;

/** With `--quick`. */
const FEWER = 5_000;

/** How often the worker's memory is read while the sleepers are added. */
const SAMPLES = 20;

/** RSS varies with the garbage collector. If the worker kept the 99,000 more, it would be a hundred times as much. */
const FLAT = 1.25;

/** MB. */
interface Memory {
  sleepers: number;
  worker: number;
  temporal: number;
}

interface Measured {
  sleepers: number;
  lateness: Lateness;
  /** After the series. */
  memory: Memory;
}

interface Starting extends Spent {
  sleepers: number;
  perSecond: number;
}

export const sleepers: Row = {
  name: 'sleepers',
  summary: 'the same lateness among 100,000 sleeping payments against 1,000, and the worker’s memory',
  async run(bench) {
    const many = bench.quick ? FEWER : MANY;
    const rig = await bench.open({ env: { PAYMENT_CHECK_INTERVAL: `${INTERVAL_MS}ms` } });
    const memory: Memory[] = [];
    const became: Became = { paid: 0, unpaid: 0 };
    const measure = async (asleep: number): Promise<Measured> => {
      const seconds = bench.quick ? 20 : 90;
      const probed = await probe(rig, bench, { series: `among ${asleep} sleepers`, seconds });
      became.paid += probed.became.paid;
      became.unpaid += probed.became.unpaid;
      await verify(rig, { ...became, asleep });
      return { sleepers: asleep, lateness: probed.lateness, memory: memoryNow(rig, asleep) };
    };

    // One rig: the first few keep sleeping among the many, as they would in production.
    await addSleepers(rig, bench, { from: 0, to: FEW, memory });
    const few = await measure(FEW);
    const starting = await addSleepers(rig, bench, { from: FEW, to: many, memory });
    const all = await measure(many);
    return findingsOf(few, all, { starting, memory, quick: bench.quick });
  },
};

async function addSleepers(
  rig: Rig,
  bench: Bench,
  { from, to, memory }: { from: number; to: number; memory: Memory[] },
): Promise<Starting> {
  const progress = bench.progress('sleepers: put to sleep', to - from);
  const stopMeter = startMeter(rig);
  const step = Math.ceil((to - from) / SAMPLES);
  for (let first = from; first < to; first += step) {
    const last = Math.min(first + step, to);
    await putToSleep(rig, { from: first, to: last, progress });
    memory.push(memoryNow(rig, last));
  }
  await allAsleep(rig);
  progress.end();
  const count = to - from;
  const spent = stopMeter(count);
  return { sleepers: count, perSecond: count / spent.seconds, ...spent };
}

function memoryNow(rig: Rig, asleep: number): Memory {
  return {
    sleepers: asleep,
    worker: memoryOf(onlyWorker(rig).pid).now,
    temporal: memoryOf(rig.temporalServer.pid).now,
  };
}

const cpuOf = ({ lateness: { spent } }: Measured): string => spent.cpu.worker.toFixed(1);

function findingsOf(
  few: Measured,
  all: Measured,
  { starting, memory, quick }: { starting: Starting; memory: Memory[]; quick: boolean },
): Finding[] {
  const scaled = quick ? ` (${FEWER} for ${MANY}: quick)` : '';
  const ratio = all.lateness.p99 / few.lateness.p99;
  const growth = all.memory.worker / few.memory.worker;
  const isFlat = growth <= FLAT;
  const series = { few, all };
  return [
    {
      what: `lateness among ${all.sleepers} sleepers ÷ ${few.sleepers}${scaled}`,
      figure:
        `${ratio.toFixed(2)}: p99 ${inWords(all.lateness)} ÷ ${inWords(few.lateness)}, ` +
        `${few.lateness.checks} checks each, at ${all.lateness.perSecond.toFixed(0)} payments/s; ` +
        `worker ${cpuOf(all)} ÷ ${cpuOf(few)} CPU ms a payment`,
      target: '≤ 1.2',
      met: ratio <= 1.2,
      detail: { ratio, intervalMs: INTERVAL_MS, series, starting },
    },
    {
      what: `worker memory among ${all.sleepers} sleepers ÷ ${few.sleepers}${scaled}`,
      figure:
        `${growth.toFixed(2)}, ${isFlat ? 'flat' : 'not flat'}: ${all.memory.worker} ÷ ${few.memory.worker} MB ` +
        `(Temporal's server: ${all.memory.temporal} ÷ ${few.memory.temporal} MB)`,
      target: `flat: ≤ ${FLAT}`,
      met: isFlat,
      detail: { growth, memory },
    },
  ];
}
