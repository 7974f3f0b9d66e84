import { rows } from '../../db/connect';
import { paymentWorkflowId } from '../../workflows/messages';
import { startMeter } from './meter';
import type { Spent } from './meter';
import { atRate } from './pace';
import type { Bench } from './row';
import { THE_TEA } from './row';
import { untilDone } from './shop';
import { distribution, quantile } from './statistics';
import type { Rig } from './rig';

// Payments that arrive at a steady pace and are queried, and how late each query is.

/** Between checks. On a dev server, a timer of less than a second still takes about one. */
export const INTERVAL_MS = 3_000;

/** Used if `throughput` has not run: half of what two cores sustained when it was first measured. */
const DEFAULT_RATE = 13;

/** Payments of the first seconds are not measured: the worker compiles, and caches fill. */
const WARM_UP_S = 6;

/** How many histories are read to tell where the time went. */
const LOOKED_INTO = 60;

/** How late the checks of one series were, ms. */
export interface Lateness {
  perSecond: number;
  payments: number;
  checks: number;
  p50: number;
  p99: number;
  worst: number;
  /** 200 quantiles, ascending: the curve of a plot. */
  distribution: number[];
  /** Of the workflow tasks that timers woke: how much of the time the server, the queue and the worker took. */
  shares: Record<'timerFired' | 'taskTaken' | 'taskDone', { p50: number; p99: number }>;
  /** Per payment of the series, including the unmeasured ones. */
  spent: Spent;
}

/** What became of the payments of a series, including the unmeasured ones. */
export interface Became {
  paid: number;
  unpaid: number;
}

/** Payments per second: half of what the machine sustains. */
export const probesPerSecond = ({ sustained }: Bench): number =>
  sustained === undefined ? DEFAULT_RATE : sustained / 2;

/**
 * Lets payments arrive for `seconds`, at half of the sustainable rate. Every other one is paid before its first check,
 * its notification is lost, and its order is told; the others are never paid and are queried three times.
 */
export async function probe(
  rig: Rig,
  bench: Bench,
  { series, seconds }: { series: string; seconds: number },
): Promise<{ lateness: Lateness; became: Became }> {
  const perSecond = probesPerSecond(bench);
  const warmUp = Math.round(WARM_UP_S * perSecond);
  const count = warmUp + Math.round(seconds * perSecond);
  const measured: string[] = [];
  const stopMeter = startMeter(rig);
  const progress = bench.progress(`${series}: payments`, count);
  const isPaid = (index: number): boolean => index % 2 === 0;
  await atRate(count, perSecond, async (index) => {
    const orderId = `${series}-${index}`.replaceAll(' ', '-');
    const { outTradeNo, paymentUrl } = await rig.payments.checkout({ orderId, ...THE_TEA });
    if (isPaid(index)) await rig.alipay.pay(paymentUrl, { notify: false });
    if (index >= warmUp) measured.push(outTradeNo);
    await untilDone(rig, outTradeNo);
    progress.advance();
  });
  progress.end();
  const spent = stopMeter(count);
  const late = await latenessOf(rig, measured);
  return {
    lateness: {
      perSecond,
      payments: measured.length,
      checks: late.length,
      p50: quantile(late, 0.5),
      p99: quantile(late, 0.99),
      worst: Math.max(...late),
      distribution: distribution(late, 200),
      shares: await sharesOf(rig, measured.slice(-LOOKED_INTO)),
      spent,
    },
    became: { paid: Math.ceil(count / 2), unpaid: Math.floor(count / 2) },
  };
}

/**
 * From when a check was due until its answer was in Postgres. The first is due one interval after the checkout was
 * written, each next one an interval after the previous answer: so the rest of the checkout, and Alipay's own response
 * time, count as lateness too.
 */
async function latenessOf({ db }: Rig, outTradeNos: string[]): Promise<number[]> {
  const measured = await rows<{ late: number }>(
    db,
    `SELECT CAST(EXTRACT(EPOCH FROM at - before) * 1000 - :interval AS float8) AS late
     FROM (
       SELECT at, lag(at) OVER (PARTITION BY out_trade_no ORDER BY id) AS before FROM payment_events
       WHERE out_trade_no = ANY(:outTradeNos) AND event IN ('checked-out', 'checked', 'answered')
     ) AS steps
     WHERE before IS NOT NULL`,
    { outTradeNos, interval: INTERVAL_MS },
  );
  return measured.map(({ late }) => late);
}

/** From the histories: due → timer fired → workflow task started → workflow task completed. */
async function sharesOf({ temporal }: Rig, outTradeNos: string[]): Promise<Lateness['shares']> {
  const steps = (
    await Promise.all(
      outTradeNos.map(async (outTradeNo) => {
        const { events } = await temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
        return stepsOf(events ?? []);
      }),
    )
  ).flat();
  const share = (of: (step: Step) => number) => {
    const values = steps.map(of);
    return { p50: quantile(values, 0.5), p99: quantile(values, 0.99) };
  };
  return {
    timerFired: share(({ due, fired }) => fired - due),
    taskTaken: share(({ fired, taken }) => taken - fired),
    taskDone: share(({ taken, done }) => done - taken),
  };
}

interface Step {
  due: number;
  fired: number;
  taken: number;
  done: number;
}

type HistoryEvent = NonNullable<
  Awaited<ReturnType<ReturnType<Rig['temporal']['workflow']['getHandle']>['fetchHistory']>>['events']
>[number];

function stepsOf(events: HistoryEvent[]): Step[] {
  const at = (event: HistoryEvent | undefined): number => msOf(event?.eventTime);
  return events.flatMap((event, index) => {
    const { timerFiredEventAttributes: fired } = event;
    if (!fired) return [];
    const started = events.find(({ eventId }) => String(eventId) === String(fired.startedEventId));
    const after = events.slice(index);
    const taken = after.find(({ workflowTaskStartedEventAttributes: it }) => it);
    const done = after.find(({ workflowTaskCompletedEventAttributes: it }) => it);
    const due = at(started) + msOf(started?.timerStartedEventAttributes?.startToFireTimeout);
    return [{ due, fired: at(event), taken: at(taken), done: at(done) }];
  });
}

/** A protobuf time or duration, in milliseconds. */
function msOf(time: { seconds?: unknown; nanos?: number | null } | null | undefined): number {
  return Number(time?.seconds) * 1000 + (time?.nanos ?? 0) / 1e6;
}
