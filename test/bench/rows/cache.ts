import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../support/free-ports';
import { Scrape } from '../../support/scrape';
import { memoryOf } from '../cpu';
import { onlyWorker, startMeter } from '../meter';
import type { Spent } from '../meter';
import { atRate } from '../pace';
import type { Bench, Finding, Row } from '../row';
import { THE_TEA } from '../row';
import { untilDone } from '../shop';
import { verify } from '../verify';

/** Caches of several sizes, and the default size with the image's settings, which has a target. */
const WORKERS: readonly { cached: number; env?: Record<string, string> }[] = [
  ...[100, 200, 300, 600].map((cached) => ({ cached })),
  { cached: 300, env: { MALLOC_ARENA_MAX: '2', NODE_OPTIONS: '--max-semi-space-size=4' } },
];

/** Payments per second: half of what two cores sustain, or less. */
const PER_SECOND = 8;

/** From a checkout until its buyer pays, ms; evenly distributed, so that about 240 runs are open at any time. */
const [FASTEST_MS, SLOWEST_MS] = [15_000, 45_000];

/** In steady state. */
const MEASURED_MS = 30_000;

/** With `--quick`, everything takes this fraction of the time, and this fraction of the runs is open, and cached. */
const QUICK = 1 / 5;

/** A worker with the image's settings stays within this, MB. */
const MEMORY_MB = 350;

/** A miss costs a replay. */
const NEARLY_ALL = 0.98;

interface Measured {
  cached: number;
  env: Record<string, string>;
  /** The worker's at the end of the measured time, MB. */
  memory: { now: number; most: number };
  spent: Spent;
  hits: number;
  misses: number;
  /** Runs in the cache at the end. */
  size: number;
}

export const cache: Row = {
  name: 'cache',
  summary: 'the worker’s memory and CPU by the size of its cache, where payments are notified after 30 s',
  async run(bench) {
    const measured: Measured[] = [];
    for (const { cached, env = {} } of WORKERS) {
      measured.push(await measure(bench, bench.quick ? cached * QUICK : cached, env));
    }
    return measured.map((each) => findingOf(each, bench.quick));
  },
};

async function measure(bench: Bench, cached: number, env: Record<string, string>): Promise<Measured> {
  const share = bench.quick ? QUICK : 1;
  const [port] = await freePorts(1);
  const metrics = `127.0.0.1:${port}`;
  const rig = await bench.open({
    server: true,
    workerEnv: { MAX_CACHED_WORKFLOWS: String(cached), METRICS_ADDRESS: metrics, ...env },
  });
  const buyers = new AbortController();
  setMaxListeners(0, buyers.signal);
  const steadyMs = share * SLOWEST_MS;
  const measuredMs = share * MEASURED_MS;
  const count = Math.round((PER_SECOND * (steadyMs + measuredMs)) / 1000);
  const progress = bench.progress(`cache of ${cached}: payments`, count);
  const all = atRate(count, PER_SECOND, async (index) => {
    const { outTradeNo, paymentUrl } = await rig.payments.checkout({ orderId: `order-${index}`, ...THE_TEA });
    // Once everything is measured, the last buyers pay at once.
    await sleep(share * thinkingMs(index), undefined, { signal: buyers.signal }).catch(() => undefined);
    await rig.alipay.pay(paymentUrl);
    await untilDone(rig, outTradeNo);
    progress.advance();
  });
  all.catch(() => undefined);

  await sleep(steadyMs);
  const before = await scrape(metrics);
  const stopMeter = startMeter(rig);
  await sleep(measuredMs);
  const spent = stopMeter((PER_SECOND * measuredMs) / 1000);
  const after = await scrape(metrics);
  const memory = memoryOf(onlyWorker(rig).pid);
  buyers.abort();
  await all;
  progress.end();
  // A busy worker may tell an order twice.
  await verify(rig, { paid: count, toldAgain: true });
  const counted = (name: string): number => after.sum(name) - before.sum(name);
  return {
    cached,
    env,
    memory,
    spent,
    hits: counted('temporal_sticky_cache_hit_total'),
    misses: counted('temporal_sticky_cache_miss_total'),
    size: after.sum('temporal_sticky_cache_size'),
  };
}

/** From the fastest to the slowest, the same in every run: multiples of the golden ratio fill a range evenly. */
const thinkingMs = (index: number): number =>
  FASTEST_MS + (SLOWEST_MS - FASTEST_MS) * ((index * 0.618_034) % 1);

async function scrape(address: string): Promise<Scrape> {
  const response = await fetch(`http://${address}/metrics`);
  return new Scrape(await response.text());
}

function findingOf(measured: Measured, quick: boolean): Finding {
  const { cached, env, memory, spent, hits, misses, size } = measured;
  const started = Object.entries(env).map(([name, value]) => `, ${name}=${value}`);
  const share = hits / (hits + misses);
  return {
    what: `cache of ${cached} workflows${started.join('')}${quick ? ' (a fifth of all: quick)' : ''}`,
    figure:
      `worker ${memory.now} MB (at most ${memory.most}); hits ${(100 * share).toFixed(1)} % of ${hits + misses}, ` +
      `${size} cached; CPU ms a payment at ${PER_SECOND}/s: worker ${spent.cpu.worker.toFixed(1)}, ` +
      `Temporal ${spent.cpu.temporal.toFixed(1)}`,
    target: started.length > 0 ? `≤ ${MEMORY_MB} MB, ≥ ${100 * NEARLY_ALL} % hits` : '',
    met: memory.now <= MEMORY_MB && share >= NEARLY_ALL,
    detail: { perSecond: PER_SECOND, hitShare: share, ...measured },
  };
}
