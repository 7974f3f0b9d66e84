import { INTERVAL_MS, probe } from '../probes';
import type { Lateness } from '../probes';
import type { Row } from '../row';
import { verify } from '../verify';

export const lateness: Row = {
  name: 'lateness',
  summary: 'how long after their due time checks are made and answered, at half of the sustainable rate',
  async run(bench) {
    const rig = await bench.open({ env: { PAYMENT_CHECK_INTERVAL: `${INTERVAL_MS}ms` } });
    const { lateness: late, became } = await probe(rig, bench, {
      series: 'lateness',
      seconds: bench.quick ? 20 : 60,
    });
    await verify(rig, became);
    return [
      {
        what: 'lateness of a check, p99',
        figure: `${inWords(late)}, ${late.checks} checks ${INTERVAL_MS / 1000} s apart, at ${late.perSecond.toFixed(0)} payments/s`,
        target: '≤ 300 ms',
        met: late.p99 <= 300,
        detail: { intervalMs: INTERVAL_MS, ...late },
      },
    ];
  },
};

/** `45 ms (p50 20 ms)` */
export const inWords = ({ p50, p99 }: Pick<Lateness, 'p50' | 'p99'>): string =>
  `${p99.toFixed(0)} ms (p50 ${p50.toFixed(0)} ms)`;
