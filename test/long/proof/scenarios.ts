import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../../activities';
import type { ActivityDependencies } from '../../../activities';
import { openGateways } from '../../../activities/alipay/open';
import { buildHttpServer } from '../../../client/http';
import { PaymentClient } from '../../../client/payment-client';
import { openDatabase } from '../../../db/connect';
import type { Database } from '../../../db/connect';
import type { Promises, Witness } from '../../chaos/checker';
import { NO_WITNESS } from '../../chaos/checker';
import type { Reception } from '../../chaos/reception';
import { Line } from '../../support/line';
import type { Shop } from '../../support';
import { Hands, inActivity } from '../../support';

/** What a scenario leaves for the rules to judge, in addition to the books. */
export interface Left {
  orderIds: string[];
  witness?: Witness;
  promises?: Partial<Promises>;
  /** Whether the order goes on to its end and is judged again at rest; not if that would take days. */
  goesOn?: boolean;
}

/** The cheapest way into the race that a break loses. */
type Scenario = (stage: Stage) => Promise<Left>;

/** The steps of the scenarios. */
export class Stage {
  readonly hands: Hands;
  readonly #open: { close(): Promise<void> }[] = [];

  constructor(
    readonly shop: Shop,
    readonly reception: Reception,
  ) {
    this.hands = new Hands(shop);
  }

  /** A payment whose page is open; `scanned`: the trade exists. */
  async open(
    orderId = this.newOrder(),
    { scanned = true, tab = 'a' } = {},
  ): Promise<{ orderId: string; outTradeNo: string }> {
    const outTradeNo = `${orderId.replaceAll('-', '_')}_${tab}`;
    const { paymentUrl } = await this.shop.payments.checkout({
      ...{ orderId, outTradeNo, subject: 'A pot of tea', totalAmount: '12.30' },
    });
    await this.alipay.open(paymentUrl);
    if (scanned) await this.alipay.scan(outTradeNo);
    return { orderId, outTradeNo };
  }

  newOrder(): string {
    // The namespace contains the runs of every project.
    return `order-${randomUUID()}`;
  }

  get alipay() {
    return this.shop.alipay.control;
  }

  async payInSilence(outTradeNo: string): Promise<void> {
    await this.alipay.pay(outTradeNo, { notify: false });
  }

  async openPaid(): Promise<{ orderId: string; outTradeNo: string }> {
    const opened = await this.open();
    await this.payInSilence(opened.outTradeNo);
    await this.hands.check(opened.outTradeNo);
    return opened;
  }

  async expireAndSweep(orderId: string): Promise<void> {
    await this.shop.sql(`UPDATE orders SET expires_at = now() - interval '1 second' WHERE id = :orderId`, {
      orderId,
    });
    await this.hands.close(orderId);
  }

  /** The shop wants 5.00 back, and the refund is sent to Alipay twice. */
  async refundTwice(orderId: string, outTradeNo: string): Promise<void> {
    await this.shop.payments.refund({ orderId, refundId: `back-${orderId}`, amount: '5.00' });
    await this.hands.refund(outTradeNo);
    await this.hands.refund(outTradeNo);
  }

  /** With a client for a Temporal that cannot be reached. */
  async withoutTemporal<T>(act: (temporal: Client) => Promise<T>): Promise<T> {
    const line = await Line.to(this.shop.temporalAddress);
    const connection = await Connection.connect({ address: line.address });
    try {
      line.cut();
      return await act(new Client({ connection, namespace: this.shop.namespace }));
    } finally {
      // Calls that nothing awaits may still be retrying.
      await line.restore();
      this.#open.push(line, connection);
    }
  }

  async close(): Promise<void> {
    for (const one of this.#open.toReversed()) await one.close();
  }
}

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'compare-and-set removed': async (stage) => {
    const { orderId, outTradeNo: second } = await stage.open(undefined, { tab: 'b' });
    const { outTradeNo: first } = await stage.open(orderId);
    await stage.payInSilence(first);
    await stage.hands.check(first);
    // The leftover is closed at Alipay, and before that is written here another notification arrives.
    const { gateway } = stage.shop;
    const query = gateway.query.bind(gateway);
    gateway.query = async (...question) => {
      const answer = await query(...question);
      if (answer.answer !== 'closed' || question[0] !== second) return answer;
      gateway.query = query;
      await stage.alipay.notify(second, { trade_status: 'TRADE_SUCCESS', total_amount: '0.01' });
      await stage.hands.hear(second);
      return answer;
    };
    try {
      await inActivity(() => createAlipayQueueActivities(stage.shop.deps).closeLeftovers());
    } finally {
      gateway.query = query;
    }
    return { orderIds: [orderId], goesOn: false };
  },

  'closed without a query': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.payInSilence(outTradeNo);
    await stage.expireAndSweep(orderId);
    return { orderIds: [orderId] };
  },

  'unknown taken for closed': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.payInSilence(outTradeNo);
    await stage.alipay.fault({ mode: 'http-500', outTradeNo, times: 3 });
    await stage.expireAndSweep(orderId);
    await stage.alipay.clearFaults();
    return { orderIds: [orderId] };
  },

  'refund without its fixed number': async (stage) => {
    const { orderId, outTradeNo } = await stage.openPaid();
    await stage.alipay.fault({
      mode: 'http-500',
      method: 'alipay.trade.refund',
      when: 'after',
      outTradeNo,
      times: 1,
    });
    await stage.refundTwice(orderId, outTradeNo);
    return { orderIds: [orderId] };
  },

  'success before the signal is held': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.payInSilence(outTradeNo);
    const { shop } = stage;
    const down = await stage.withoutTemporal(async (temporal) => {
      const from = Date.now();
      const { db, log, alipay } = shop.deps;
      const settings = { ...shop.deps, orderTtlMs: 86_400_000, sweep: { cron: '@every 1h', parallel: 1 } };
      const payments = new PaymentClient({ temporal, db, alipay, settings, log });
      const http = buildHttpServer({ payments, config: { host: '127.0.0.1', port: 0 }, log });
      try {
        const url = await http.listen({ host: '127.0.0.1', port: 0 });
        await stage.alipay.notify(outTradeNo, {}, `${url}/alipay/notify`);
      } finally {
        await http.close();
      }
      // All of this may happen within a millisecond.
      return { from, to: Date.now() + 1 };
    });
    return { orderIds: [orderId], witness: { ...NO_WITNESS, temporalDown: [down] } };
  },

  'outbox row written after the commit': async (stage) => {
    const orderIds: string[] = [];
    // The process dies after each of its statements in turn, until it finishes before its turn to die.
    for (let statements = 1, isThrough = false; !isThrough; statements += 1) {
      const { orderId, outTradeNo } = await stage.open();
      await stage.payInSilence(outTradeNo);
      await stage.alipay.notify(outTradeNo);
      isThrough = await dyingAfter(statements, stage.shop, (deps) =>
        inActivity(() => createPaymentsQueueActivities(deps).recordAndTell({ outTradeNo })),
      );
      orderIds.push(orderId);
    }
    return { orderIds };
  },

  'sibling not asked': async (stage) => {
    const { orderId } = await stage.open(undefined, { scanned: false });
    const { outTradeNo: second } = await stage.open(orderId, { tab: 'b' });
    await stage.payInSilence(second);
    await stage.expireAndSweep(orderId);
    return { orderIds: [orderId] };
  },

  'slow checks off': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.payInSilence(outTradeNo);
    await stage.shop.sql(
      `UPDATE payments SET next_check_at = NULL, slow_check_at = now() - interval '1 second' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await stage.hands.followUp();
    await stage.hands.hear(outTradeNo);
    return { orderIds: [orderId], promises: { patienceMs: 0 } };
  },

  'amount of a notification not compared': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.alipay.notify(outTradeNo, { trade_status: 'TRADE_SUCCESS', total_amount: '0.01' });
    await stage.hands.hear(outTradeNo);
    return { orderIds: [orderId], goesOn: false };
  },

  'quota ignored': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    // A process that stalls for a moment sends what is due at once: slots a second apart stay apart.
    const maxRps = 1;
    const { own } = openGateways(stage.shop.db, [
      { ...stage.shop.gateway.settings, name: 'default', maxRps },
    ] as never);
    await Promise.all(Array.from({ length: 6 }, () => own.query(outTradeNo)));
    return { orderIds: [orderId], promises: { maxRps }, goesOn: false };
  },

  'evidence recorded as soon as it is stored': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.payInSilence(outTradeNo);
    await stage.alipay.notify(outTradeNo);
    await stage.hands.hear(outTradeNo);
    return { orderIds: [orderId] };
  },

  'proof of a refund not compared': async (stage) => {
    const { orderId, outTradeNo } = await stage.openPaid();
    await stage.alipay.fault({
      mode: 'http-500',
      method: 'alipay.trade.refund',
      when: 'after',
      outTradeNo,
      times: 1,
    });
    await stage.alipay.fault({
      ...{
        mode: 'wrong-amount',
        method: 'alipay.trade.fastpay.refund.query',
        when: 'after',
        outTradeNo,
        times: 1,
      },
    });
    await stage.refundTwice(orderId, outTradeNo);
    return { orderIds: [orderId] };
  },

  'told_at before telling': async (stage) => {
    const { orderId, outTradeNo } = await stage.open();
    await stage.payInSilence(outTradeNo);
    await stage.alipay.notify(outTradeNo);
    stage.reception.mood = 'down';
    await stage.hands.hear(outTradeNo);
    stage.reception.mood = 'well';
    return { orderIds: [orderId] };
  },
};

interface Session {
  query: (config: unknown, callback: (error: Error | undefined, result?: unknown) => void) => unknown;
  connection: { stream: { destroy(): void } };
}

/** Runs it in a process that dies after this many statements: its connections break. Returns true if it finished. */
async function dyingAfter(
  statements: number,
  { deps, databaseUrl }: Shop,
  act: (deps: ActivityDependencies) => Promise<unknown>,
): Promise<boolean> {
  const db: Database = openDatabase({ url: databaseUrl, maxConnections: 4 });
  const client = db.client as { acquireRawConnection: () => Promise<Session> };
  const acquire = client.acquireRawConnection.bind(client);
  let left = statements;
  client.acquireRawConnection = async () => {
    const session = await acquire();
    const query = session.query.bind(session);
    session.query = (config, callback) => {
      left -= 1;
      if (left >= 0) return query(config, callback);
      session.connection.stream.destroy();
      callback(new Error('the process has died'));
      return undefined;
    };
    return session;
  };
  try {
    await act({ ...deps, db });
    return left >= 0;
  } catch {
    return false;
  } finally {
    await db.destroy();
  }
}
