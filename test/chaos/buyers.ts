import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { SandboxControl } from '../../sandbox';
import { Refusal } from '../../sandbox';
import { waitFor } from '../../dev/wait-for';
import type { Database } from '../../db/connect';
import { row, rows } from '../../db/connect';
import type { Product } from '../../workflows/messages';
import type { History } from './history';

/** What a buyer does, and the share of buyers who do it, in percent. */
const MANNERS = {
  'pays at once': 26,
  'pays, and wants a part back': 5,
  'pays, and wants all of it back': 3,
  'pays later': 15,
  'pays in the last second': 9,
  'pays in two tabs': 12,
  'pays after we closed': 7,
  'pays while the shop cancels': 5,
  'pays while the shop cancels for good': 2,
  'scans and leaves': 9,
  'never comes': 7,
} as const;

type Manner = keyof typeof MANNERS;

/** One order, and what its buyer does. */
export interface Plan {
  manner: Manner;
  product: Product;
  /** Fen. */
  amount: number;
  /** How long the order may stay unpaid. */
  seconds: number;
  /** When a hesitant buyer acts, as a share of that time; for other buyers, the share of the money they want back. */
  hesitation: number;
}

const manners = Object.entries(MANNERS) as [Manner, number][];
const plan = fc.record<Plan>({
  manner: fc.oneof(...manners.map(([manner, weight]) => ({ weight, arbitrary: fc.constant(manner) }))),
  product: fc.constantFrom('page', 'wap', 'precreate'),
  amount: fc.oneof(fc.constantFrom(1, 29, 10_000_000_000), fc.integer({ min: 1, max: 99_999 })),
  seconds: fc.integer({ min: 20, max: 40 }),
  hesitation: fc.double({ min: 0.1, max: 0.9, noNaN: true }),
});

/** Enough plans for this many payments (two tabs make two); the same seed makes the same plans. */
export function planBuyers(payments: number, seed: number): Plan[] {
  const plans: Plan[] = [];
  let planned = 0;
  for (const next of fc.sample(plan, { seed, numRuns: payments })) {
    if (planned >= payments) break;
    plans.push(planned + paymentsOf(next) > payments ? { ...next, manner: 'pays at once' } : next);
    planned += paymentsOf(plans.at(-1) ?? next);
  }
  return plans;
}

export const paymentsOf = ({ manner }: Plan): number => (manner === 'pays in two tabs' ? 2 : 1);

const yuan = (fen: number): string => `${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, '0')}`;

/** What the buyers act on. */
export interface Street {
  history: History;
  alipay: SandboxControl;
  db: Database;
}

/** How often a shop retries what fails because of Alipay or us. */
const TRIES = 16;

/** Longer each time: many who retry at once would hold each other up. */
const pause = (tries: number): Promise<void> => sleep(Math.min(5_000, 400 * 1.4 ** tries));

/** One buyer, and the shop's page that serves them. */
export class Buyer {
  constructor(
    private readonly street: Street,
    private readonly orderId: string,
    private readonly plan: Plan,
  ) {}

  /** Goes to the cashier and does what this buyer does, to the end. Being refused is part of a buyer's life. */
  async live(): Promise<void> {
    const { manner, seconds, hesitation } = this.plan;
    const first = await this.#checkOut();
    if (!first) return;
    switch (manner) {
      case 'pays at once':
        await this.#pay(first);
        return;
      case 'pays, and wants a part back':
        await this.#pay(first);
        await this.#wantBack(Math.max(1, Math.round(this.plan.amount * hesitation)));
        return;
      case 'pays, and wants all of it back':
        await this.#pay(first);
        await this.#wantBack(this.plan.amount);
        return;
      case 'pays later':
        await this.#scan(first);
        await sleep(seconds * hesitation * 1000);
        await this.#pay(first);
        return;
      case 'pays in the last second':
        await this.#scan(first);
        await this.#untilTheLastSecond();
        await this.#pay(first);
        return;
      case 'pays in two tabs':
        await this.#payInTwoTabs(first);
        return;
      case 'pays after we closed':
        await this.#letOurClockRunAhead();
        await this.#pay(first);
        return;
      case 'pays while the shop cancels':
        await this.#scan(first);
        await Promise.all([this.#cancel(), sleep(hesitation * 200).then(() => this.#pay(first))]);
        return;
      case 'pays while the shop cancels for good':
        await Promise.all([
          this.#cancel({ ifPaidLater: 'refund' }),
          sleep(hesitation * 2_000).then(() => this.#pay(first)),
        ]);
        return;
      case 'scans and leaves':
        await this.#scan(first);
        return;
      case 'never comes':
        return;
    }
  }

  /** The second tab is another payment of the same order; the buyer pays both. */
  async #payInTwoTabs(first: string): Promise<void> {
    const second = await this.#checkOut(`${this.orderId.replaceAll('-', '_')}_b`);
    await this.#scan(first);
    if (second) await this.#scan(second);
    await sleep(this.plan.hesitation * 3_000);
    await Promise.all([this.#pay(first), second && this.#pay(second)]);
  }

  async #checkOut(outTradeNo = `${this.orderId.replaceAll('-', '_')}_a`): Promise<string | undefined> {
    const { product, amount, seconds } = this.plan;
    for (let tries = 0; tries < TRIES; tries += 1) {
      const answer = await this.street.history.post(
        '/checkout',
        { orderId: this.orderId, outTradeNo },
        {
          orderId: this.orderId,
          outTradeNo,
          product,
          subject: 'A pot of tea',
          totalAmount: yuan(amount),
          expiresIn: `${seconds}s`,
        },
      );
      if (answer.status === 200 && (await this.#open(String(answer.body['paymentUrl'])))) return outTradeNo;
      // The order was paid, closed or expired in the meantime: no tab opens any more.
      if (answer.status === 409) return undefined;
      await pause(tries);
    }
    return undefined;
  }

  /** Once the shop knows of the payment. Without an answer, the refund is requested again with the same number. */
  async #wantBack(fen: number): Promise<void> {
    const { history } = this.street;
    const ids = { orderId: this.orderId, refundId: `back-${this.orderId}` };
    for (let tries = 0; tries < TRIES; tries += 1) {
      const { status, body } = await history.post('/refunds', ids, { ...ids, amount: yuan(fen) });
      if (status === 200) return;
      // Not paid yet, as far as we know; or never, because Alipay refused the buyer.
      const waits =
        status === 0 || status === 503 || body['code'] === 'ORDER_NOT_PAID' || body['code'] === 'ORDER_HELD';
      if (!waits) return;
      await pause(tries);
    }
  }

  /** A shop that gets no answer need not know: an order not cancelled now is closed when it expires. */
  async #cancel(note: object = {}): Promise<void> {
    await this.street.history.post(
      `/orders/${this.orderId}/close`,
      { orderId: this.orderId },
      { actor: 'shop', reason: 'cancelled', ...note },
    );
  }

  /**
   * Alipay takes no money after `time_expire`, so nothing comes late on its own. Here our clock runs ahead of Alipay's:
   * SQL moves the order's end to now, it is closed here, and only then does the buyer pay.
   */
  async #letOurClockRunAhead(): Promise<void> {
    await rows(this.street.db, `UPDATE orders SET expires_at = now() WHERE id = :id AND status = 'UNPAID'`, {
      id: this.orderId,
      // Postgres may be down: then the clock is not wrong this time.
    }).catch(() => undefined);
    await waitFor(async () => (await this.#order())?.status !== 'UNPAID', {
      what: `order ${this.orderId} to be closed`,
      timeoutMs: (this.plan.seconds - 3) * 1000,
      everyMs: 500,
    }).catch(() => undefined);
  }

  #order(): Promise<{ status: string; remaining: number } | undefined> {
    return row(
      this.street.db,
      `SELECT status, CAST(EXTRACT(EPOCH FROM expires_at - now()) * 1000 AS float8) AS remaining
       FROM orders WHERE id = :id`,
      { id: this.orderId },
    );
  }

  /** Alipay stops taking money one to two seconds before the order expires; the buyer pays just before or after. */
  async #untilTheLastSecond(): Promise<void> {
    const { remaining = 0 } = (await this.#order().catch(() => undefined)) ?? {};
    await sleep(Math.max(0, remaining - 2_500 + this.plan.hesitation * 1_000));
  }

  #open(paymentUrl: string): Promise<boolean> {
    return accepted(() => this.street.alipay.open(paymentUrl));
  }

  #scan(outTradeNo: string): Promise<boolean> {
    return accepted(() => this.street.alipay.scan(outTradeNo));
  }

  #pay(outTradeNo: string): Promise<boolean> {
    return accepted(() => this.street.alipay.pay(outTradeNo));
  }
}

/** Whether Alipay let the buyer do it. */
async function accepted(act: () => Promise<unknown>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
