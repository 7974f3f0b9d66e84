import type { Contender } from '../peers/contender';
import { openDbos } from '../peers/dbos/client';
import { measureContender, measureNotified, notifiedOf, paymentsOf } from '../peers/measure';
import type { Notified, NotifiedSizes, Parts, Result, Sizes } from '../peers/measure';
import { openPgBoss } from '../peers/pg-boss/client';
import { openApplication } from '../peers/temporal';
import type { Bench, Finding, Progress, Row } from '../row';
import type { Rig, RigOptions } from '../rig';

const INTERVAL_MS = 2_000;
const PER_SECOND = 8;

const QUICK: Sizes = {
  intervalMs: INTERVAL_MS,
  perSecond: PER_SECOND,
  warmUp: 16,
  burst: 120,
  paced: 64,
  killed: 60,
};
const FULL: Sizes = { ...QUICK, warmUp: 60, burst: 800, paced: 360, killed: 200 };

const NOTIFIED_QUICK: NotifiedSizes = {
  perSecond: PER_SECOND,
  intervalMs: 4_000,
  payAfterMs: 2_000,
  measuredMs: 8_000,
};
const NOTIFIED_FULL: NotifiedSizes = {
  ...NOTIFIED_QUICK,
  intervalMs: 10_000,
  payAfterMs: 4_000,
  measuredMs: 30_000,
};

export const peers: Row = {
  name: 'peers',
  summary: 'the same work on pg-boss and on DBOS, with the same PostgreSQL, gateway and statements',
  async run(bench) {
    const [sizes, notified] = bench.quick ? [QUICK, NOTIFIED_QUICK] : [FULL, NOTIFIED_FULL];
    return [
      ...findingsOf(
        await measureEach(bench, { ...sizes, payments: paymentsOf(sizes) }, (rig, contender, progress) =>
          measureContender(rig, contender, sizes, progress),
        ),
        sizes,
      ),
      findingOf(
        await measureEach(
          bench,
          { ...notified, payments: notifiedOf(notified), server: true },
          (rig, contender, progress) => measureNotified(rig, contender, notified, progress),
        ),
        notified,
      ),
    ];
  },
};

/** All contenders on one rig, one after the other. */
async function measureEach<Measured>(
  bench: Bench,
  {
    intervalMs,
    payments,
    server = false,
  }: { intervalMs: number; payments: number } & Pick<RigOptions, 'server'>,
  measure: (rig: Rig, contender: Contender, progress: Progress) => Promise<Measured>,
): Promise<Measured[]> {
  const rig = await bench.open({
    workers: 0,
    server,
    env: { PAYMENT_CHECK_INTERVAL: `${intervalMs}ms` },
  });
  const contenders = [openApplication(rig), await openPgBoss(rig), await openDbos(rig)];
  const results: Measured[] = [];
  try {
    for (const contender of contenders) {
      const progress = bench.progress(`peers: payments on ${contender.name}`, payments);
      results.push(await measure(rig, contender, progress).finally(() => progress.end()));
    }
  } finally {
    await closeAll(contenders);
  }
  return results;
}

async function closeAll(contenders: Contender[]): Promise<void> {
  for (const contender of contenders) await contender.close();
}

function findingsOf(results: Result[], sizes: Sizes): Finding[] {
  const each = (figure: (result: Result) => string): string =>
    results.map((result) => `${result.name} ${figure(result)}`).join(' · ');
  const detail = { sizes, results };
  const unharmed = results.every(({ kill }) => kill.lost === 0);
  return [
    {
      what: `peers: CPU per payment of three checks, ${sizes.perSecond}/s`,
      figure: `${each(({ paced }) => parts(paced.cpu))} ms`,
      target: '',
      met: true,
      detail,
    },
    {
      what: 'peers: lateness of a check, p99',
      figure: `${each(({ paced: { lateness } }) => `${lateness.p99.toFixed(0)} (p50 ${lateness.p50.toFixed(0)})`)} ms`,
      target: '',
      met: true,
      detail: {},
    },
    {
      what: `peers: ${sizes.burst} payments at once`,
      figure: `${each(({ burst }) => burst.perSecond.toFixed(0))} payments/s, of ${(sizes.burst / ((3 * sizes.intervalMs) / 1000)).toFixed(0)} that the intervals permit`,
      target: '',
      met: true,
      detail: {},
    },
    {
      what: 'peers: kill -9 of the worker, lost and told again',
      figure: each(
        ({ kill }) =>
          `${kill.lost} and ${kill.toldAgain} of ${kill.count}, asked again ${kill.askedAgain}, last after ${kill.lastTold.toFixed(1)} s`,
      ),
      target: 'none lost',
      met: unharmed,
      detail: {},
    },
  ];
}

function findingOf(notified: Notified[], sizes: NotifiedSizes): Finding {
  const each = (figure: (result: Notified) => string): string =>
    notified.map((result) => `${result.name} ${figure(result)}`).join(' · ');
  return {
    what: `peers: CPU per payment that is notified, ${sizes.perSecond}/s`,
    figure:
      `${each(({ cpu }) => parts(cpu))} ms; lost and told again: ` +
      each(({ lost, toldAgain, count }) => `${lost} and ${toldAgain} of ${count}`),
    target: 'none lost or told again',
    met: notified.every(({ lost, toldAgain }) => lost === 0 && toldAgain === 0),
    detail: { sizes, notified },
  };
}

function parts({ worker, http, server, postgres, all }: Parts): string {
  const named = { worker, HTTP: http, Temporal: server, Postgres: postgres };
  const text = Object.entries(named)
    .filter(([, ms]) => ms > 0)
    .map(([name, ms]) => `${name} ${ms.toFixed(1)}`);
  return `${all.toFixed(1)} (${text.join(' + ')})`;
}
