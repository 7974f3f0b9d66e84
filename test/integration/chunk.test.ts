import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { AlipayError } from '../../activities/alipay/errors';
import { createClosingActivities } from '../../activities/closing';
import { watchPayment } from '../../activities/payment-workflow';
import { paymentWorkflowId } from '../../workflows/messages';
import type { ChunkProgress } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop } from '../support';
import { Story } from './story';

// What one activity does with a chunk of expired orders, and what of it survives its worker.

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

afterEach(async () => {
  answerAsAlipay();
  await story.forgetOthers();
});

/** Removes what a test put in front of the gateway's own method. */
function answerAsAlipay(): void {
  delete (shop.gateway as Partial<typeof shop.gateway>).query;
}

/** Answers in place of Alipay's gateway, every time it is queried about that payment. */
function answerInstead(outTradeNo: string, answer: () => Promise<never>): void {
  const { gateway: alipay } = shop;
  const ask = alipay.query.bind(alipay);
  alipay.query = (asked, ...more) => (asked === outTradeNo ? answer() : ask(asked, ...more));
}

const down = (outTradeNo: string) =>
  Promise.reject(new AlipayError('down', 'not asked', { method: 'alipay.trade.query', outTradeNo }));

async function expiredOrders(count: number) {
  const orders = [];
  for (let i = 0; i < count; i += 1) orders.push(await story.checkOut());
  await story.expire(...orders.map(({ orderId }) => orderId));
  return orders as [Order, Order, Order, ...Order[]];
}

type Order = Awaited<ReturnType<Story['checkOut']>>;

const idsOf = (orders: Order[]): string[] => orders.map(({ orderId }) => orderId);

/** Failures are what is tested here; otherwise the SDK prints each with its stack. */
const SILENT = new DefaultLogger('ERROR', () => undefined);

/** One attempt at a chunk, as a worker makes it, and the attempt's last heartbeat. */
async function attemptAt(
  orders: Order[],
  {
    progress,
    orderTimeoutMs,
    deps = shop.deps,
  }: { progress?: ChunkProgress; orderTimeoutMs?: number; deps?: typeof shop.deps } = {},
) {
  const environment = new MockActivityEnvironment({ heartbeatDetails: progress }, { logger: SILENT });
  let beat: ChunkProgress | undefined;
  environment.on('heartbeat', (details: ChunkProgress) => {
    beat = details;
  });
  const activities = createClosingActivities(deps, { orderTimeoutMs });
  const ended = await environment
    .run(() => activities.closeExpiredOrders({ orderIds: idsOf(orders), actor: 'sweep' }))
    .catch((error: unknown) => error as ApplicationFailure);
  return { ended, beat };
}

describe('a worker that cannot reach Alipay any more', () => {
  it('fails the chunk retryably, with what it has done in its heartbeat; another worker goes on from there', async () => {
    const orders = await expiredOrders(4);
    const [first, second, third] = orders;
    answerInstead(third.outTradeNo, () => down(third.outTradeNo));
    const { ended, beat } = await attemptAt(orders);
    expect(ended).toBeInstanceOf(ApplicationFailure);
    expect(ended).toMatchObject({ type: 'ALIPAY_DOWN', nonRetryable: false, details: [beat] });
    expect(beat).toEqual({ done: 2, closed: idsOf([first, second]), rescued: [], held: [], failed: [] });
    expect(await story.standing(third.orderId)).toBe('UNPAID: UNPAID');

    answerAsAlipay();
    const calls = (await story.calls(first.outTradeNo)).length;
    const { ended: report } = await attemptAt(orders, { progress: beat });
    expect(report).toEqual({ closed: idsOf(orders), rescued: [], held: [], failed: [] });
    expect(await story.calls(first.outTradeNo)).toHaveLength(calls);
  });

  it('loses nothing of the report on its way through the server', async () => {
    const orders = await expiredOrders(5);
    let cutOff = 2;
    const { outTradeNo } = orders[2];
    const { gateway: alipay } = shop;
    const ask = alipay.query.bind(alipay);
    alipay.query = (asked, ...more) => {
      if (asked !== outTradeNo || cutOff === 0) return ask(asked, ...more);
      cutOff -= 1;
      return down(outTradeNo);
    };
    // One lane: all five in one chunk.
    expect(await story.sweep({ parallel: 1 })).toMatchObject({
      scanned: 5,
      closed: 5,
      failed: 0,
      gatewayDown: false,
    });
    expect(cutOff).toBe(0);
  });
});

describe('an order that hangs', () => {
  it('is given up after its own time, and keeps no other from being closed', async () => {
    const orders = await expiredOrders(3);
    const [, hanging] = orders;
    answerInstead(hanging.outTradeNo, () => new Promise(() => undefined));
    const startedAt = Date.now();
    const { ended } = await attemptAt(orders, { orderTimeoutMs: 8_000 });
    expect(ended).toMatchObject({ closed: idsOf([orders[0], orders[2]]), failed: [hanging.orderId] });
    expect(Date.now() - startedAt).toBeLessThan(60_000);
  });
});

describe('a payment of a merchant that this process does not have', () => {
  const FOREIGN = '2021000000000001/2088000000000001';

  beforeAll(async () => {
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway)
       VALUES (:id, 'another shop', '2021000000000001', '2088000000000001', 'https://openapi.alipay.com/gateway.do')`,
      { id: FOREIGN },
    );
  });

  const makeForeign = (table: 'orders' | 'payments', key: string, id: string) =>
    shop.sql(`UPDATE ${table} SET merchant = :merchant WHERE ${key} = :id`, { id, merchant: FOREIGN });

  it('is not asked about and holds its order, with an alert; the payments beside it are asked about', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const own = await story.secondTab(orderId, `${outTradeNo}b`);
    await makeForeign('payments', 'out_trade_no', outTradeNo);
    await story.expire(orderId);
    const lines: string[] = [];
    const log = pino({ level: 'error' }, { write: (line: string) => void lines.push(line) });
    const { ended } = await attemptAt([own], { deps: { ...shop.deps, log } });
    expect(ended).toMatchObject({ closed: [], held: [orderId] });
    expect(await story.calls(outTradeNo)).toEqual([]);
    expect(await story.calls(own.outTradeNo)).not.toEqual([]);
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID, UNPAID');
    const [alert] = lines.map((line) => JSON.parse(line) as object);
    expect(alert).toMatchObject({ code: 'MERCHANT_UNKNOWN', alert: true, outTradeNo, merchant: FOREIGN });
  });

  it('fails a cancel retryably: another process may have that merchant', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await makeForeign('payments', 'out_trade_no', outTradeNo);
    const { cancelOrder } = createClosingActivities(shop.deps);
    const cancel = new MockActivityEnvironment({}, { logger: SILENT }).run(() =>
      cancelOrder({ orderId, actor: 'shop', reason: 'r' }),
    );
    await expect(cancel).rejects.toMatchObject({ code: 'MERCHANT_UNKNOWN', status: 503, retryable: true });
    expect(await story.calls(outTradeNo)).toEqual([]);
  });

  it('is not even looked at where its whole order is of that merchant', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await makeForeign('orders', 'id', orderId);
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ scanned: 0 });
    expect(await story.calls(outTradeNo)).toEqual([]);
  });
});

describe('after an order has been closed', () => {
  const signalsOf = async (outTradeNo: string): Promise<string[]> => {
    const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
    return (events ?? []).flatMap(
      ({ workflowExecutionSignaledEventAttributes: signal }) => signal?.signalName ?? [],
    );
  };

  it('the run that watches its payment hears that the row has moved; one that has ended stays ended', async () => {
    const watched = await story.checkOut();
    const ended = await story.secondTab(watched.orderId, `${watched.outTradeNo}b`);
    await Promise.all([watched, ended].map(({ outTradeNo }) => story.ended(outTradeNo)));
    const payment = await shop.payments.payment(watched.outTradeNo);
    const { outTradeNo } = payment;
    await watchPayment(shop.temporal, payment, { outTradeNo, checks: 3, intervalMs: 60_000 });
    await shop.sql(
      `UPDATE payments SET next_check_at = now() + interval '1 minute' WHERE order_id = :orderId`,
      { orderId: watched.orderId },
    );
    await story.expire(watched.orderId);
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    expect(await signalsOf(outTradeNo)).toContain('rowMoved');
    expect(await story.isRunning(ended.outTradeNo)).toBe(false);
  });
});
