import { cpuSeconds } from '../cpu';
import { atRate } from '../pace';
import type { Bench, Row } from '../row';
import { THE_TEA } from '../row';
import { putOpenPayments } from '../shop';
import { quantile } from '../statistics';
import type { Rig } from '../rig';

const FEW = 1_000;
const MANY = 1_000_000;

/** With `--quick`. */
const FEWER = 50_000;

const PER_SECOND = 10;

/** Sweeps and follow-ups that find nothing. */
const ROUNDS = 20;

interface Measured {
  open: number;
  checkout: { p50: number; p99: number };
  /** Postgres' CPU for one sweep and one follow-up that find nothing due, ms. */
  postgresMs: number;
}

export const open: Row = {
  name: 'open',
  summary:
    'checkout, and a sweep and a follow-up with nothing due, among 1,000,000 open payments against 1,000',
  async run(bench) {
    const rig = await bench.open({ env: { PAYMENT_CHECK_INTERVAL: '1h' } });
    const few = await measure(rig, bench, 0, FEW);
    const many = await measure(rig, bench, FEW, bench.quick ? FEWER : MANY);
    const ratio = many.checkout.p99 / few.checkout.p99;
    const words = ({ checkout: { p50, p99 } }: Measured): string =>
      `${p99.toFixed(0)} ms (p50 ${p50.toFixed(0)} ms)`;
    return [
      {
        what: `checkout call, p99, among ${many.open} open payments ÷ ${few.open}`,
        figure: `${ratio.toFixed(2)}: ${words(many)} ÷ ${words(few)} at ${PER_SECOND}/s`,
        target: '≤ 1.2',
        met: ratio <= 1.2,
        detail: { few, many },
      },
      {
        what: `sweep and follow-up with nothing due among ${many.open} open payments`,
        figure: `${many.postgresMs.toFixed(1)} ms of Postgres' CPU (among ${few.open}: ${few.postgresMs.toFixed(1)} ms)`,
        target: '≤ 50 ms',
        met: many.postgresMs <= 50,
        detail: { few, many, rounds: ROUNDS },
      },
    ];
  },
};

async function measure(rig: Rig, bench: Bench, already: number, count: number): Promise<Measured> {
  await putOpenPayments(rig, already + 1, count);
  const calls = PER_SECOND * (bench.quick ? 10 : 60);
  const warmUp = PER_SECOND * 5;
  const progress = bench.progress(`open: checkouts among ${count}`, warmUp + calls);
  const times: number[] = [];
  await atRate(warmUp + calls, PER_SECOND, async (index) => {
    const startedAt = performance.now();
    await rig.payments.checkout({ orderId: `order-${count}-${index}`, ...THE_TEA });
    if (index >= warmUp) times.push(performance.now() - startedAt);
    progress.advance();
  });
  progress.end();
  const before = cpuSeconds(rig.postgres.pid);
  for (let round = 0; round < ROUNDS; round += 1) {
    const { scanned } = await rig.payments.sweep.run({});
    if (scanned > 0) throw new Error(`The sweep found ${scanned} orders`);
    await rig.payments.followUp.run();
  }
  const postgresMs = (1000 * (cpuSeconds(rig.postgres.pid) - before)) / ROUNDS;
  return { open: count, checkout: { p50: quantile(times, 0.5), p99: quantile(times, 0.99) }, postgresMs };
}
