import { setTimeout as sleep } from 'node:timers/promises';
import type { Service } from '../../../dev/services';
import { cpuSeconds, memoryOf } from '../cpu';
import { atRate, inLanes } from '../pace';
import type { Progress } from '../row';
import { quantile } from '../statistics';
import type { Rig } from '../rig';
import type { Contender } from './contender';
import { countAskedAgain, latenesses, untilTold, watch } from './witness';
import type { Seen } from './witness';

/** Concurrent checkouts when all come at once. */
const LANES = 16;

/** Slow enough that work is always under way when the worker is killed: payments per second, gateway latency in ms. */
const KILL_PER_SECOND = 20;
const KILL_LATENCY_MS = 200;

export interface Sizes {
  intervalMs: number;
  warmUp: number;
  /** Payments checked out as fast as possible. */
  burst: number;
  /** Payments per second, and how many of them, when they come evenly. */
  perSecond: number;
  paced: number;
  /** Payments under way while their worker is killed. */
  killed: number;
}

export type Parts = Record<'worker' | 'http' | 'server' | 'postgres' | 'all', number>;

/** What one contender did. */
export interface Result {
  name: string;
  version: string;
  paced: {
    perSecond: number;
    count: number;
    /** CPU milliseconds per payment. */
    cpu: Parts;
    /** Milliseconds. */
    lateness: Record<'p50' | 'p90' | 'p99' | 'worst', number>;
  };
  burst: { count: number; seconds: number; perSecond: number; cpu: Parts };
  kill: {
    count: number;
    lost: number;
    toldAgain: number;
    askedAgain: number;
    /** Seconds after the kill. */
    lastTold: number;
    workerReady: number;
  };
  /** Payments that were paid too late for their last check; the order service was told of none of them. */
  late: number;
  /** The worker's, after everything but the kill, MB. */
  memory: number;
}

export const paymentsOf = ({ warmUp, burst, paced, killed }: Sizes): number =>
  warmUp + burst + paced + killed;

/** One contender through all runs, with only its own worker. */
export async function measureContender(
  rig: Rig,
  contender: Contender,
  sizes: Sizes,
  progress: Progress,
): Promise<Result> {
  const { alipay } = rig;
  const { warmUp, burst, paced, killed, perSecond, intervalMs } = sizes;
  let worker = await contender.startWorker();
  const run = (prefix: string, count: number, begin: Begin, onTold?: (told: number) => void) =>
    runOnce(rig, contender, worker, { prefix, count, begin, progress, onTold });
  const atOnce: Begin = (count, act) => inLanes(count, LANES, act);
  const evenly: Begin = (count, act) => atRate(count, perSecond, act);
  const quickly: Begin = (count, act) => atRate(count, KILL_PER_SECOND, act);

  const warmedUp = await run('warm-', warmUp, atOnce);
  const burstRun = await run('burst-', burst, atOnce);
  const pacedRun = await run('paced-', paced, evenly);
  const late = await latenesses(contender, alipay, { prefix: 'paced-', intervalMs });
  const memory = memoryOf(worker.pid).now;

  const toldBefore = await contender.toldAgain();
  let killedAt = 0;
  let restarted: Promise<number> | undefined;
  const kill = async (): Promise<number> => {
    killedAt = Date.now();
    worker.kill();
    await worker.exit;
    worker = await contender.startWorker();
    return Date.now();
  };
  await alipay.latency(KILL_LATENCY_MS);
  const killRun = await run('killed-', killed, quickly, (told) => {
    if (told >= killed / 3) restarted ??= kill();
  });
  await alipay.latency(0);
  const readyAt = (await restarted) ?? Number.NaN;
  const askedAgain = await countAskedAgain(alipay);
  const result = {
    name: contender.name,
    version: contender.version,
    paced: {
      perSecond,
      count: paced,
      cpu: pacedRun.cpu,
      lateness: {
        p50: quantile(late, 0.5),
        p90: quantile(late, 0.9),
        p99: quantile(late, 0.99),
        worst: Math.max(...late),
      },
    },
    burst: {
      count: burst,
      seconds: burstRun.seconds,
      perSecond: burstRun.toldAt.length / burstRun.seconds,
      cpu: burstRun.cpu,
    },
    kill: {
      count: killed,
      lost: killRun.lost,
      toldAgain: (await contender.toldAgain()) - toldBefore,
      askedAgain,
      lastTold: (Math.max(...killRun.toldAt) - killedAt) / 1000,
      workerReady: (readyAt - killedAt) / 1000,
    },
    late: warmedUp.late + burstRun.late + pacedRun.late + killRun.late,
    memory,
  };
  await worker.stop();
  const lost = warmedUp.lost + burstRun.lost + pacedRun.lost;
  if (lost > 0) throw new Error(`${contender.name} lost ${lost} payments without being killed`);
  return result;
}

type Begin = (count: number, act: (index: number) => Promise<unknown>) => Promise<void>;

async function runOnce(
  rig: Rig,
  contender: Contender,
  worker: Service,
  {
    prefix,
    count,
    begin,
    progress,
    onTold,
  }: {
    prefix: string;
    count: number;
    begin: Begin;
    progress: Progress;
    onTold: ((told: number) => void) | undefined;
  },
): Promise<Seen & { seconds: number; cpu: Parts }> {
  const { alipay } = rig;
  await alipay.clearJournal();
  const stopMeter = meterParts(rig, contender, worker);
  const startedAt = Date.now();
  const addresses = new Map<string, string>();
  let advanced = 0;
  const watching = watch(contender, alipay, {
    prefix,
    count,
    addresses,
    onTold(told) {
      progress.advance(told - advanced);
      advanced = told;
      onTold?.(told);
    },
  });
  const [seen] = await Promise.all([
    watching,
    begin(count, async (index) => {
      const { outTradeNo, paymentUrl } = await contender.checkOut(`${prefix}${index}`);
      addresses.set(outTradeNo, paymentUrl);
    }),
  ]);
  const cpu = stopMeter(count);
  return { ...seen, seconds: (Math.max(...seen.toldAt) - startedAt) / 1000, cpu };
}

/** Starts measuring a contender; the returned function ends it, and returns what each of `count` payments took. */
function meterParts({ postgres }: Rig, contender: Contender, worker: Service): (count: number) => Parts {
  const ofService = (service: Service | undefined): number => (service ? cpuSeconds(service.pid) : 0);
  const read = (): Omit<Parts, 'all'> => ({
    worker: worker.ended() === undefined ? cpuSeconds(worker.pid) : Number.NaN,
    http: ofService(contender.http),
    server: ofService(contender.server),
    postgres: cpuSeconds(postgres.pid),
  });
  const before = read();
  return (count) => {
    const after = read();
    const perPayment = (part: keyof typeof before): number => ((after[part] - before[part]) * 1000) / count;
    const cpu = {
      worker: perPayment('worker'),
      http: perPayment('http'),
      server: perPayment('server'),
      postgres: perPayment('postgres'),
    };
    return { ...cpu, all: cpu.worker + cpu.http + cpu.server + cpu.postgres };
  };
}

export interface NotifiedSizes {
  perSecond: number;
  /** Before the first check, which never happens. */
  intervalMs: number;
  /** From checkout to payment. */
  payAfterMs: number;
  /** In steady state, which begins when the checks of the first payments would have been due. */
  measuredMs: number;
}

/** What one contender did with notified payments. */
export interface Notified {
  name: string;
  count: number;
  cpu: Parts;
  lost: number;
  toldAgain: number;
}

export const notifiedOf = ({ perSecond, intervalMs, measuredMs }: NotifiedSizes): number =>
  Math.round((perSecond * (intervalMs + measuredMs)) / 1000);

/** One contender, whose payments are notified before their first check. */
export async function measureNotified(
  rig: Rig,
  contender: Contender,
  sizes: NotifiedSizes,
  progress: Progress,
): Promise<Notified> {
  const { perSecond, intervalMs, payAfterMs, measuredMs } = sizes;
  const count = notifiedOf(sizes);
  const worker = await contender.startWorker();
  const living = atRate(count, perSecond, async (index) => {
    const { paymentUrl } = await contender.checkOut(`notified-${index}`);
    await sleep(payAfterMs);
    await rig.alipay.pay(paymentUrl);
    progress.advance();
  });
  living.catch(() => undefined);
  await sleep(intervalMs);
  const stopMeter = meterParts(rig, contender, worker);
  await sleep(measuredMs);
  const cpu = stopMeter((perSecond * measuredMs) / 1000);
  await living;
  const lost = count - (await untilTold(contender, 'notified-', count));
  const toldAgain = await contender.toldAgain();
  await worker.stop();
  return { name: contender.name, count, cpu, lost, toldAgain };
}
