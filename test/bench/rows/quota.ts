import { rows } from '../../../db/connect';
import type { CallEntry, JournalEntry } from '../../../sandbox';
import { inLanes } from '../pace';
import type { Row } from '../row';
import { THE_TEA } from '../row';
import { putExpiredOrders, untilDone } from '../shop';
import { busiest } from '../statistics';
import { verify } from '../verify';
import type { Rig } from '../rig';

const MAX_RPS = 50;
const WORKERS = 3;
const CHECKS = 3;

/** Payments due at once, in full and with `--quick`. */
const DUE = 2_000;
const FEWER = 150;

/** Concurrent waits for a run's end: the server allows 1,200, including the workers' polls. */
const WATCHED = 300;

export const quota: Row = {
  name: 'quota',
  summary: 'calls at the gateway in the busiest second, when many payments are due at once beside a sweep',
  async run(bench) {
    const count = bench.quick ? FEWER : DUE;
    const expired = count / 5;
    const rig = await bench.open({
      workers: 0,
      env: { PAYMENT_CHECK_INTERVAL: '1s', ALIPAY_MAX_RPS: String(MAX_RPS) },
    });
    const progress = bench.progress('quota: payments begun and ended', 2 * count);
    const outTradeNos: string[] = [];
    // No worker runs yet, so that all of them are due when the workers start.
    await inLanes(count, 8, async (index) => {
      const { outTradeNo } = await rig.payments.checkout({ orderId: `order-${index}`, ...THE_TEA });
      outTradeNos.push(outTradeNo);
      progress.advance();
    });
    await putExpiredOrders(rig, 'expired-', expired);
    await Promise.all(Array.from({ length: WORKERS }, () => rig.startWorker()));
    const sweeping = rig.payments.sweep.run();
    await inLanes(count, WATCHED, async (index) => {
      await untilDone(rig, outTradeNos[index] ?? '');
      progress.advance();
    });
    const { closed } = await sweeping;
    progress.end();
    if (closed !== expired) throw new Error(`The sweep closed ${closed} of ${expired} orders`);
    await verify(rig, { unpaid: count, closed });

    const calls = (await rig.alipay.journal()).filter(isCall);
    const times = calls.map(({ at }) => Date.parse(at));
    const [inSecond, inFive] = [busiest(times, 1_000), busiest(times, 5_000)];
    const skipped = await checksSkipped(rig, outTradeNos, calls);
    return [
      {
        what: `quota of ${MAX_RPS}/s, ${WORKERS} workers, ${DUE} payments due at once${bench.quick ? ` (${FEWER}: quick)` : ''}`,
        figure: `at most ${inSecond} in any second, ${inFive} in any 5 s, ${skipped} checks skipped, ${calls.length} calls`,
        target: '≤ 55, ≤ 255, none skipped',
        met: inSecond <= 55 && inFive <= 255 && skipped === 0,
        detail: { inSecond, inFive, skipped, calls: calls.length, payments: count, expired },
      },
    ];
  },
};

const isCall = (entry: JournalEntry): entry is CallEntry => entry.kind === 'call';

/** Checks that never reached the gateway, by its journal, or were never counted in the row. */
async function checksSkipped(rig: Rig, outTradeNos: string[], calls: CallEntry[]): Promise<number> {
  const asked = new Map<string, number>();
  for (const { outTradeNo = '' } of calls) asked.set(outTradeNo, (asked.get(outTradeNo) ?? 0) + 1);
  const counted = new Map(
    (
      await rows<{ id: string; checks: number }>(rig.db, `SELECT out_trade_no AS id, checks FROM payments`)
    ).map(({ id, checks }) => [id, checks]),
  );
  const made = (id: string): number => Math.min(CHECKS, asked.get(id) ?? 0, counted.get(id) ?? 0);
  return outTradeNos.reduce((skipped, id) => skipped + CHECKS - made(id), 0);
}
