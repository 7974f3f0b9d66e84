import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { payeeOf, type AccountOptions, type Accounts } from './accounts';
import type { Books } from './books';
import { orderFor } from './methods';
import { readYuan } from './money';
import { Refusal } from './refusal';
import type { Payee } from './trade';
import type { Trades } from './trades';

/** One order of a seed, in the state that it should have. */
export const seedOrder = z.strictObject({
  /** Its seller. Default: the first seller. */
  sellerId: z.string().optional(),
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

const id = z.string().regex(/^\d{1,32}$/);

const seedAccount = z.strictObject({
  appId: id.optional(),
  sellerId: id,
  appAuthToken: z.string().min(1).optional(),
  authAppId: id.optional(),
  merchantPublicKey: z.string().min(1).optional(),
}) satisfies z.ZodType<AccountOptions>;

/** What a sandbox starts with. */
export const seedFile = z.strictObject({
  /** Accounts in addition to the first. They exist from the start: a running sandbox accepts no new ones. */
  accounts: z.array(seedAccount).max(1000).optional(),
  orders: z.array(seedOrder).max(100_000),
});

/** What a sandbox starts with, as a user writes it. */
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

/** Where orders are created. */
interface Ground {
  accounts: Accounts;
  books: Books;
  now: () => number;
}

/**
 * Creates orders without notifying any merchant. An order that already exists stays unchanged.
 * @returns how many are new
 * @throws Refusal `INVALID_INPUT` naming the order, or the account that does not exist
 */
export function plant({ accounts, books, now }: Ground, seed: Seed): number {
  const read = seedFile.parse(seed);
  for (const { appId = accounts.first.appId, sellerId } of read.accounts ?? []) {
    if (!accounts.ofApp(appId).some((account) => account.sellerId === sellerId))
      throw new Refusal(
        'INVALID_INPUT',
        `a running sandbox cannot take a new account: ${appId}, ${sellerId}`,
      );
  }
  let planted = 0;
  for (const order of read.orders) {
    try {
      const account = accounts.pick({ sellerId: order.sellerId });
      if (account === undefined) throw new Refusal('INVALID_INPUT', `no seller ${order.sellerId ?? ''}`);
      const trades = books.of(account.sellerId);
      if (trades.order(order.outTradeNo) !== undefined) continue;
      plantOne({ trades, payee: payeeOf(account), now }, order);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      throw new Refusal('INVALID_INPUT', `order ${order.outTradeNo} of the seed: ${error.message}`);
    }
    planted += 1;
  }
  return planted;
}

function plantOne(
  { trades, payee, now }: { trades: Trades; payee: Payee; now: () => number },
  seeded: z.output<typeof seedOrder>,
): void {
  const { outTradeNo, product, status, refunds } = seeded;
  const order = orderFor(
    { payee, now },
    product,
    {
      out_trade_no: outTradeNo,
      total_amount: seeded.totalAmount,
      subject: seeded.subject,
      product_code: PRODUCT_CODES[product],
    },
    { notify_url: seeded.notifyUrl ?? '', return_url: seeded.returnUrl ?? '' },
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
