import fc from 'fast-check';
import type { SandboxControl, TradeView } from '../../sandbox';
import { Refusal } from '../../sandbox';

interface Whim {
  /** Whether this paid trade is refunded: one in fifteen is. */
  refunds: boolean;
  /** The share refunded: 1 is all. */
  part: number;
}

const whim = fc.record<Whim>({
  refunds: fc.oneof(
    { weight: 14, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  part: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 0.99, noNaN: true })),
});

/** The shop refunds some buyers in the merchant portal, bypassing us: all of the money, or a part. */
export async function refundSomeByHand(alipay: SandboxControl, seed: number): Promise<void> {
  const trades = (await alipay.trades()).filter(({ status }) => status === 'TRADE_SUCCESS');
  const whims = fc.sample(whim, { seed, numRuns: Math.max(trades.length, 1) });
  for (const [place, trade] of trades.entries()) {
    const { refunds, part } = whims[place] ?? { refunds: false, part: 1 };
    if (refunds) await refund(alipay, trade, part);
  }
}

async function refund(
  alipay: SandboxControl,
  { outTradeNo, totalAmount }: TradeView,
  part: number,
): Promise<void> {
  const fen = Math.max(1, Math.round(Number(totalAmount) * 100 * part));
  try {
    await alipay.refundByHand(outTradeNo, (fen / 100).toFixed(2));
  } catch (error) {
    // We have refunded it in the meantime: nothing is left to give back.
    if (!(error instanceof Refusal)) throw error;
  }
}
