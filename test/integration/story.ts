import type { CheckoutInput, PaymentClient } from '../../client/index';
import type { PaymentEvent } from '../../db/payment-events';
import type { CallEntry } from '../../sandbox';
import type {
  FollowUpReport,
  PaymentState,
  StoredPaymentStatus,
  SweepInput,
  SweepReport,
} from '../../workflows/messages';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { waitFor } from '../support';

const HOUR_MS = 3_600_000;

/** What tests on a whole shop do and check, in the words of the story. Nothing here is a double. */
export class Story {
  static #orders = 0;

  /** @param checkouts - the client, with its settings, that checks payments out. Default: the shop's */
  constructor(
    readonly shop: Shop,
    readonly checkouts: PaymentClient = shop.payments,
  ) {}

  /** The buyer goes to the cashier; the page is open, but not scanned yet. */
  async checkOut(
    more: Partial<CheckoutInput> = {},
  ): Promise<{ orderId: string; outTradeNo: string; paymentUrl: string }> {
    Story.#orders += 1;
    const { orderId, outTradeNo, paymentUrl } = await this.checkouts.checkout({
      orderId: `order-${Story.#orders}`,
      subject: 'A pot of tea',
      totalAmount: '12.30',
      ...more,
    });
    await this.shop.alipay.control.open(paymentUrl);
    return { orderId, outTradeNo, paymentUrl };
  }

  /** The buyer pays; whether Alipay's notification comes is up to the test. */
  async pay(outTradeNo: string, { notify = false } = {}): Promise<void> {
    await this.shop.alipay.control.pay(outTradeNo, { notify });
  }

  /** The buyer pays without a notification, and the next answer names a fen too much: a case for a person. */
  async payTooMuch(outTradeNo: string): Promise<void> {
    const fault = { mode: 'wrong-amount', method: 'alipay.trade.query', outTradeNo, times: 1 } as const;
    await this.shop.alipay.control.fault(fault);
    await this.pay(outTradeNo);
  }

  /** An order that was paid and notified, whose run has ended and whose order service has acted on it. */
  async paidAndTold(): ReturnType<Story['checkOut']> {
    const checkout = await this.checkOut();
    await this.pay(checkout.outTradeNo, { notify: true });
    await this.until(checkout.outTradeNo, 'PAID');
    await this.ended(checkout.outTradeNo);
    await this.told(checkout.orderId, 1);
    return checkout;
  }

  /** The ids of the results that the order service has not been told. */
  async undelivered(orderId: string): Promise<{ id: string }[]> {
    return this.shop.sql(`SELECT id FROM order_messages WHERE order_id = :orderId AND told_at IS NULL`, {
      orderId,
    });
  }

  /** A second tab: another payment of the same order. */
  secondTab(orderId: string, outTradeNo: string): ReturnType<Story['checkOut']> {
    return this.checkOut({ orderId, outTradeNo });
  }

  /** Ends the order's time, by Postgres' clock. At Alipay the trade stays payable, which is the harder case. */
  async expire(...orderIds: string[]): Promise<void> {
    await this.shop.sql(
      `UPDATE orders SET expires_at = now() - interval '1 second' WHERE id = ANY(:orderIds)`,
      {
        orderIds,
      },
    );
  }

  /** Keeps what other tests left open and held out of later sweeps: how long it is held depends on the machine. */
  async forgetOthers(): Promise<void> {
    await this.shop.sql(`UPDATE orders SET expires_at = now() + interval '1 day' WHERE status = 'UNPAID'`);
  }

  /** Ends the pause of a held order. */
  async endPause(...orderIds: string[]): Promise<void> {
    await this.shop.sql(`UPDATE orders SET held_until = now() WHERE id = ANY(:orderIds)`, { orderIds });
  }

  sweep(input: Partial<SweepInput> = {}): Promise<SweepReport> {
    return this.shop.payments.sweep.run({ parallel: 4, ...input });
  }

  /** One follow-up, now. */
  followUp(): Promise<FollowUpReport> {
    return this.shop.payments.followUp.run();
  }

  /** The order's and its payments' statuses: `"PAID: A PAID, B REFUNDED"`. */
  async standing(orderId: string): Promise<string> {
    const order = await this.shop.payments.order(orderId);
    const payments = await this.shop.payments.payments({ orderId });
    return `${order.status}: ${payments
      .map(({ status }) => status)
      .sort()
      .join(', ')}`;
  }

  async status(outTradeNo: string): Promise<StoredPaymentStatus> {
    return (await this.shop.payments.payment(outTradeNo)).status;
  }

  async until(outTradeNo: string, status: StoredPaymentStatus, timeoutMs = 30_000): Promise<void> {
    await waitFor(async () => (await this.status(outTradeNo)) === status, {
      what: `${outTradeNo} to be ${status}`,
      timeoutMs,
    });
  }

  /** Waits until the run has completed its first workflow task: from now on its history is binding. */
  async asleep(outTradeNo: string): Promise<void> {
    await waitFor(async () => (await this.shop.payments.status(outTradeNo)).nextCheckAt !== null, {
      what: `${outTradeNo} to sleep`,
      timeoutMs: 30_000,
    });
  }

  /**
   * What the order service has acted on, in order, once it has acted `count` times and is not being told any more: it
   * may act before the telling is recorded.
   */
  async told(orderId: string, count: number): Promise<string[]> {
    const read = () =>
      this.shop.sql<{ id: string }>(
        `SELECT message_id AS id FROM order_log WHERE order_id = :orderId ORDER BY at, message_id`,
        { orderId },
      );
    const beingTold = () =>
      this.shop.sql(
        `SELECT id FROM order_messages WHERE order_id = :orderId AND told_at IS NULL AND leased_until > clock_timestamp()`,
        { orderId },
      );
    await waitFor(async () => (await read()).length >= count && (await beingTold()).length === 0, {
      what: `the order service to act ${count} times on ${orderId}`,
    });
    return (await read()).map(({ id }) => id);
  }

  /** Waits until the payment's workflow has ended. */
  ended(outTradeNo: string): Promise<PaymentState> {
    return this.shop.temporal.workflow
      .getHandle(paymentWorkflowId(outTradeNo))
      .result() as Promise<PaymentState>;
  }

  async isRunning(outTradeNo: string): Promise<boolean> {
    const { status } = await this.shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
    return status.name === 'RUNNING';
  }

  async terminate(outTradeNo: string): Promise<void> {
    await this.shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).terminate('a test');
  }

  async events(outTradeNo: string, name?: PaymentEvent['event']): Promise<PaymentEvent[]> {
    const events = await this.shop.payments.events(outTradeNo);
    return name === undefined ? events : events.filter(({ event }) => event === name);
  }

  /** The calls to Alipay about one payment: `["query", "close"]`. */
  async calls(outTradeNo: string): Promise<string[]> {
    const journal = await this.shop.alipay.control.journal();
    return journal
      .filter((entry): entry is CallEntry => entry.kind === 'call' && entry.outTradeNo === outTradeNo)
      .map(({ method }) => method.split('.').slice(2).join('.'));
  }

  /** Everything in the tables, to show that nothing was written. */
  async everything(): Promise<unknown> {
    const tables = [
      'orders',
      'payments',
      'order_messages',
      'order_log',
      'payment_events',
      'unmatched_notifications',
    ];
    return Promise.all(tables.map((table) => this.shop.sql(`SELECT * FROM ${table} ORDER BY 1`)));
  }

  /** Moves a row's column this far into the past (or, negative, into the future). */
  async age(table: 'payments' | 'order_messages', id: string, column: string, hours: number): Promise<void> {
    const key = table === 'payments' ? 'out_trade_no' : 'id';
    await this.shop.sql(
      `UPDATE ${table} SET ${column} = now() - :ms * interval '1 millisecond' WHERE ${key} = :id`,
      { id, ms: hours * HOUR_MS },
    );
  }
}
