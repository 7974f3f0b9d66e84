import { atRate } from '../pace';
import type { Row } from '../row';
import { THE_TEA } from '../row';
import { untilDone } from '../shop';
import { quantile } from '../statistics';
import { verify } from '../verify';

/** Used if `throughput` has not measured what this machine sustains. */
const DEFAULT_RATE = 20;

export const checkout: Row = {
  name: 'checkout',
  summary: 'how long PaymentClient.checkout takes while payments live at half of the sustainable rate',
  async run(bench) {
    const perSecond = bench.sustained === undefined ? DEFAULT_RATE : bench.sustained / 2;
    const count = Math.round(perSecond * (bench.quick ? 10 : 30));
    const rig = await bench.open({ env: { PAYMENT_CHECK_INTERVAL: '2s' } });
    const warmUp = Math.round(count / 5);
    const progress = bench.progress('checkout: payments', warmUp + count);
    const times: number[] = [];
    await atRate(warmUp + count, perSecond, async (index) => {
      const startedAt = performance.now();
      const { outTradeNo, paymentUrl } = await rig.payments.checkout({
        orderId: `order-${index}`,
        ...THE_TEA,
      });
      if (index >= warmUp) times.push(performance.now() - startedAt);
      await rig.alipay.pay(paymentUrl, { notify: false });
      await untilDone(rig, outTradeNo);
      progress.advance();
    });
    progress.end();
    await verify(rig, { paid: warmUp + count });
    const [p50, p99] = [quantile(times, 0.5), quantile(times, 0.99)];
    return [
      {
        what: 'checkout call, p99',
        figure: `${p99.toFixed(0)} ms (p50 ${p50.toFixed(0)} ms) at ${perSecond.toFixed(0)} payments/s`,
        target: '≤ 50 ms',
        met: p99 <= 50,
        detail: { perSecond, count, p50, p99, p90: quantile(times, 0.9), worst: Math.max(...times) },
      },
    ];
  },
};
