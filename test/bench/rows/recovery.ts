import { inLanes } from '../pace';
import type { Bench, Row } from '../row';
import { checkOutAndPay, untilDone } from '../shop';
import { median, spread } from '../statistics';
import { verify } from '../verify';

const INTERVAL_S = 6;

interface Recovery {
  /** Seconds after the kill. */
  lastDone: number;
  lastDue: number;
  workerReady: number;
  doneBefore: number;
}

export const recovery: Row = {
  name: 'recovery',
  summary: 'kill -9 of the only worker while payments are being checked: when the last one is done',
  async run(bench) {
    const recoveries: Recovery[] = [];
    for (let run = 0; run < (bench.quick ? 1 : 3); run += 1) recoveries.push(await killOnce(bench));
    const last = recoveries.map(({ lastDone }) => lastDone);
    const ready = recoveries.map(({ workerReady }) => workerReady);
    return [
      {
        what: 'kill -9 of the only worker: last payment done after',
        figure: `${spread(last, 1)} s, of which the new worker needed ${spread(ready, 1)} s to start`,
        target: '≤ 5 s',
        met: median(last) <= 5,
        detail: { recoveries },
      },
    ];
  },
};

async function killOnce(bench: Bench): Promise<Recovery> {
  const count = bench.quick ? 100 : 200;
  const rig = await bench.open({ env: { PAYMENT_CHECK_INTERVAL: `${INTERVAL_S}s` } });
  const progress = bench.progress('recovery: payments', count);
  const started: { outTradeNo: string; dueAt: number }[] = [];
  const begin = async (index: number): Promise<void> => {
    const { outTradeNo } = await checkOutAndPay(rig, `order-${index}`);
    started.push({ outTradeNo, dueAt: performance.now() + INTERVAL_S * 1000 });
  };
  await inLanes(count, 8, begin);

  const doneAt: number[] = [];
  let killedAt = 0;
  let workerReady: Promise<number> | undefined;
  const killAndRestart = async (): Promise<number> => {
    const [worker] = rig.workers;
    killedAt = performance.now();
    worker?.kill();
    await worker?.exit;
    await rig.startWorker();
    return performance.now();
  };
  await Promise.all(
    started.map(async ({ outTradeNo }) => {
      await untilDone(rig, outTradeNo);
      doneAt.push(performance.now());
      progress.advance();
      if (doneAt.length === Math.round(count / 3)) workerReady = killAndRestart();
    }),
  );
  progress.end();
  const readyAt = await workerReady;
  await verify(rig, { paid: count, toldAgain: true });
  const seconds = (time: number): number => (time - killedAt) / 1000;
  return {
    lastDone: seconds(Math.max(...doneAt)),
    lastDue: seconds(Math.max(...started.map(({ dueAt }) => dueAt))),
    workerReady: seconds(readyAt ?? Number.NaN),
    doneBefore: doneAt.filter((time) => time <= killedAt).length,
  };
}
