import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { WorkflowNotFoundError } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import { Webhook as Receiver } from 'standardwebhooks';
import { createPaymentsQueueActivities } from '../../activities';
import { createPostActivities, tellFromOutbox } from '../../activities/orders';
import { NotTaken } from '../../activities/result-receiver';
import { Webhook } from '../../activities/webhook';
import { insertOrderMessage } from '../../db/order-messages';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { PaymentResult } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

// A shop without Temporal: the order service is a webhook. The receiver here is plain Node; shop-receivers.test.ts has
// others, with Standard Webhooks libraries by other authors.

interface Post {
  at: number;
  headers: IncomingHttpHeaders;
  body: string;
  result: PaymentResult;
}

interface Answer {
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  afterMs?: number;
  /** Responds only once this is settled. */
  until?: Promise<unknown>;
}

const secrets = [newSecret(), newSecret()];
const posts: Post[] = [];
/** The responses by order; 200 by default. */
const answers = new Map<string, Answer>();

let receiver: Server;
let shop: Shop;
let story: Story;

function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

beforeAll(async () => {
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const result = JSON.parse(body) as PaymentResult;
      posts.push({ at: Date.now(), headers: request.headers, body, result });
      const { status = 200, headers, body: answer, ...when } = answers.get(result.orderId) ?? {};
      const { afterMs = 0, until = Promise.resolve() } = when;
      void until.then(() => setTimeout(() => response.writeHead(status, headers).end(answer), afterMs));
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  shop = await openShop(__filename, {
    payments: { checks: 1, intervalMs: 600_000 },
    webhook: { url: `http://127.0.0.1:${port}/payment-results`, secrets },
  });
  story = new Story(shop);
});
afterAll(async () => {
  await shop.close();
  receiver.closeAllConnections();
  receiver.close();
});
afterEach(() => answers.clear());

const postsOf = (orderId: string): Post[] => posts.filter(({ result }) => result.orderId === orderId);

const idsOf = (orderId: string): string[] => postsOf(orderId).map(({ result }) => result.messageId);

async function paidOrder(answer: Answer = {}) {
  const orderId = `order-${randomBytes(6).toString('hex')}`;
  answers.set(orderId, answer);
  const { outTradeNo } = await story.checkOut({ orderId });
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'PAID');
  return { orderId, outTradeNo, messageId: `PAID-${outTradeNo}` };
}

async function messageOf(messageId: string) {
  const [row] = await shop.sql<{ told_by: string | null; last_error: string | null; attempts: number }>(
    `SELECT told_by, last_error, attempts FROM order_messages WHERE id = :messageId`,
    { messageId },
  );
  return row;
}

const untilTold = (messageId: string): Promise<unknown> =>
  waitFor(async () => (await messageOf(messageId))?.told_by === 'webhook', {
    what: `${messageId} to be told`,
    timeoutMs: 60_000,
  });

/** Ends the pause after a result that was not taken. */
const pauseIsOver = (orderId: string): Promise<unknown> =>
  shop.sql(`UPDATE order_messages SET not_before = NULL WHERE order_id = :orderId`, { orderId });

/** Moves the last delivery of a result a minute into the past. */
const aMinuteLater = (messageId: string): Promise<unknown> =>
  shop.sql(
    `UPDATE order_messages SET leased_until = leased_until - interval '1 minute' WHERE id = :messageId`,
    { messageId },
  );

/** Tells an order's results: true if the shop refused one as expected, false if there was none to lease. */
async function isRefused(orderId: string, says: RegExp): Promise<boolean> {
  await pauseIsOver(orderId);
  try {
    expect(await tellFromOutbox(shop.deps, orderId)).toMatchObject({ told: 0 });
    return false;
  } catch (error) {
    if (error instanceof NotTaken) expect(error.message).toMatch(says);
    else throw error;
    return true;
  }
}

const activitiesOf = async (outTradeNo: string): Promise<string[]> => {
  const { events } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).fetchHistory();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
    scheduled ? [`${scheduled.activityType?.name ?? ''} on ${scheduled.taskQueue?.name ?? ''}`] : [],
  );
};

describe('a result', () => {
  it('is posted as the object that a workflow would be signalled, and no order workflow runs', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder();
    await untilTold(messageId);
    await story.ended(outTradeNo);
    expect(postsOf(orderId)).toHaveLength(1);
    const [{ result, headers } = fail()] = postsOf(orderId);
    expect(result).toEqual({
      messageId,
      orderId,
      outTradeNo,
      status: 'PAID',
      tradeNo: expect.any(String),
      totalAmount: '12.30',
      refundedAmount: '0.00',
      at: expect.any(String),
    });
    expect(headers['webhook-id']).toBe(messageId);
    expect(headers['content-type']).toBe('application/json');
    await expect(
      shop.temporal.workflow.getHandle(orderWorkflowId(orderId)).describe(),
    ).rejects.toBeInstanceOf(WorkflowNotFoundError);
  });

  it('is posted by the run that records the payment, without an activity', async () => {
    const activities: string[][] = [];
    // An activity takes over if the post takes longer than a second, as may happen on a busy machine.
    for (let i = 0; i < 5; i += 1) {
      const { outTradeNo } = await paidOrder();
      await story.ended(outTradeNo);
      activities.push(await activitiesOf(outTradeNo));
    }
    expect(activities).toContainEqual([]);
  });

  it('is signed by both secrets while one is replaced by the other, at the time of each attempt', async () => {
    const { orderId, messageId } = await paidOrder();
    await untilTold(messageId);
    const [{ headers, body, at } = fail()] = postsOf(orderId);
    expect(headers['webhook-signature']).toMatch(/^v1,\S+ v1,\S+$/);
    expect(Math.abs(Number(headers['webhook-timestamp']) * 1_000 - at)).toBeLessThan(30_000);
    for (const secret of secrets)
      expect(new Receiver(secret).verify(body, headers as Record<string, string>)).toMatchObject({
        messageId,
      });
    expect(() => new Receiver(newSecret()).verify(body, headers as Record<string, string>)).toThrow(
      /No matching signature/,
    );
  });

  it('of a shop that is slow is taken by a normal activity, and does not hold up the recording', async () => {
    const activities: string[][] = [];
    const told = 'tellOrderService on payments';
    // On a busy machine recording itself may take too long for one of these; then an activity does it again.
    const all = await Promise.all(Array.from({ length: 3 }, () => paidOrder({ afterMs: 3_000 })));
    for (const { orderId, outTradeNo, messageId } of all) {
      await untilTold(messageId);
      await waitFor(async () => (await activitiesOf(outTradeNo)).includes(told), { what: 'the activity' });
      activities.push(await activitiesOf(outTradeNo));
      expect(new Set(idsOf(orderId))).toEqual(new Set([messageId]));
    }
    expect(activities).toContainEqual([told]);
  });

  it('that finds the shop down is posted from queue order-service until it is taken, while the run goes on', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder({ status: 503 });
    await waitFor(async () => (await activitiesOf(outTradeNo)).includes('postResults on order-service'), {
      what: 'queue order-service to take over',
      timeoutMs: 30_000,
    });
    expect((await messageOf(messageId))?.last_error).toMatch(
      /^ORDER_SERVICE_DOWN: The order service at http:\/\/127\.0\.0\.1:\d+ answered 503 to PAID-/,
    );
    // The follow-up leaves the order to the activity, and the run still answers a person's query.
    expect(await story.followUp()).toMatchObject({ undelivered: { done: 0, failed: 0 } });
    expect(await shop.payments.status(outTradeNo)).toMatchObject({ status: 'PAID' });
    answers.delete(orderId);
    await untilTold(messageId);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID' });
  });

  it('of a close by the sweep is posted too', async () => {
    const { orderId } = await story.checkOut();
    await story.expire(orderId);
    await story.sweep();
    await waitFor(() => postsOf(orderId).length > 0, { what: 'the close to be posted' });
    expect(postsOf(orderId)[0]?.result).toMatchObject({ orderId, status: 'CLOSED' });
  });
});

describe('an order service that does not take a result', () => {
  it.each<[string, Answer, string]>([
    ['410', { status: 410 }, 'ORDER_SERVICE_GONE: .* answered 410 to .*: it accepts no more results'],
    [
      '404',
      { status: 404 },
      'ORDER_SERVICE_REFUSED: .* answered 404 to .*Check its log, .* skip order-\\w+ PAID-\\w+ --reason',
    ],
    ['401', { status: 401 }, 'ORDER_SERVICE_REFUSED: .* answered 401 to .*Correct ORDER_SERVICE_SECRET'],
    [
      'a redirect',
      { status: 302, headers: { location: '/elsewhere' } },
      'ORDER_SERVICE_UNFIT: .* a redirect',
    ],
    ['a web page', { body: ' <!DOCTYPE html><p>Welcome' }, 'ORDER_SERVICE_UNFIT: .* with a web page'],
    ['429', { status: 429, headers: { 'retry-after': '7' } }, 'ORDER_SERVICE_DOWN: .* answered 429'],
  ])('but answers %s is named for it, and the result stays owed', async (_what, answer, says) => {
    const { orderId, outTradeNo, messageId } = await paidOrder(answer);
    await waitFor(async () => (await messageOf(messageId))?.last_error != null, {
      what: 'the fault to be named',
    });
    expect(await messageOf(messageId)).toMatchObject({
      told_by: null,
      last_error: expect.stringMatching(says),
    });
    expect(await shop.payments.undelivered({ limit: 1_000 })).toContainEqual(
      expect.objectContaining({
        ...{ orderId, messageId, lastError: expect.stringMatching(says) as unknown },
        nextAttemptAt: expect.any(Date) as unknown,
      }),
    );
    const [resent] = await shop.payments.resendResults({ orderId, actor: 'li', reason: 'it is corrected' });
    expect(resent?.lastError).toMatch(new RegExp(says));
    // A redirect is not followed: every post went to the one address.
    expect(new Set(idsOf(orderId))).toEqual(new Set([messageId]));
    await story.terminate(outTradeNo);
  });

  it('keeps later results of the same order waiting, and of no other one, until a person skips what it refuses', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder({ status: 422 });
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'REFUNDED', amount: '1.00' });
    // The run posts too: while it has the lease, this call has nothing to post.
    await waitFor(() => isRefused(orderId, /answered 422/), { what: 'the lease to be free' });
    const other = await paidOrder();
    await untilTold(other.messageId);
    expect(idsOf(orderId)).not.toContain(`REFUND-${outTradeNo}-1.00`);

    const decision = { orderId, messageId, actor: 'li', reason: 'booked by hand' };
    await expect(shop.payments.skipResult(decision)).rejects.toMatchObject({ code: 'ORDER_SERVICE_BUSY' });
    await story.terminate(outTradeNo);
    // A try that the run had started may still have it.
    const isSkipped = async (): Promise<boolean> => {
      await aMinuteLater(messageId);
      return shop.payments.skipResult(decision).then(
        () => true,
        (error: unknown) => (error as { code?: string }).code !== 'ORDER_SERVICE_BUSY',
      );
    };
    await waitFor(isSkipped, { what: 'the result to be skipped' });
    expect(await shop.payments.results(orderId)).toMatchObject([{ messageId, toldBy: 'nobody' }, {}]);
    answers.delete(orderId);
    // A try that the run had started may post it instead.
    await tellFromOutbox(shop.deps, orderId);
    await untilTold(`REFUND-${outTradeNo}-1.00`);
    expect(idsOf(orderId).at(-1)).toBe(`REFUND-${outTradeNo}-1.00`);
    expect((await story.events(outTradeNo, 'skipped'))[0]).toMatchObject({
      actor: 'li',
      detail: { messageId, reason: 'booked by hand' },
    });
    await expect(
      shop.payments.skipResult({ ...decision, messageId: `REFUND-${outTradeNo}-1.00` }),
    ).rejects.toMatchObject({ code: 'RESULT_TOLD' });
    await expect(shop.payments.skipResult({ ...decision, messageId: 'PAID-x' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('is not skipped while the shop is taking it: else a person and the shop would both act', async () => {
    let take!: () => void;
    const until = new Promise<void>((resolve) => {
      take = resolve;
    });
    const { orderId, outTradeNo, messageId } = await paidOrder({ until });
    await waitFor(() => postsOf(orderId).length > 0, { what: 'the post to begin' });
    const decision = { orderId, messageId, actor: 'li', reason: 'booked by hand' };
    await expect(shop.payments.skipResult(decision)).rejects.toMatchObject({
      code: 'ORDER_SERVICE_BUSY',
      message: expect.stringMatching(/sent to the order service a moment ago.*Try again in a minute/),
    });
    take();
    await untilTold(messageId);
    expect(await story.events(outTradeNo, 'skipped')).toEqual([]);
    await expect(shop.payments.skipResult(decision)).rejects.toMatchObject({ code: 'RESULT_TOLD' });
  });

  it('is not skipped where a refusal follows a post without an answer: the shop may still act on that one', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const messageId = `PAID-${outTradeNo}`;
    const decision = { orderId, messageId, actor: 'li', reason: 'booked by hand' };
    const skipFails = () =>
      expect(shop.payments.skipResult(decision)).rejects.toMatchObject({ code: 'ORDER_SERVICE_BUSY' });
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'PAID', amount: '12.30' });
    answers.set(orderId, { status: 504 });
    expect(await isRefused(orderId, /answered 504/)).toBe(true);
    await skipFails();
    answers.set(orderId, { status: 409 });
    expect(await isRefused(orderId, /answered 409/)).toBe(true);
    await skipFails();
    await aMinuteLater(messageId);
    expect(await shop.payments.skipResult(decision)).toMatchObject({ toldBy: 'nobody' });
    await story.terminate(outTradeNo);
  });

  it('is asked again by a person, under the old id', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder();
    await story.ended(outTradeNo);
    const resent = await shop.payments.resendResults({ orderId, actor: 'li', reason: 'lost by the shop' });
    expect(resent.map((one) => one.messageId)).toEqual([messageId]);
    await story.followUp();
    expect(idsOf(orderId)).toEqual([messageId, messageId]);
    expect(await story.events(outTradeNo, 'resent')).toHaveLength(1);
    expect(await shop.payments.results(orderId)).toMatchObject([{ messageId, toldBy: 'webhook' }]);
    await expect(
      shop.payments.resendResults({ orderId: 'order-0', actor: 'li', reason: 'a typo' }),
    ).rejects.toMatchObject({ code: 'ORDER_UNKNOWN' });
  });

  it('is sent no result again that a person has skipped, unless that one is named', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder();
    await story.ended(outTradeNo);
    const who = { orderId, actor: 'li', reason: 'a test' };
    const refund = `REFUND-${outTradeNo}-1.00`;
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'REFUNDED', amount: '1.00' });
    await shop.payments.skipResult({ ...who, messageId: refund });

    const resent = await shop.payments.resendResults(who);
    expect(resent.map((one) => one.messageId)).toEqual([messageId]);
    await tellFromOutbox(shop.deps, orderId);
    expect(idsOf(orderId)).toEqual([messageId, messageId]);
    expect(await shop.payments.results(orderId)).toMatchObject([{ toldBy: 'webhook' }, { toldBy: 'nobody' }]);

    expect(await shop.payments.resendResults({ ...who, messageId: refund })).toMatchObject([
      { messageId: refund, toldBy: null },
    ]);
    await tellFromOutbox(shop.deps, orderId);
    expect(idsOf(orderId)).toEqual([messageId, messageId, refund]);
  });

  it('is sent nothing where every result was skipped, and a person reads which option sends one', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const messageId = `PAID-${outTradeNo}`;
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'PAID', amount: '12.30' });
    const who = { orderId, actor: 'li', reason: 'a test' };
    await shop.payments.skipResult({ ...who, messageId });
    await expect(shop.payments.resendResults(who)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringMatching(/was skipped.* --message <id> --reason "…"/) as unknown,
    });
    expect(await shop.payments.results(orderId)).toMatchObject([{ toldBy: 'nobody' }]);
    await story.terminate(outTradeNo);
  });

  it('calls for a person at once where it refuses, and from the fifth attempt on where it is down', async () => {
    const log = pino({ level: 'silent' });
    const [warned, called] = [jest.spyOn(log, 'warn'), jest.spyOn(log, 'error')];
    const activities = createPostActivities({ ...shop.deps, log });
    // The run posts too: while it has the lease, this attempt has nothing to post.
    const attempt = (orderId: string, number: number) =>
      waitFor(
        async () => {
          await pauseIsOver(orderId);
          return new MockActivityEnvironment({ attempt: number })
            .run(() => activities.postResults({ orderId }))
            .then(
              () => false,
              (failure: unknown) => (failure as { type?: string }).type !== 'ORDER_SERVICE_BUSY',
            );
        },
        { what: 'the lease to be free', timeoutMs: 30_000 },
      );

    const refused = await paidOrder({ status: 400 });
    await attempt(refused.orderId, 1);
    expect(called.mock.calls).toMatchObject([
      [{ code: 'ORDER_SERVICE_REFUSED', attempts: 1, alert: true }, 'the order service cannot be told'],
    ]);
    await story.terminate(refused.outTradeNo);

    called.mockClear();
    const down = await paidOrder({ status: 500 });
    await attempt(down.orderId, 4);
    expect(called).not.toHaveBeenCalled();
    expect(warned.mock.calls).toMatchObject([
      [{ code: 'ORDER_SERVICE_DOWN', attempts: 4 }, expect.any(String)],
    ]);
    await attempt(down.orderId, 5);
    expect(called.mock.calls).toMatchObject([
      [{ code: 'ORDER_SERVICE_DOWN', attempts: 5, alert: true }, expect.any(String)],
    ]);
    await story.terminate(down.outTradeNo);
  });
});

describe('an order service that wants to be left alone', () => {
  const retryInSeconds = async (messageId: string): Promise<number> => {
    const [row] = await shop.sql<{ seconds: number }>(
      `SELECT CAST(EXTRACT(EPOCH FROM retry_at - now()) AS float8) AS seconds FROM order_messages WHERE id = :messageId`,
      { messageId },
    );
    return row?.seconds ?? 0;
  };

  it('for ten minutes is posted once until then, by the run and by the follow-up', async () => {
    const { orderId, outTradeNo, messageId } = await paidOrder({
      status: 429,
      headers: { 'retry-after': '600' },
    });
    await waitFor(async () => (await activitiesOf(outTradeNo)).includes('postResults on order-service'), {
      what: 'queue order-service to take over',
    });
    await waitFor(async () => (await messageOf(messageId))?.attempts === 1, { what: 'it to try' });
    expect(await retryInSeconds(messageId)).toBeGreaterThan(570);
    // Due now as far as the follow-up knows, and for a call that ignores when it is due.
    await insertOrderMessage(shop.db, { orderId, outTradeNo, status: 'REFUNDED', amount: '1.00' });
    await shop.sql(`UPDATE order_messages SET retry_at = now() WHERE order_id = :orderId`, { orderId });
    await story.followUp();
    // What waits behind it has not been tried, so no try is counted.
    expect(await messageOf(`REFUND-${outTradeNo}-1.00`)).toMatchObject({ attempts: 0 });
    expect(await tellFromOutbox(shop.deps, orderId)).toMatchObject({ told: 0, isPaused: true });
    expect(idsOf(orderId)).toEqual([messageId]);

    answers.delete(orderId);
    // A person knows that it can be posted now.
    await shop.payments.resendResults({ orderId, actor: 'li', reason: 'the shop is back' });
    await story.followUp();
    expect((await messageOf(messageId))?.told_by).toBe('webhook');

    // An older result that is resent goes before a later one that is waiting.
    await shop.sql(
      `UPDATE order_messages SET told_at = NULL, told_by = NULL, not_before = now() + interval '1 hour' WHERE id = :later`,
      { later: `REFUND-${outTradeNo}-1.00` },
    );
    await shop.payments.resendResults({ orderId, messageId, actor: 'li', reason: 'the shop lost it' });
    await story.followUp();
    expect((await messageOf(messageId))?.told_by).toBe('webhook');
    await story.terminate(outTradeNo);
  });

  it('for no time that it names is posted again after five seconds, not at once', async () => {
    const { orderId, outTradeNo } = await paidOrder({ status: 503 });
    await waitFor(() => postsOf(orderId).length >= 2, { what: 'the second post', timeoutMs: 30_000 });
    const [first = fail(), second = fail()] = postsOf(orderId).map(({ at }) => at);
    expect(second - first).toBeGreaterThanOrEqual(4_900);
    await story.terminate(outTradeNo);
  });
});

describe('a worker that does not reach the order service', () => {
  it('stops trying after ten posts, and leaves tries and leases to others', async () => {
    const webhook = new Webhook({ url: 'http://127.0.0.1:9/', secrets }, { webhook: () => undefined });
    const { orderId, outTradeNo, messageId } = await paidOrder();
    await story.ended(outTradeNo);
    await shop.payments.resendResults({ orderId, actor: 'li', reason: 'a test' });
    const cutOff = { ...shop.deps, receiver: webhook };
    for (let i = 0; i < 10; i += 1)
      await expect(tellFromOutbox(cutOff, orderId)).rejects.toThrow(/ECONNREFUSED/);
    const startedAt = Date.now();
    await expect(tellFromOutbox(cutOff, orderId)).rejects.toThrow(/too many posts have failed/);
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    const { attempts } = (await messageOf(messageId)) ?? fail();
    const activities = createPaymentsQueueActivities(cutOff);
    await expect(new MockActivityEnvironment().run(() => activities.tellUndelivered())).rejects.toMatchObject(
      {
        type: 'ORDER_SERVICE_DOWN',
      },
    );
    expect((await messageOf(messageId))?.attempts).toBe(attempts);
    expect(await tellFromOutbox(shop.deps, orderId)).toEqual({ told: 1, busyMs: 0 });
  });
});

function fail(): never {
  throw new Error('nothing was found');
}
