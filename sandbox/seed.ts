import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { readOrder } from './biz';
import { readYuan } from './money';
import { Refusal } from './refusal';
import type { Trades } from './trades';

/** One order of a seed, in the state that it is to have. */
export const seedOrder = z.strictObject({
  outTradeNo: z.string().regex(/^\w{1,64}$/),
  totalAmount: z.string(),
  subject: z.string().min(1).max(256).default('A seeded order'),
  product: z.enum(['page', 'wap', 'precreate', 'app', 'jsapi', 'barcode']).default('page'),
  /** `opened`: the cashier was opened, and there is no trade yet. */
  status: z
    .enum(['opened', 'WAIT_BUYER_PAY', 'TRADE_SUCCESS', 'TRADE_CLOSED', 'TRADE_FINISHED'])
    .default('TRADE_SUCCESS'),
  refunds: z
    .array(z.strictObject({ outRequestNo: z.string().min(1).max(64), amount: z.string() }))
    .default([]),
  notifyUrl: z.url().optional(),
  returnUrl: z.url().optional(),
});

/** What a sandbox starts with. */
export const seedFile = z.strictObject({ orders: z.array(seedOrder).max(100_000) });

/** What a sandbox starts with, as it is written. */
export type Seed = z.input<typeof seedFile>;

/**
 * Reads a seed file.
 * @throws Error `SANDBOX_SEED` naming the file and what is wrong in it
 */
export function readSeed(path: string): Seed {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    seedFile.parse(parsed);
    return parsed as Seed;
  } catch (error) {
    const words = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw new Error(`SANDBOX_SEED: ${path} cannot be used: ${words}`, { cause: error });
  }
}

const PRODUCT_CODES = { page: 'FAST_INSTANT_TRADE_PAY', jsapi: 'JSAPI_PAY' } as Record<string, string>;

/**
 * Brings orders into being, telling no merchant. An order that exists already stays as it is.
 * @returns how many are new
 * @throws Refusal `INVALID_INPUT` naming the order
 */
export function plant(trades: Trades, seed: Seed, now: () => number): number {
  let planted = 0;
  for (const order of seedFile.parse(seed).orders) {
    if (trades.order(order.outTradeNo) !== undefined) continue;
    try {
      plantOne(trades, order, now);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal('INVALID_INPUT', `order ${order.outTradeNo} of the seed: ${error.message}`);
    }
    planted += 1;
  }
  return planted;
}

function plantOne(trades: Trades, seeded: z.output<typeof seedOrder>, now: () => number): void {
  const { outTradeNo, product, status, refunds } = seeded;
  const order = readOrder(
    product,
    {
      out_trade_no: outTradeNo,
      total_amount: seeded.totalAmount,
      subject: seeded.subject,
      product_code: PRODUCT_CODES[product],
    },
    { notify_url: seeded.notifyUrl ?? '', return_url: seeded.returnUrl ?? '' },
    now(),
  );
  const commit = (events: ReturnType<Trades['paying']>) => trades.commit(events, 'quietly');
  commit(trades.opening({ ...order, cashierId: randomBytes(16).toString('hex') }));
  if (status === 'opened') return;
  commit(trades.scanning(outTradeNo));
  if (status === 'TRADE_SUCCESS' || status === 'TRADE_FINISHED') commit(trades.paying(outTradeNo, true));
  for (const { outRequestNo, amount } of refunds) {
    const fen = readYuan(amount);
    if (fen === undefined || fen === 0) throw new Refusal('INVALID_INPUT', `amount ${amount} is not yuan`);
    commit(trades.refunding({ outTradeNo }, fen, outRequestNo));
  }
  if (status === 'TRADE_CLOSED') commit(trades.closing({ outTradeNo }));
  if (status === 'TRADE_FINISHED') commit(trades.finishing(outTradeNo, false));
}
