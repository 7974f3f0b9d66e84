import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startSandbox } from '../../sandbox';
import type { Sandbox } from '../../sandbox';
import { SWEEP_SCHEDULE_ID, TASK_QUEUES, paymentWorkflowId } from '../../workflows/messages';
import type { Running, Shop } from '../support';
import { OwnTemporal, openShop, namespaceFor, startProcess, temporalAddress, waitFor } from '../support';
import { durableAlipay, environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

// The Temporal server loses its store, gets an older one back, or belongs to another installation, on real servers.
// What the rows say about it: temporal-stores.test.ts.

const PAYMENTS_AND_ALIPAY = [TASK_QUEUES.payments, TASK_QUEUES.alipay].join();

let temporal: OwnTemporal;
let shop: Shop;
let story: Story;
let env: Record<string, string>;
const processes: Running[] = [];

beforeAll(async () => {
  temporal = await OwnTemporal.start();
  shop = await openShop(__filename, {
    queues: [],
    temporal: { address: temporal.address, namespace: 'default' },
    payments: { intervalMs: 3_600_000 },
  });
  story = new Story(shop);
  env = { ...environmentOf(shop), PAYMENT_CHECK_INTERVAL: '1h', LOG_LEVEL: 'info' };
});
afterAll(async () => {
  await Promise.all(processes.map((one) => one.stop()));
  await shop.close();
});

async function startWorker(queues: string): Promise<Running> {
  const worker = startProcess('worker/main.ts', env, ['--queues', queues]);
  processes.push(worker);
  await worker.serves(() => worker.output().includes('worker ready'), {
    what: 'the worker to be ready',
    timeoutMs: 120_000,
  });
  return worker;
}

/** `count` open payments; the first `paid` of them were paid, and their notification was lost. */
async function openPayments(count: number, { paid }: { paid: number }): Promise<string[]> {
  const outTradeNos: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const { outTradeNo } = await story.checkOut();
    if (i < paid) await story.pay(outTradeNo);
    outTradeNos.push(outTradeNo);
  }
  return outTradeNos;
}

const statusesOf = (outTradeNos: string[]): Promise<{ status: string }[]> =>
  shop.sql(`SELECT status FROM payments WHERE out_trade_no = ANY(:outTradeNos)`, { outTradeNos });

const count = async (statement: string, bindings: Record<string, unknown> = {}): Promise<number> => {
  const [found] = await shop.sql<{ n: number }>(
    `SELECT CAST(count(*) AS integer) AS n FROM ${statement}`,
    bindings,
  );
  return found?.n ?? 0;
};

const isRunning = async (outTradeNo: string): Promise<boolean> => {
  const { status } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
  return status.name === 'RUNNING';
};

/** Paid and told, but no order service has ever taken the signal. */
async function toldAndNotActedOn(orders: number): Promise<string[]> {
  const outTradeNos: string[] = [];
  for (let i = 0; i < orders; i += 1) {
    const { outTradeNo } = await story.checkOut();
    await story.pay(outTradeNo, { notify: true });
    outTradeNos.push(outTradeNo);
  }
  await waitFor(
    async () =>
      (await count(`order_messages WHERE told_at IS NOT NULL AND out_trade_no = ANY(:outTradeNos)`, {
        outTradeNos,
      })) === orders,
    { what: `${orders} results to be told`, timeoutMs: 60_000 },
  );
  return outTradeNos;
}

const actedOn = (outTradeNos: string[]): Promise<number> =>
  count(`order_log WHERE status = 'PAID' AND out_trade_no = ANY(:outTradeNos)`, { outTradeNos });

describe("Temporal's store, lost under 30 open payments while two workers run", () => {
  let told: string[];
  let open: string[];
  let workers: Running[];

  it('takes with it what nobody had acted on, and every run', async () => {
    workers = [await startWorker(PAYMENTS_AND_ALIPAY), await startWorker(PAYMENTS_AND_ALIPAY)];
    told = await toldAndNotActedOn(10);
    open = await openPayments(30, { paid: 15 });
    await temporal.stop();
    temporal.loseStore();
    await temporal.start();
    await expect(isRunning(open[0] ?? '')).rejects.toMatchObject({ name: 'WorkflowNotFoundError' });
  }, 400_000);

  it('is taken over: within three minutes each paid one is confirmed, each unpaid one watched, each result acted on', async () => {
    await startWorker(TASK_QUEUES.orderService);
    const paid = open.slice(0, 15);
    await waitFor(async () => (await statusesOf(paid)).every(({ status }) => status === 'PAID'), {
      what: 'the 15 paid ones to be confirmed',
      timeoutMs: 180_000,
      everyMs: 500,
    });
    await waitFor(async () => (await Promise.all(open.slice(15).map(isRunning))).every(Boolean), {
      what: 'the 15 unpaid ones to be watched',
      timeoutMs: 60_000,
      everyMs: 500,
    });
    await waitFor(async () => (await actedOn([...told, ...paid])) === 25, {
      what: 'the order service to act on all results',
      timeoutMs: 60_000,
      everyMs: 500,
    });
    // Once each, with the same ids.
    expect(await count(`order_log`)).toBe(25);
  }, 480_000);

  it('is taken over by one of the workers, and both go on', async () => {
    const takeOvers = workers.map((worker) => worker.output().split('"code":"STORE_TAKEN_OVER"').length - 1);
    expect(takeOvers.sort()).toEqual([0, 1]);
    expect(await count(`payment_events WHERE event = 'store-taken-over'`)).toBe(1);
    expect(await count(`temporal_stores WHERE taken_over_at IS NOT NULL AND recovered_at IS NOT NULL`)).toBe(
      1,
    );
  });

  it('has its search attributes and Schedules again', async () => {
    const list = shop.temporal.workflow.list({ query: `OutTradeNo = '${open[20] ?? ''}'` });
    const found = await waitFor(
      async () => {
        const runs = [];
        for await (const run of list) runs.push(run.workflowId);
        return runs.length > 0 && runs;
      },
      { what: 'the payment to be found by its number', timeoutMs: 60_000, everyMs: 500 },
    );
    expect(found).toContain(paymentWorkflowId(open[20] ?? ''));
    await expect(shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).describe()).resolves.toMatchObject({
      state: { paused: false },
    });
  });
});

describe('an older copy of the store, restored', () => {
  it('keeps its id, so that nothing is taken over; recover --since makes good what it does not know', async () => {
    for (const one of processes.splice(0)) await one.stop();
    await temporal.stop();
    temporal.backUp();
    const since = new Date().toISOString();
    await temporal.start();
    const before = await startWorker(PAYMENTS_AND_ALIPAY);
    const told = await toldAndNotActedOn(5);
    const open = await openPayments(10, { paid: 5 });
    await before.stop();
    await temporal.stop();
    temporal.restore();
    await temporal.start();

    const after = await startWorker(Object.values(TASK_QUEUES).join());
    const dry = await durableAlipay(env, 'recover', '--since', since, '--dry-run', '--json');
    expect([dry.code, JSON.parse(dry.out)]).toMatchObject([0, { undelivered: 5 }]);
    expect(await actedOn(told)).toBe(0);
    const { code, out } = await durableAlipay(env, 'recover', '--since', since, '--actor', 'li', '--json');
    expect([code, JSON.parse(out)]).toMatchObject([0, { undelivered: 5 }]);
    expect(await count(`payment_events WHERE event = 'recovery' AND actor = 'li'`)).toBe(1);

    await waitFor(async () => (await statusesOf(open.slice(0, 5))).every(({ status }) => status === 'PAID'), {
      what: 'the paid ones to be confirmed',
      timeoutMs: 180_000,
      everyMs: 500,
    });
    await waitFor(async () => (await actedOn([...told, ...open.slice(0, 5)])) === 10, {
      what: 'the order service to act on all results',
      timeoutMs: 60_000,
      everyMs: 500,
    });
    expect(after.output()).not.toContain('STORE_TAKEN_OVER');
    expect(await count(`temporal_stores`)).toBe(2);
  }, 600_000);
});

describe("staging's worker, by mistake on production's database", () => {
  let staging: Sandbox;
  beforeAll(async () => {
    staging = await startSandbox({ appId: '2021000000009999', sellerId: '2088000000009999' });
  });
  afterAll(() => staging.close());

  const rowsOf = async (tables: string[]) => Promise.all(tables.map((table) => shop.sql(`TABLE ${table}`)));

  it('ends with FOREIGN_INSTALLATION, and has written nothing', async () => {
    for (const one of processes.splice(0)) await one.stop();
    const tables = ['merchants', 'orders', 'payments', 'order_messages', 'payment_events', 'temporal_stores'];
    const before = await rowsOf(tables);
    const namespace = namespaceFor(__filename);
    const worker = startProcess('worker/main.ts', {
      ...env,
      TEMPORAL_ADDRESS: temporalAddress(),
      TEMPORAL_NAMESPACE: namespace,
      ALIPAY_GATEWAY: staging.gateway,
      ALIPAY_APP_ID: staging.appId,
      ALIPAY_PRIVATE_KEY: staging.appPrivateKey,
      ALIPAY_PUBLIC_KEY: staging.alipayPublicKey,
      ALIPAY_SELLER_ID: staging.sellerId,
    });
    expect(await worker.ended()).toBe(1);
    expect(worker.output()).toMatch(
      /FOREIGN_INSTALLATION: This database belongs to merchant 2021000000000000\/2088000000000000/,
    );
    expect(await rowsOf(tables)).toEqual(before);
    expect(await staging.control.journal()).toEqual([]);
  });
});
