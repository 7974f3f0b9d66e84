import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import type { Payment } from '../../db/payments';
import { findPaymentsOfOrder } from '../../db/payments';
import type { Shop } from './shop';

/** Failures are what is tested here; the SDK would print each with its stack. */
const SILENT = new DefaultLogger('ERROR', () => undefined);

/**
 * Does by hand, one step at a time, what the workers of a shop would do by themselves: the real activities, in an order
 * that the test chooses. For shops opened with `queues: []`.
 */
export class Hands {
  readonly #shop: Shop;
  readonly #payments;
  readonly #alipay;
  readonly #recorded = new Set<string>();

  constructor(shop: Shop) {
    this.#shop = shop;
    this.#payments = createPaymentsQueueActivities(shop.deps);
    this.#alipay = createAlipayQueueActivities(shop.deps);
  }

  /** One check, and what follows from its answer; a gateway that fails leaves everything as it is. */
  async check(outTradeNo: string): Promise<void> {
    const asked = await attempt(() => this.#run(() => this.#payments.queryAlipay({ outTradeNo, check: 0 })));
    if (asked?.answer === 'paid' || asked?.answer === 'closed') {
      await this.#run(() => this.#payments.recordEvidence({ outTradeNo }));
    }
  }

  /** Lets the payment's workflow hear all evidence that waits for it; `again` also what it has heard before. */
  async hear(outTradeNo: string, { again = false } = {}): Promise<void> {
    for (const { id } of await this.#evidenceOf(outTradeNo)) {
      if (!again && this.#recorded.has(id)) continue;
      await this.#run(() => this.#payments.recordEvidence({ outTradeNo, eventId: id }));
      this.#recorded.add(id);
    }
  }

  async refund(outTradeNo: string): Promise<void> {
    await attempt(() => this.#run(() => this.#alipay.refundPayment({ outTradeNo })));
  }

  async close(orderId: string, actor = 'sweep'): Promise<void> {
    await attempt(() => this.#run(() => this.#alipay.closeExpiredOrders({ orderIds: [orderId], actor })));
  }

  async cancel(orderId: string): Promise<void> {
    await attempt(() =>
      this.#run(() => this.#alipay.cancelOrder({ orderId, actor: 'shop', reason: 'buyer asked' })),
    );
  }

  async doWhatIsOwed(): Promise<void> {
    await this.#run(() => this.#alipay.doWhatIsOwed({ dryRun: false }));
  }

  /** Everything that time brings: expiry, checks, the sweep, re-checks, refunds; until nothing changes any more. */
  async settle(orderId: string): Promise<Payment[]> {
    let before = '';
    for (let round = 0; round < 8; round += 1) {
      await this.#passTime(orderId);
      await this.close(orderId);
      await this.doWhatIsOwed();
      for (const { outTradeNo, status } of await findPaymentsOfOrder(this.#shop.db, orderId)) {
        await this.hear(outTradeNo);
        if (status === 'REFUNDING') await this.refund(outTradeNo);
      }
      const payments = await findPaymentsOfOrder(this.#shop.db, orderId);
      const now = JSON.stringify(payments.map(({ outTradeNo, status }) => [outTradeNo, status]));
      if (now === before) return payments;
      before = now;
    }
    throw new Error(`order ${orderId} does not come to rest: ${before}`);
  }

  /** The order's time is over, and 25 hours more. */
  async #passTime(orderId: string): Promise<void> {
    await this.#shop.sql(`UPDATE orders SET expires_at = now() - interval '1 day' WHERE id = :orderId`, {
      orderId,
    });
    await this.#shop.sql(
      `UPDATE payments SET recheck_at = now() WHERE order_id = :orderId AND recheck_at IS NOT NULL`,
      { orderId },
    );
  }

  #evidenceOf(outTradeNo: string): Promise<Array<{ id: string }>> {
    return this.#shop.sql(
      `SELECT id FROM payment_events WHERE out_trade_no = :outTradeNo AND event IN ('notified', 'answered') ORDER BY id`,
      { outTradeNo },
    );
  }

  #run<Result>(activity: () => Promise<Result>): Promise<Result> {
    return new MockActivityEnvironment({}, { logger: SILENT }).run(activity);
  }
}

/** A failed call of Alipay, or a lock that took too long, is what these tests are about: it leaves all as it is. */
async function attempt<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    const { type } = error as { type?: string };
    if (type !== undefined && /^(ALIPAY_|ORDER_|DATABASE_)/.test(type)) return undefined;
    throw error;
  }
}
