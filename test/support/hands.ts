import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import type { Payment } from '../../db/payments';
import { findPaymentsOfOrder } from '../../db/payments';
import { findRefundsOfPayment, listRefunds } from '../../db/refunds';
import type { ReviewOutcome } from '../../workflows/messages';
import type { Shop } from './shop';

/** Failures are what is tested here; otherwise the SDK prints each with its stack. */
const SILENT = new DefaultLogger('ERROR', () => undefined);

/** Runs an activity as a worker would, once. */
export const inActivity = <Result>(activity: () => Promise<Result>): Promise<Result> =>
  new MockActivityEnvironment({}, { logger: SILENT }).run(activity);

/**
 * Does by hand, one step at a time, what the workers of a shop would do by themselves: the real activities, in an order
 * that the test chooses. For shops opened with `queues: []`.
 */
export class Hands {
  readonly #shop: Shop;
  readonly #payments;
  readonly #alipay;

  constructor(shop: Shop) {
    this.#shop = shop;
    this.#payments = createPaymentsQueueActivities(shop.deps);
    this.#alipay = createAlipayQueueActivities(shop.deps);
  }

  /** One check, and what follows from its answer; a failing gateway leaves everything as it is. */
  async check(outTradeNo: string): Promise<void> {
    const question = { outTradeNo, check: 0, nextCheckInMs: null };
    const asked = await attempt(() => inActivity(() => this.#alipay.queryAlipay(question)));
    if (asked?.answer === 'paid' || asked?.answer === 'closed') await this.hear(outTradeNo);
  }

  /** Lets the payment's workflow record all evidence not yet recorded; `again`: also what was recorded before. */
  async hear(outTradeNo: string, { again = false } = {}): Promise<void> {
    if (again) {
      await this.#shop.sql(`UPDATE evidence SET recorded_at = NULL WHERE out_trade_no = :outTradeNo`, {
        outTradeNo,
      });
    }
    await inActivity(() => this.#payments.recordAndTell({ outTradeNo })).catch(ignoreUnknown);
  }

  /** A person decides; if Alipay contradicts the decision, nothing changes. */
  async decide(outTradeNo: string, to: ReviewOutcome, outside?: { reference: string }): Promise<void> {
    const decision = { outTradeNo, to, outside, actor: 'anna', reason: 'looked at the portal' };
    await attempt(() => inActivity(() => this.#alipay.resolveReview(decision)));
  }

  /** Tries each pending refund of a payment once, as the refunds' runs do; the pause between two is over. */
  async refund(outTradeNo: string): Promise<void> {
    for (const { outRequestNo, status } of await findRefundsOfPayment(this.#shop.db, outTradeNo)) {
      if (status !== 'REQUESTED') continue;
      await this.#shop.sql(`UPDATE payments SET refund_turn_until = NULL WHERE out_trade_no = :outTradeNo`, {
        outTradeNo,
      });
      await attempt(() => inActivity(() => this.#alipay.refundAtAlipay({ outTradeNo, outRequestNo })));
    }
  }

  async close(orderId: string, actor = 'sweep'): Promise<void> {
    await attempt(() => inActivity(() => this.#alipay.closeExpiredOrders({ orderIds: [orderId], actor })));
  }

  async cancel(orderId: string): Promise<void> {
    await attempt(() =>
      inActivity(() => this.#alipay.cancelOrder({ orderId, actor: 'shop', reason: 'buyer asked' })),
    );
  }

  /** One follow-up: all its kinds, one after the other; what needs a gateway that is down is left. */
  async followUp(): Promise<void> {
    await inActivity(() => this.#payments.tellUndelivered());
    await inActivity(() => this.#payments.wakeUnrecorded());
    await inActivity(() => this.#payments.watchUnwatched());
    await inActivity(() => this.#payments.attendUnattended());
    await inActivity(() => this.#payments.startRefunds());
    await attempt(() => inActivity(() => this.#alipay.askSlowly()));
    await attempt(() => inActivity(() => this.#alipay.closeLeftovers()));
    await attempt(() => inActivity(() => this.#alipay.recheckClosed()));
  }

  /** Everything that time brings: expiry, checks, the sweep, re-checks, refunds; until nothing changes any more. */
  async settle(orderId: string): Promise<Payment[]> {
    let before = '';
    for (let round = 0; round < 8; round += 1) {
      await this.#passTime(orderId);
      await this.close(orderId);
      await this.followUp();
      for (const { outTradeNo } of await findPaymentsOfOrder(this.#shop.db, orderId)) {
        await this.hear(outTradeNo);
        await this.refund(outTradeNo);
      }
      const payments = await findPaymentsOfOrder(this.#shop.db, orderId);
      const refunds = await listRefunds(this.#shop.db, { orderId, limit: 1_000 });
      const now = JSON.stringify([
        payments.map(({ outTradeNo, status }) => [outTradeNo, status]),
        refunds.map(({ outRequestNo, status }) => [outRequestNo, status]),
      ]);
      if (now === before) return payments;
      before = now;
    }
    throw new Error(`order ${orderId} does not come to rest: ${before}`);
  }

  /** Ends the order's time, and makes the re-checks (25 hours later) due. */
  async #passTime(orderId: string): Promise<void> {
    await this.#shop.sql(`UPDATE orders SET expires_at = now() - interval '1 day' WHERE id = :orderId`, {
      orderId,
    });
    await this.#shop.sql(
      `UPDATE payments SET recheck_at = now() WHERE order_id = :orderId AND recheck_at IS NOT NULL`,
      { orderId },
    );
  }
}

/**
 * These tests are about failed calls to Alipay and locks that took too long: they leave everything as it is. If a busy
 * Temporal was not told, the next try tells it, as the workflow's retry does.
 */
async function attempt<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    const { type } = error as { type?: string };
    if (type !== undefined && /^(ALIPAY_|ORDER_|DATABASE_|REVIEW_REFUSED|TEMPORAL_UNAVAILABLE)/.test(type))
      return undefined;
    throw error;
  }
}

/** Nothing is known of the payment: there is nothing to record. */
function ignoreUnknown(error: unknown): void {
  if ((error as { type?: string }).type !== 'PAYMENT_UNKNOWN') throw error;
}
