import type { Contender } from '../peers/contender';
import { openDbos } from '../peers/dbos/client';
import { measureContender, paymentsOf } from '../peers/measure';
import type { Parts, Result, Sizes } from '../peers/measure';
import { openPgBoss } from '../peers/pg-boss/client';
import { openApplication } from '../peers/temporal';
import type { Finding, Row } from '../row';

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

export const peers: Row = {
  name: 'peers',
  summary: 'the same work on pg-boss and on DBOS, with the same PostgreSQL, gateway and statements',
  async run(bench) {
    const sizes = bench.quick ? QUICK : FULL;
    const rig = await bench.open({ workers: 0, env: { PAYMENT_CHECK_INTERVAL: `${INTERVAL_MS}ms` } });
    const contenders = [openApplication(rig), await openPgBoss(rig), await openDbos(rig)];
    const results: Result[] = [];
    try {
      for (const contender of contenders) {
        const progress = bench.progress(`peers: payments on ${contender.name}`, paymentsOf(sizes));
        results.push(await measureContender(rig, contender, sizes, progress).finally(() => progress.end()));
      }
    } finally {
      await closeAll(contenders);
    }
    return findingsOf(results, sizes);
  },
};

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

function parts({ worker, server, postgres, all }: Parts): string {
  const named = { worker, Temporal: server, Postgres: postgres };
  const text = Object.entries(named)
    .filter(([, ms]) => ms > 0)
    .map(([name, ms]) => `${name} ${ms.toFixed(1)}`);
  return `${all.toFixed(1)} (${text.join(' + ')})`;
}
