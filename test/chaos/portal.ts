import fc from 'fast-check';
import type { SandboxControl, TradeView } from '../../sandbox';
import { Refusal } from '../../sandbox';

interface Whim {
  /** Which of the paid trades: one in fifteen. */
  refunds: boolean;
  /** How much of it: 1 is all. */
  part: number;
}

const whim = fc.record<Whim>({
  refunds: fc.oneof(
    { weight: 14, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
  part: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 0.99, noNaN: true })),
});

/** The shop gives some buyers their money back in the merchant portal, past us: all of it, or a part. */
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
    // We have refunded it meanwhile: there is nothing left to give back.
    if (!(error instanceof Refusal)) throw error;
  }
}
