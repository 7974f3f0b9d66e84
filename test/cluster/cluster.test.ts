import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { guardServices, stopServices } from '../../dev/services';
import { query } from '../../dev/postgres';
import type { StoredPaymentStatus } from '../../workflows/messages';
import { orderWorkflowId, paymentWorkflowId, SEARCH_ATTRIBUTES, TASK_QUEUES } from '../../workflows/messages';
import type { AttributeServices } from '../../worker/search-attributes';
import { findSearchAttributes } from '../../worker/search-attributes';
import { rows } from '../../db/connect';
import { inLanes } from '../bench/pace';
import { THE_TEA } from '../bench/row';
import { checkOutAndPay, untilDone } from '../bench/shop';
import { verify } from '../bench/verify';
import type { Rig } from '../bench/rig';
import { openRig } from '../bench/rig';
import { strikeBalance } from '../chaos/balance';
import { check, readFacts } from '../chaos/checker';
import type { Cluster } from '../support/cluster/cluster';
import { databaseUrl, nodeOf } from '../support/cluster/cluster';
import { DATABASES } from '../support/cluster/node-config';
import { waitFor } from '../support';

// The unchanged application on a Temporal server as in production: PostgreSQL with 16 history shards on two history
// nodes, matching and frontend in their own processes; each queue served by its own worker processes.

const MINUTES = 60_000;

/** One of each, and two of the one that does most of the work. */
const QUEUES = [
  [TASK_QUEUES.payments],
  [TASK_QUEUES.payments],
  [TASK_QUEUES.alipay],
  [TASK_QUEUES.orderService],
];

/** Enough to be on every shard, and under way when something dies. */
const PAYMENTS = 80;

let rig: Rig;
let cluster: Cluster;
const atEnd: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  guardServices();
  atEnd.push(stopServices);
  rig = await openRig(
    {
      cluster: true,
      server: true,
      queues: [],
      env: {
        PAYMENT_CHECK_INTERVAL: '4s',
        SWEEP_CRON: '0/5 * * * * * *',
        SANDBOX_NOTIFY_SCALE: '120',
        ALIPAY_TIMEOUT: '2s',
      },
    },
    { say: (line) => process.stderr.write(`${line}\n`) },
  );
  atEnd.push(() => rig.close());
  if (!rig.cluster) throw new Error('No cluster');
  cluster = rig.cluster;
}, 30 * MINUTES);

afterAll(async () => {
  for (const end of atEnd.toReversed()) await end();
}, MINUTES);

let paid = 0;

const statusOf = async (outTradeNo: string): Promise<StoredPaymentStatus> =>
  (await rig.payments.payment(outTradeNo)).status;

const until = (outTradeNo: string, status: StoredPaymentStatus): Promise<unknown> =>
  waitFor(async () => (await statusOf(outTradeNo)) === status, {
    what: `${outTradeNo} to be ${status}`,
    timeoutMs: MINUTES,
    everyMs: 200,
  });

/** What a list in the Web UI shows. */
async function found(listQuery: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const { workflowId } of rig.temporal.workflow.list({ query: listQuery })) ids.push(workflowId);
  return ids;
}

describe('a namespace that no worker has prepared', () => {
  let early: { outTradeNo: string };

  it('still lets a buyer check out', async () => {
    early = await checkOutAndPay(rig, 'early');
    expect(await statusOf(early.outTradeNo)).toBe('UNPAID');
  });

  it('is found to lack its search attributes, with the operator service and, as on Temporal Cloud, without', async () => {
    const lacking = { missing: Object.values(SEARCH_ATTRIBUTES), odd: [] };
    const { connection } = rig.temporal;
    expect(await findSearchAttributes(connection, cluster.namespace)).toEqual({ ...lacking, others: [] });
    expect(await findSearchAttributes(likeCloud(connection), cluster.namespace)).toEqual(lacking);
  });

  it('gets its search attributes from four workers that start at the same time', async () => {
    rig.workers.push(...(await Promise.all(QUEUES.map((queues) => rig.startWorker(queues)))));
    const complete = { missing: [], odd: [] };
    const { connection } = rig.temporal;
    expect(await findSearchAttributes(connection, cluster.namespace)).toEqual({ ...complete, others: [] });
    // Each frontend caches for up to a minute what it knew before.
    await waitFor(
      async () =>
        (await findSearchAttributes(likeCloud(connection), cluster.namespace))?.missing.length === 0,
      { what: 'the frontends to know them', timeoutMs: 2 * MINUTES, everyMs: 1_000 },
    );
    expect(await findSearchAttributes(likeCloud(connection), cluster.namespace)).toEqual(complete);
  }, 180_000);

  it('then pays the early order, whose run sets no search attribute, and finds the next payment by its number', async () => {
    const next = await checkOutAndPay(rig, 'next');
    for (const { outTradeNo } of [early, next]) await untilDone(rig, outTradeNo);
    paid += 2;
    const isListed = async ({ outTradeNo }: { outTradeNo: string }) =>
      (await found(`OutTradeNo = '${outTradeNo}' AND PaymentStatus = 'PAID'`)).length === 1;
    await waitFor(() => isListed(next), { what: 'the list to show it', timeoutMs: MINUTES, everyMs: 500 });
    expect(await isListed(early)).toBe(false);
    await verify(rig, { paid });
  });
});

/** The connection, with an operator service that refuses as Temporal Cloud's does. */
function likeCloud({ workflowService }: AttributeServices): AttributeServices {
  const refuse = (): Promise<never> => {
    const refusal = { code: 7, details: 'Request unauthorized.', metadata: {} };
    return Promise.reject(Object.assign(new Error('7 PERMISSION_DENIED: Request unauthorized.'), refusal));
  };
  const operatorService = { listSearchAttributes: refuse, addSearchAttributes: refuse };
  return { workflowService, operatorService } as unknown as AttributeServices;
}

describe('kill -9 while payments are being checked', () => {
  // With the follow-up, which delivers what the killed workers were delivering.
  beforeAll(() => rig.payments.sweep.install());

  /** Payments are under way when something dies. Resolves when every payment has ended. */
  async function liveThrough(prefix: string, accident: () => Promise<unknown>): Promise<void> {
    const outTradeNos: string[] = [];
    await inLanes(PAYMENTS, 8, async (index) => {
      // A checkout that meets a shard between two nodes says that a retry is safe, and a shop retries.
      const { outTradeNo } = await waitFor(() => checkOutAndPay(rig, `${prefix}-${index}`), {
        what: 'a buyer to be checked out',
        timeoutMs: MINUTES,
        everyMs: 500,
      });
      outTradeNos.push(outTradeNo);
    });
    let ended = 0;
    let happening: Promise<unknown> | undefined;
    await Promise.all(
      outTradeNos.map(async (outTradeNo) => {
        await untilDone(rig, outTradeNo);
        ended += 1;
        if (ended === Math.round(PAYMENTS / 8)) happening = accident();
      }),
    );
    await happening;
    paid += PAYMENTS;
  }

  it('of a worker of payments: the other one takes over, nothing is lost or doubled', async () => {
    await liveThrough('worker', async () => {
      const [victim] = rig.workers;
      victim?.kill();
      await victim?.exit;
      await rig.startWorker([TASK_QUEUES.payments]);
    });
    await verify(rig, { paid, toldAgain: true });
  });

  it('of a history node: its shards move to the other one, nothing is lost or doubled', async () => {
    const before = await shardOwners();
    await liveThrough('history', async () => {
      const victim = nodeOf(cluster, 'history-1');
      victim.kill();
      await victim.exit;
    });
    await verify(rig, { paid, toldAgain: true });

    // A node that takes a shard over raises its range.
    const after = await shardOwners();
    const moved = [...after].filter(([shard, range]) => range > (before.get(shard) ?? 0));
    expect(after.size).toBe(cluster.shards);
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.length).toBeLessThan(cluster.shards);
  });

  it('of a history node that comes back: it takes shards again, and payments go on', async () => {
    const before = await shardOwners();
    await cluster.restart('history-1');
    await waitFor(
      async () => [...(await shardOwners())].some(([shard, range]) => range > (before.get(shard) ?? 0)),
      {
        what: 'shards to move back',
        timeoutMs: MINUTES,
        everyMs: 500,
      },
    );
    await liveThrough('back', () => Promise.resolve());
    await verify(rig, { paid, toldAgain: true });
  });

  /** Each shard with the number that its owner wrote when taking it. */
  async function shardOwners(): Promise<Map<number, number>> {
    const shards = await query<{ shard: number; range: number }>(
      databaseUrl(cluster.postgres.url, DATABASES.default),
      'SELECT shard_id AS shard, CAST(range_id AS int) AS range FROM shards',
    );
    return new Map(shards.map(({ shard, range }) => [shard, range]));
  }
});

describe('the ways of a payment', () => {
  it('paid, and Alipay tells us before the first check', async () => {
    const { outTradeNo, orderId, paymentUrl } = await rig.payments.checkout({
      orderId: 'told',
      ...THE_TEA,
    });
    await rig.alipay.pay(paymentUrl);
    await until(outTradeNo, 'PAID');
    await waitFor(
      async () => (await found(`OrderId = '${orderId}'`)).includes(paymentWorkflowId(outTradeNo)),
      {
        what: 'the list to show it by its order',
        everyMs: 500,
      },
    );
    await rig.temporal.workflow.getHandle(orderWorkflowId(orderId)).result();
    expect((await rig.payments.order(orderId)).status).toBe('PAID');
  });

  it('never paid: UNCONFIRMED after three checks, and closed by the scheduled sweep when its time is over', async () => {
    const { outTradeNo, orderId, paymentUrl } = await rig.payments.checkout({
      orderId: 'unpaid',
      ...THE_TEA,
    });
    await rig.alipay.open(paymentUrl);
    await rig.alipay.scan(outTradeNo);
    expect(await untilDone(rig, outTradeNo)).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    await expire(orderId);
    await until(outTradeNo, 'CLOSED');
    expect((await rig.payments.order(orderId)).status).toBe('CLOSED');
    expect(await rig.alipay.trade(outTradeNo)).toMatchObject({ status: 'TRADE_CLOSED' });
  });

  it('paid when the order was closed already: refunded in full', async () => {
    const { outTradeNo, orderId, paymentUrl } = await rig.payments.checkout({
      orderId: 'late',
      ...THE_TEA,
    });
    await expire(orderId);
    await until(outTradeNo, 'CLOSED');
    await rig.alipay.pay(paymentUrl);
    await until(outTradeNo, 'REFUNDED');
    expect((await rig.payments.order(orderId)).status).toBe('CLOSED');
  });

  it('checkNow reaches a payment whose run has ended, by update-with-start', async () => {
    const { outTradeNo, paymentUrl } = await rig.payments.checkout({ orderId: 'asked', ...THE_TEA });
    await rig.alipay.open(paymentUrl);
    expect(await untilDone(rig, outTradeNo)).toMatchObject({ status: 'UNCONFIRMED' });
    await rig.alipay.pay(outTradeNo, { notify: false });
    expect(await rig.payments.checkNow(outTradeNo)).toMatchObject({ status: 'PAID', lastAnswer: 'paid' });
    expect((await rig.payments.runs(outTradeNo)).length).toBeGreaterThanOrEqual(2);
  });

  it('another amount than agreed: on the work list PaymentStatus="REVIEW" until a person decides', async () => {
    const { outTradeNo, paymentUrl } = await rig.payments.checkout({ orderId: 'odd', ...THE_TEA });
    await rig.alipay.pay(paymentUrl, { notify: false });
    await rig.alipay.notify(outTradeNo, { total_amount: '12.31' }, rig.notifyUrl);
    await until(outTradeNo, 'REVIEW');
    const workList = (): Promise<string[]> =>
      found(`PaymentStatus = "REVIEW" AND ExecutionStatus = "Running"`);
    await waitFor(async () => (await workList()).length > 0, { what: 'the work list', everyMs: 500 });
    expect(await workList()).toEqual([paymentWorkflowId(outTradeNo)]);

    await rig.payments.resolveReview(outTradeNo, {
      to: 'PAID',
      actor: 'anna',
      reason: 'the portal says 12.30',
    });
    await until(outTradeNo, 'PAID');
    await waitFor(async () => (await workList()).length === 0, {
      what: 'the work list to be empty',
      everyMs: 500,
    });
  });

  it('and every rule of the ledger holds: nothing lost, nothing doubled', async () => {
    const promises = { checks: 3, intervalMs: 0, patienceMs: MINUTES };
    const read = async () => readFacts({ db: rig.db, alipay: rig.alipay, promises, atRest: true });
    await waitFor(async () => check(await read()).length === 0, {
      what: 'every rule to hold',
      timeoutMs: MINUTES,
    }).catch(() => undefined);
    const facts = await read();
    expect(check(facts)).toEqual([]);
    expect(strikeBalance(facts)).toMatchObject({ open: 0, review: 0, refunded: 1, closed: 1 });
  });

  /** Ends the order's time, by Postgres' clock. */
  async function expire(orderId: string): Promise<void> {
    await rows(rig.db, `UPDATE orders SET expires_at = now() WHERE id = :orderId`, { orderId });
  }
});
