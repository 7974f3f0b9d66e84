import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from '@temporalio/client';
import { installSchedules } from '../../worker/schedules';
import { dataConverterWith } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';
import { SWEEP_SCHEDULE_ID, orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import type { Found } from '../integration/payloads';
import { heldOf, heldOfSchedule, payloadsIn } from '../integration/payloads';
import { Story } from '../integration/story';

const key = (id: string): string => `${id}:${randomBytes(32).toString('base64')}`;
const [A, B] = [key('a'), key('b')];

/** Written by the server or by the SDK's core, which no codec reaches; docs/security.md lists them. */
const IN_CLEAR = [
  /searchAttributes\.indexedFields\.(OutTradeNo|OrderId|PaymentStatus|BuildIds|TemporalChangeVersion|TemporalScheduled\w+)$/,
  // The core's own record of a local activity: its name, number and time.
  /^events\.markerRecordedEventAttributes\.details\.data\.payloads$/,
  // And of a patch: its name.
  /^events\.markerRecordedEventAttributes\.details\.patch-data\.payloads$/,
];

const isInClear = ({ path }: Found): boolean => IN_CLEAR.some((one) => one.test(path));

// No sweep except on request.
const NEW_YEAR = '0 0 0 1 1 * *';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, {
    payloadKeys: `${A},${B}`,
    payments: { sweep: { cron: NEW_YEAR, parallel: 4 } },
  });
  story = new Story(shop);
});
afterAll(() => shop.close());

/** Its payments have checks left however long their workers are down. */
const watched = (of: Shop): Story => new Story(of, of.clientWith({ checks: 60 }));

async function restartWorkers(payloadKeys?: string): Promise<void> {
  await shop.stopWorkers();
  await shop.startWorkers({ payloadKeys });
}

describe('what Temporal holds of a payment, while PAYLOAD_KEYS is set', () => {
  const found: Found[] = [];

  /** A life with everything: checks, a notification, a review decided in two attempts, a refund, a sweep. */
  beforeAll(async () => {
    const { outTradeNo } = await story.checkOut({ orderId: 'S-1', outTradeNo: 'S1', totalAmount: '78.90' });
    await shop.alipay.control.fault({
      mode: 'wrong-amount',
      method: 'alipay.trade.query',
      outTradeNo,
      times: 2,
    });
    await story.pay(outTradeNo);
    expect(await shop.payments.checkNow(outTradeNo)).toMatchObject({ status: 'REVIEW' });
    const decision = { actor: 'li-wei', reason: 'one fen too much' };
    await expect(
      shop.payments.resolveReview(outTradeNo, { ...decision, to: 'CLOSED' }),
    ).rejects.toMatchObject({ code: 'REVIEW_REFUSED', message: expect.stringContaining('TRADE_SUCCESS') });
    const reviewed = await heldOf(
      shop,
      paymentWorkflowId(outTradeNo),
      'payment',
      '__temporal_workflow_metadata',
    );
    await shop.payments.resolveReview(outTradeNo, { ...decision, to: 'REFUNDING' });
    await story.until(outTradeNo, 'REFUNDED');
    await story.ended(outTradeNo);

    const notified = await story.checkOut({ orderId: 'S-2', outTradeNo: 'S2', totalAmount: '78.90' });
    await story.pay(notified.outTradeNo, { notify: true });
    await story.ended(notified.outTradeNo);
    await story.told('S-2', 1);

    await story.checkOut({ orderId: 'S-3', outTradeNo: 'S3', totalAmount: '78.90' });
    await story.expire('S-3');
    await shop.payments.sweep.install();
    await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).trigger();
    const { workflowId: sweep } = await waitFor(
      async () => {
        const last = await shop.payments.sweep.report().catch(() => undefined);
        return last?.status === 'COMPLETED' && last;
      },
      { what: 'the sweep to end' },
    );

    found.push(
      ...payloadsIn(reviewed),
      ...payloadsIn(await heldOf(shop, paymentWorkflowId(outTradeNo), 'payment')),
      ...payloadsIn(await heldOf(shop, paymentWorkflowId(notified.outTradeNo), 'payment')),
      ...payloadsIn(await heldOf(shop, orderWorkflowId('S-2'))),
      ...payloadsIn(await heldOf(shop, sweep, 'progress')),
      ...payloadsIn(await heldOfSchedule(shop, SWEEP_SCHEDULE_ID)),
    );
  });

  it('is encrypted: inputs, results, markers, signals, updates, failures, timers, words for people, the Schedule', () => {
    expect(found.filter((one) => !isInClear(one) && one.keyId !== 'a')).toEqual([]);
    const paths = new Set(found.filter(({ keyId }) => keyId === 'a').map(({ path }) => path));
    for (const kind of [
      'events.workflowExecutionStartedEventAttributes.input.payloads',
      'events.workflowExecutionCompletedEventAttributes.result.payloads',
      'events.workflowExecutionSignaledEventAttributes.input.payloads',
      'events.workflowExecutionUpdateAcceptedEventAttributes.acceptedRequest.input.args.payloads',
      'events.workflowExecutionUpdateCompletedEventAttributes.outcome.success.payloads',
      'events.workflowExecutionUpdateCompletedEventAttributes.outcome.failure.encodedAttributes',
      'events.activityTaskScheduledEventAttributes.input.payloads',
      'events.activityTaskCompletedEventAttributes.result.payloads',
      'events.markerRecordedEventAttributes.details.result.payloads',
      'events.userMetadata.summary',
      'events.userMetadata.details',
      'answers.queryResult.payloads',
      'schedule.action.startWorkflow.input.payloads',
    ])
      expect([...paths]).toContain(kind);
  });

  it('tells in clear what can be searched for, and nothing else', () => {
    const clear = new Set(found.filter(({ keyId }) => keyId === undefined).map(({ path }) => path));
    expect([...clear].filter((path) => !IN_CLEAR.some((one) => one.test(path)))).toEqual([]);
    const texts = found.map(({ text }) => text).join('\n');
    // Each too long to appear by chance in so many encrypted bytes.
    for (const word of [
      '78.90',
      'li-wei',
      'one fen',
      'TRADE_SUCCESS',
      'totalAmount',
      ' yuan',
      'closed',
      'intervalMs',
    ])
      expect(texts).not.toContain(word);
  });

  it('is read by whoever has the key, a refused decision in its words too', async () => {
    expect(await shop.payments.status('S1')).toMatchObject({ outTradeNo: 'S1', status: 'REFUNDED' });
    expect((await shop.payments.sweep.report()).report).toMatchObject({ scanned: 1 });
  });
});

describe('a change of keys while payments run', () => {
  const keysOf = async (outTradeNo: string): Promise<string[]> => {
    const { events } = await heldOf(shop, paymentWorkflowId(outTradeNo));
    return [...new Set(payloadsIn(events).flatMap(({ keyId }) => keyId ?? []))].sort();
  };

  it('disturbs none of them where the new workers know the old key as well', async () => {
    await restartWorkers(A);
    const { orderId, outTradeNo } = await watched(shop).checkOut();
    await waitFor(async () => (await shop.payments.status(outTradeNo)).checks > 0, {
      what: 'a first check',
    });
    await restartWorkers(`${B},${A}`);
    await story.pay(outTradeNo);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID' });
    expect(await keysOf(outTradeNo)).toEqual(['a', 'b']);
    expect(await story.told(orderId, 1)).toHaveLength(1);
  });

  it('without the old key stops them with a code that says so, loses nothing, and heals with it', async () => {
    await restartWorkers(A);
    const { orderId, outTradeNo } = await watched(shop).checkOut();
    await waitFor(async () => (await shop.payments.status(outTradeNo)).checks > 0, {
      what: 'a first check',
    });
    await restartWorkers(B);
    await story.pay(outTradeNo, { notify: true });
    const failure = await waitFor(
      async () => {
        const { events } = await heldOf(shop, paymentWorkflowId(outTradeNo));
        return events.findLast((one) => one.workflowTaskFailedEventAttributes)
          ?.workflowTaskFailedEventAttributes?.failure;
      },
      { what: 'a workflow task to fail', timeoutMs: 30_000 },
    );
    expect(failure).toMatchObject({
      applicationFailureInfo: { type: 'PAYLOAD_KEY_UNKNOWN' },
      message: expect.stringContaining('Add that key to PAYLOAD_KEYS'),
    });
    expect(await story.isRunning(outTradeNo)).toBe(true);

    await restartWorkers(`${B},${A}`);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.told(orderId, 1)).toHaveLength(1);
  });

  it('leaves the Schedule of the sweep to be installed again, which writes it by the new key', async () => {
    const keysOfSchedule = async () =>
      new Set(payloadsIn(await heldOfSchedule(shop, SWEEP_SCHEDULE_ID)).flatMap(({ keyId }) => keyId ?? []));
    expect(await keysOfSchedule()).toEqual(new Set(['a']));
    const { connection, namespace } = shop;
    const dataConverter = dataConverterWith(parsePayloadKeys(`${B},${A}`));
    const operator = new Client({ connection, namespace, dataConverter });
    await installSchedules(operator, { cron: NEW_YEAR, parallel: 4 });
    expect(await keysOfSchedule()).toEqual(new Set(['b']));
  });
});

describe('a shop that has run in clear', () => {
  it('is encrypted from the next restart on, and its running payments go on', async () => {
    const plain = await openShop(__filename, { payments: { sweep: { cron: NEW_YEAR, parallel: 4 } } });
    try {
      const before = watched(plain);
      await shop.stopWorkers();
      const { outTradeNo } = await before.checkOut({ orderId: 'plain-1' });
      await waitFor(async () => (await plain.payments.status(outTradeNo)).checks > 0, {
        what: 'a first check',
      });
      await plain.stopWorkers();
      await plain.startWorkers({ payloadKeys: A });
      await before.pay(outTradeNo);
      await before.until(outTradeNo, 'PAID');
      const result: unknown = await shop.temporal.workflow.result(paymentWorkflowId(outTradeNo));
      expect(result).toMatchObject({ status: 'PAID' });
      await expect(before.ended(outTradeNo)).rejects.toMatchObject({ code: 'PAYLOAD_KEY_UNKNOWN' });
    } finally {
      await plain.close();
      await shop.startWorkers();
    }
  });
});
