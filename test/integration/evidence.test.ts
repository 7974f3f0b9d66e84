import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import type { ActivityDependencies } from '../../activities';
import { storeAnswer } from '../../activities/payments';
import { claimUnrecorded } from '../../db/due';
import type { NewEvidence } from '../../db/evidence';
import { pruneEvidence, storeEvidence } from '../../db/evidence';
import { closeOrderWithPayments } from '../../db/ledger';
import {
  keepUnmatched,
  listUnmatched,
  pruneUnmatched,
  resolveUnmatched,
} from '../../db/unmatched-notifications';
import { Hands, inActivity, openShop, waitFor } from '../support';
import type { Shop } from '../support';
import { Story } from './story';

const QUERY = 'alipay.trade.query';

let shop: Shop;
let story: Story;
let hands: Hands;

beforeAll(async () => {
  // No worker runs: the test takes each step itself.
  shop = await openShop(__filename, { queues: [], alipay: { timeoutMs: 5_000 } });
  story = new Story(shop);
  hands = new Hands(shop);
});
afterAll(() => shop.close());

beforeEach(async () => {
  await shop.alipay.control.clearFaults();
  await shop.alipay.control.down(false);
});

interface EvidenceRow {
  id: string;
  kind: string;
  body: Buffer | null;
  digest: Buffer;
  signature: string | null;
  charset: string;
  recorded_at: Date | null;
  attempts: number;
  retry_at: Date;
  pruned_at: Date | null;
}

const evidenceOf = (outTradeNo: string): Promise<EvidenceRow[]> =>
  shop.sql(`SELECT * FROM evidence WHERE out_trade_no = :outTradeNo ORDER BY id`, { outTradeNo });

const rowOf = async (outTradeNo: string) =>
  (
    await shop.sql<{
      status: string;
      checks: number;
      next_check_at: Date | null;
      revive_at: Date | null;
      callback_time: Date | null;
      callback_content: Record<string, string> | null;
    }>(`SELECT * FROM payments WHERE out_trade_no = :outTradeNo`, { outTradeNo })
  )[0];

const record = (outTradeNo: string, deps: ActivityDependencies = shop.deps) =>
  inActivity(() => createPaymentsQueueActivities(deps).recordAndTell({ outTradeNo }));

/** Recording waits for one second, and Temporal may take longer to accept a result. */
const delivered = (outTradeNo: string) =>
  waitFor(async () => !(await record(outTradeNo)).undelivered, { what: 'the order service to be told' });

const ask = (outTradeNo: string, check: number, nextCheckInMs: number | null) =>
  inActivity(() => createAlipayQueueActivities(shop.deps).queryAlipay({ outTradeNo, check, nextCheckInMs }));

/** A checkout, scanned and paid, of which we have not been told. */
async function paidUnheard() {
  const checkout = await story.checkOut();
  await story.pay(checkout.outTradeNo);
  return checkout;
}

const answerOf = (outTradeNo: string, fields: Record<string, string>, more: Partial<NewEvidence> = {}) => ({
  outTradeNo,
  kind: 'answer' as const,
  signed: {
    bytes: Buffer.from(JSON.stringify({ code: '10000', out_trade_no: outTradeNo, ...fields })),
    signature: 'c2lnbmVk',
    charset: 'utf-8',
    keyFingerprint: 'f'.repeat(64),
  },
  isNews: true,
  says: { tradeStatus: fields['trade_status'] ?? '' },
  ...more,
});

describe('a verified body', () => {
  it('is stored once, however often it comes, by its notify_id or by its bytes', async () => {
    const { outTradeNo } = await paidUnheard();
    const answer = await shop.gateway.query(outTradeNo);
    const ids = await Promise.all(
      Array.from({ length: 10 }, () => storeAnswer(shop.db, outTradeNo, 0, answer)),
    );
    expect(new Set(ids).size).toBe(1);
    for (let i = 0; i < 3; i += 1) {
      await shop.alipay.control.notify(outTradeNo, {
        notify_id: 'the-same',
        notify_time: `2026-11-29 10:00:0${i}`,
      });
    }
    const [stored, notified] = await evidenceOf(outTradeNo);
    expect(await evidenceOf(outTradeNo)).toHaveLength(2);
    expect(stored?.body).toEqual(answer.signed.bytes);
    expect(notified).toMatchObject({ kind: 'notification', charset: 'utf-8', recorded_at: null });
  });

  it('is named in the timeline, with the amounts and nothing about the buyer', async () => {
    const { outTradeNo } = await paidUnheard();
    await shop.alipay.control.notify(outTradeNo);
    await ask(outTradeNo, 1, 60_000);
    const [notified, answered] = await evidenceOf(outTradeNo);
    expect(await story.events(outTradeNo, 'notified')).toMatchObject([
      {
        actor: 'alipay',
        detail: { evidence: notified?.id, trade_status: 'TRADE_SUCCESS', total_amount: '12.30' },
      },
    ]);
    expect(await story.events(outTradeNo, 'answered')).toMatchObject([
      {
        actor: 'check 1',
        detail: { evidence: answered?.id, trade_status: 'TRADE_SUCCESS', total_amount: '12.30' },
      },
    ]);
    expect(JSON.stringify(await story.events(outTradeNo))).not.toMatch(/buyer|208810/);
  });

  it('of a payment that is not here is not stored', async () => {
    expect(await storeEvidence(shop.db, answerOf('nobody_knows_it', {}))).toBeUndefined();
  });

  it('that says nothing new counts as recorded at once', async () => {
    const { outTradeNo } = await story.checkOut();
    await shop.alipay.control.scan(outTradeNo);
    await shop.alipay.control.notify(outTradeNo);
    expect(await evidenceOf(outTradeNo)).toMatchObject([{ recorded_at: expect.any(Date) as unknown }]);
  });

  it('that is here and recorded is stored no second time by a sweep', async () => {
    const { orderId, outTradeNo } = await paidUnheard();
    await hands.check(outTradeNo);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    const before = await evidenceOf(outTradeNo);
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
    expect(await evidenceOf(outTradeNo)).toEqual(before);
    expect(await story.events(outTradeNo, 'answered')).toHaveLength(1);
  });

  it('that is recorded is owed again where its row was restored to before it', async () => {
    const { orderId, outTradeNo } = await paidUnheard();
    await hands.check(outTradeNo);
    await shop.sql(
      `UPDATE payments SET status = 'UNPAID', trade_no = NULL, paid_amount = NULL WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await shop.sql(`UPDATE orders SET status = 'UNPAID', paid_by = NULL WHERE id = :orderId`, { orderId });
    await hands.check(outTradeNo);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await evidenceOf(outTradeNo)).toHaveLength(1);
  });
});

describe('what Postgres cannot hold as text', () => {
  it('is kept to the byte, and becomes U+FFFD where people read it', async () => {
    const { orderId, outTradeNo } = await paidUnheard();
    const body = 'a zero byte: \0, and 茶';
    expect(await shop.alipay.control.notify(outTradeNo, { body })).toMatchObject({ body: 'success' });
    await record(outTradeNo);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    const [{ body: bytes } = { body: null }] = await evidenceOf(outTradeNo);
    expect(bytes?.toString()).toContain(body);
    expect((await rowOf(outTradeNo))?.callback_content?.['body']).toBe('a zero byte: \uFFFD, and 茶');
  });

  it.each([
    ['lone surrogates', { subject: 'half \ud83d of one', trade_no: '2026\udc00' }],
    ['64 KB', { subject: 'x'.repeat(65_536) }],
    ['a zero byte in the number of the trade', { trade_no: '2026\0' }],
  ])('(%s, in an answer) neither fails nor is lost', async (_, fields) => {
    const { orderId, outTradeNo } = await paidUnheard();
    const said = { trade_status: 'TRADE_SUCCESS', total_amount: '12.30', ...fields };
    await storeEvidence(shop.db, answerOf(outTradeNo, said));
    await record(outTradeNo);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await evidenceOf(outTradeNo)).toMatchObject([{ recorded_at: expect.any(Date) as unknown }]);
  });
});

/** What a worker logs from `warn` on. */
const lines: { code?: string }[] = [];
const log = pino(
  { level: 'warn' },
  new PassThrough().on('data', (line) => lines.push(JSON.parse(String(line)) as object)),
);

describe('evidence that nobody can record', () => {
  it.each([
    ['is no JSON', { bytes: Buffer.from('<html>') }, {}],
    ['is in a charset that nobody knows', { charset: 'klingon' }, {}],
    ['names an amount that no column holds', {}, { total_amount: '999999999999.00' }],
  ])('because it %s stays owed, alerts, and stops no other', async (_, broken, fields) => {
    lines.length = 0;
    const { orderId, outTradeNo } = await paidUnheard();
    const poison = answerOf(outTradeNo, { trade_status: 'TRADE_SUCCESS', total_amount: '12.30', ...fields });
    const stored = await storeEvidence(shop.db, { ...poison, signed: { ...poison.signed, ...broken } });
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));

    await record(outTradeNo, { ...shop.deps, log });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await evidenceOf(outTradeNo)).toMatchObject([
      { id: stored?.id, recorded_at: null, attempts: 0 },
      { recorded_at: expect.any(Date) as unknown },
    ]);
    expect(lines).toMatchObject([
      { code: 'EVIDENCE_NOT_RECORDED', alert: true, outTradeNo, evidenceId: stored?.id },
    ]);
  });

  it('is claimed by the follow-up later each time, while it is owed', async () => {
    const { outTradeNo } = await paidUnheard();
    const poison = answerOf(outTradeNo, {});
    await storeEvidence(shop.db, { ...poison, signed: { ...poison.signed, charset: 'klingon' } });
    for (const minutes of [1, 2, 4, 8]) {
      await claimUnrecorded(shop.db, outTradeNo);
      await record(outTradeNo);
      const [owed] = await evidenceOf(outTradeNo);
      const inMinutes = ((owed?.retry_at.getTime() ?? 0) - Date.now()) / 60_000;
      expect(inMinutes).toBeGreaterThan(minutes - 0.5);
      expect(inMinutes).toBeLessThan(minutes + 0.5);
    }
    expect(await evidenceOf(outTradeNo)).toMatchObject([{ recorded_at: null, attempts: 4 }]);
  });
});

describe('an order with evidence that is not recorded', () => {
  it('is not closed: it may be of money', async () => {
    const { orderId, outTradeNo } = await paidUnheard();
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
    const asked = [{ outTradeNo, recheckInMs: null }];
    const close = () =>
      closeOrderWithPayments(shop.db, { orderId, asked, actor: 'sweep', reason: 'expired' });
    expect(await close()).toBe('changed');
    await record(outTradeNo);
    expect(await close()).toBe('paid');
  });
});

describe('recording', () => {
  it('takes all that is owed, oldest first, and once', async () => {
    const { orderId, outTradeNo } = await paidUnheard();
    await shop.alipay.control.notify(outTradeNo);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await shop.alipay.control.notifier({});
    await shop.alipay.control.notify(outTradeNo);
    expect(await record(outTradeNo)).toMatchObject({ status: 'PAID', changed: true });
    expect((await record(outTradeNo)).changed).toBeUndefined();
    await delivered(outTradeNo);
    await hands.refund(outTradeNo);
    await delivered(outTradeNo);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      paidAmount: '12.30',
      refundedAmount: '2.30',
    });
    const [made] = (await shop.alipay.control.trade(outTradeNo))?.refunds ?? [];
    expect(
      await shop.sql(
        `SELECT id, told_at IS NOT NULL AS told FROM order_messages WHERE order_id = :orderId ORDER BY seq`,
        {
          orderId,
        },
      ),
    ).toEqual([
      { id: `PAID-${outTradeNo}`, told: true },
      { id: `REFUND-${outTradeNo}-${made?.outRequestNo ?? ''}`, told: true },
    ]);
  });

  it('leaves nothing due of a payment that is settled, and its siblings due to be closed', async () => {
    const { orderId, outTradeNo } = await paidUnheard();
    const sibling = await story.secondTab(orderId, `${outTradeNo}b`);
    await shop.sql(
      `UPDATE payments SET next_check_at = now(), slow_check_at = now(), recheck_at = NULL WHERE order_id = :orderId`,
      { orderId },
    );
    await hands.check(outTradeNo);
    expect(
      await shop.sql(
        `SELECT out_trade_no, next_check_at, slow_check_at, recheck_at <= now() AS due FROM payments
         WHERE order_id = :orderId ORDER BY created_at`,
        { orderId },
      ),
    ).toMatchObject([
      { out_trade_no: outTradeNo, next_check_at: null, slow_check_at: null, due: null },
      { out_trade_no: sibling.outTradeNo, due: true },
    ]);
    expect(await shop.payments.order(orderId)).toMatchObject({ status: 'PAID', paidBy: outTradeNo });
  });

  it('asks for somebody to look after a payment that is in review, flagged, or being refunded', async () => {
    const late = await paidUnheard();
    await shop.sql(`UPDATE orders SET status = 'CLOSED' WHERE id = :orderId`, { orderId: late.orderId });
    await hands.check(late.outTradeNo);
    expect(await rowOf(late.outTradeNo)).toMatchObject({ status: 'REFUNDING' });

    const another = await paidUnheard();
    await shop.alipay.control.notify(another.outTradeNo, { total_amount: '12.31' });
    await record(another.outTradeNo);
    expect(await rowOf(another.outTradeNo)).toMatchObject({ status: 'REVIEW' });

    const flagged = await paidUnheard();
    await hands.check(flagged.outTradeNo);
    expect(await rowOf(flagged.outTradeNo)).toMatchObject({ status: 'PAID', revive_at: null });
    await shop.alipay.control.notify(flagged.outTradeNo, { total_amount: '12.31' });
    await record(flagged.outTradeNo);

    for (const { outTradeNo } of [late, another, flagged]) {
      const inMs = ((await rowOf(outTradeNo))?.revive_at?.getTime() ?? 0) - Date.now();
      expect(inMs).toBeGreaterThan(30_000);
      expect(inMs).toBeLessThan(90_000);
    }
  });

  it('of a payment known to be refunded in full is no surprise by TRADE_CLOSED, though that says no refund_fee', async () => {
    const { outTradeNo } = await paidUnheard();
    await hands.check(outTradeNo);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    await shop.alipay.control.notifier({});
    await shop.alipay.control.notify(outTradeNo);
    await record(outTradeNo);
    await shop.alipay.control.notify(outTradeNo, { refund_fee: '', notify_id: 'without' });
    await record(outTradeNo);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'PAID',
      refundedAmount: '0.00',
      reviewReason: null,
    });
    await hands.refund(outTradeNo);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'REFUNDED',
      refundedAmount: '12.30',
    });
  });

  it('of a payment that TRADE_CLOSED is the first to tell of keeps when the buyer paid', async () => {
    const { outTradeNo } = await paidUnheard();
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    await shop.alipay.control.notifier({});
    await shop.alipay.control.notify(outTradeNo, { gmt_payment: '2026-11-24 18:00:00' });
    await record(outTradeNo);
    expect((await rowOf(outTradeNo))?.callback_time).toEqual(new Date('2026-11-24T10:00:00Z'));
  });

  it('is done, and soon, though the order service cannot be told: that is owed', async () => {
    // Never closed: a call that Temporal's client retries later would throw from its timer.
    const connection = Connection.lazy({ address: '127.0.0.1:1' });
    const { orderId, outTradeNo } = await paidUnheard();
    await shop.alipay.control.notify(outTradeNo);
    lines.length = 0;
    const temporal = new Client({ connection, namespace: shop.namespace });
    expect(await record(outTradeNo, { ...shop.deps, temporal, log })).toMatchObject({
      status: 'PAID',
      undelivered: true,
    });
    // Returned before the telling was given up.
    expect(lines).toEqual([]);
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    // The abandoned call ends too; as long as it runs, nothing else tells the result.
    await waitFor(() => Promise.resolve(lines.some(({ code }) => code === 'UNDELIVERED')), {
      what: 'the telling to be given up',
    });
    await delivered(outTradeNo);
  });

  it('of a payment that is not here fails by name', async () => {
    await expect(record('nobody_knows_it')).rejects.toMatchObject({ type: 'PAYMENT_UNKNOWN' });
  });
});

describe('one check', () => {
  const plan = (outTradeNo: string, inMs: number | null) =>
    inActivity(() => createPaymentsQueueActivities(shop.deps).planCheck({ outTradeNo, inMs }));

  const dueInMs = async (outTradeNo: string): Promise<number> =>
    ((await rowOf(outTradeNo))?.next_check_at?.getTime() ?? 0) - Date.now();

  it.each(['20000', 'SYSTEM_ERROR', 'hang', 'bad-signature', '40005'] as const)(
    'that nobody can answer (%s) is the answer unknown, and uses the check up',
    async (mode) => {
      const { outTradeNo } = await story.checkOut();
      await shop.alipay.control.fault({ mode, method: QUERY, outTradeNo });
      expect(await ask(outTradeNo, 2, 60_000)).toEqual({ answer: 'unknown' });
      expect(await rowOf(outTradeNo)).toMatchObject({ checks: 2 });
      expect(await dueInMs(outTradeNo)).toBeGreaterThan(20_000);
      expect(await evidenceOf(outTradeNo)).toEqual([]);
    },
  );

  it('that was refused is an error, and uses the check up too', async () => {
    const { outTradeNo } = await story.checkOut();
    await shop.alipay.control.fault({ mode: '40006', method: QUERY, outTradeNo });
    await expect(ask(outTradeNo, 1, 60_000)).rejects.toMatchObject({ type: 'ALIPAY_MISCONFIGURED' });
    expect(await rowOf(outTradeNo)).toMatchObject({ checks: 1 });
  });

  it('and the next are written into the row with the answer; the last one has none', async () => {
    const { outTradeNo } = await story.checkOut();
    expect(await ask(outTradeNo, 1, 60_000)).toEqual({ answer: 'not-exist' });
    expect(await rowOf(outTradeNo)).toMatchObject({ checks: 1 });
    expect(await dueInMs(outTradeNo)).toBeGreaterThan(20_000);
    await shop.alipay.control.scan(outTradeNo);
    expect(await ask(outTradeNo, 2, null)).toEqual({ answer: 'waiting' });
    expect(await rowOf(outTradeNo)).toMatchObject({ checks: 2, next_check_at: null });
    expect(await story.events(outTradeNo, 'checked')).toMatchObject([
      { actor: 'check 1', detail: { check: 1, answer: 'not-exist' } },
      { actor: 'check 2', detail: { check: 2, answer: 'waiting' } },
    ]);
  });

  it('that uses up none leaves the plan of the others', async () => {
    const { outTradeNo } = await story.checkOut();
    await plan(outTradeNo, 60_000);
    expect(await ask(outTradeNo, 0, null)).toEqual({ answer: 'not-exist' });
    await shop.alipay.control.fault({ mode: 'hang', method: QUERY, outTradeNo, times: 1 });
    expect(await ask(outTradeNo, 0, null)).toEqual({ answer: 'unknown' });
    await story.pay(outTradeNo);
    expect(await ask(outTradeNo, 0, null)).toMatchObject({ answer: 'paid' });
    expect(await dueInMs(outTradeNo)).toBeGreaterThan(20_000);
  });

  it('made again because its answer was lost is the same check', async () => {
    const { outTradeNo } = await paidUnheard();
    await ask(outTradeNo, 1, 60_000);
    expect(await ask(outTradeNo, 1, 60_000)).toEqual({ answer: 'paid' });
    expect(await rowOf(outTradeNo)).toMatchObject({ checks: 1 });
    expect(await evidenceOf(outTradeNo)).toHaveLength(1);
  });

  it('looks into the own table first', async () => {
    const { outTradeNo } = await paidUnheard();
    await hands.check(outTradeNo);
    const before = await story.calls(outTradeNo);
    expect(await ask(outTradeNo, 2, 60_000)).toEqual({ answer: 'paid' });
    expect(await story.calls(outTradeNo)).toEqual(before);
    expect(await rowOf(outTradeNo)).toMatchObject({ checks: 0, next_check_at: null });
  });

  it('is planned and unplanned, but not for a payment that is settled', async () => {
    const { outTradeNo } = await paidUnheard();
    expect(await plan(outTradeNo, 120_000)).toMatchObject({ status: 'UNPAID' });
    expect(await dueInMs(outTradeNo)).toBeGreaterThan(80_000);
    await plan(outTradeNo, null);
    expect(await rowOf(outTradeNo)).toMatchObject({ next_check_at: null });
    await hands.check(outTradeNo);
    expect(await plan(outTradeNo, 120_000)).toMatchObject({ status: 'PAID' });
    expect(await rowOf(outTradeNo)).toMatchObject({ next_check_at: null });
  });
});

describe('pruning', () => {
  const YEAR_MS = 365 * 24 * 3_600_000;

  async function aged(hear = true) {
    const { outTradeNo } = await paidUnheard();
    await shop.alipay.control.notify(outTradeNo);
    if (hear) await record(outTradeNo);
    await shop.sql(
      `UPDATE evidence SET received_at = now() - interval '400 days' WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    await shop.sql(
      `UPDATE payments SET callback_time = now() - interval '400 days' WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    return outTradeNo;
  }

  const prune = (limit = 1_000) => pruneEvidence(shop.db, { olderThanMs: YEAR_MS, limit });

  it('takes the bodies of what is old and recorded, and leaves a stub', async () => {
    const [old, young] = [await aged(), (await paidUnheard()).outTradeNo];
    await hands.check(young);
    const [before] = await evidenceOf(old);
    expect(await prune()).toBe(1);
    expect(await prune()).toBe(0);
    expect(await evidenceOf(old)).toMatchObject([
      {
        id: before?.id,
        digest: before?.digest,
        body: null,
        signature: null,
        pruned_at: expect.any(Date) as unknown,
      },
    ]);
    expect(await rowOf(old)).toMatchObject({ status: 'PAID', callback_content: null });
    expect(await evidenceOf(young)).toMatchObject([{ pruned_at: null }]);
    expect((await rowOf(young))?.callback_content).not.toBeNull();
  });

  it('takes as many as it may, the oldest first', async () => {
    const [older, old] = [await aged(), await aged()];
    await shop.sql(
      `UPDATE evidence SET received_at = now() - interval '500 days' WHERE out_trade_no = :older`,
      {
        older,
      },
    );
    expect(await prune(1)).toBe(1);
    expect(await evidenceOf(older)).toMatchObject([{ body: null }]);
    expect(await evidenceOf(old)).toMatchObject([{ pruned_at: null }]);
    expect(await prune()).toBe(1);
  });

  it('never takes what is not recorded: the table itself refuses it', async () => {
    const outTradeNo = await aged(false);
    expect(await prune()).toBe(0);
    await expect(
      shop.sql(
        `UPDATE evidence SET body = NULL, signature = NULL, pruned_at = now() WHERE out_trade_no = :outTradeNo`,
        { outTradeNo },
      ),
    ).rejects.toMatchObject({ constraint: 'evidence_unrecorded_kept' });
    await record(outTradeNo);
    expect(await prune()).toBe(1);
  });

  it('forgets the body, and not that it was recorded: the same notification again changes nothing', async () => {
    const outTradeNo = await aged();
    const [{ id } = { id: '' }] = await evidenceOf(outTradeNo);
    const fields = { notify_id: 'pruned' };
    await shop.sql(`UPDATE evidence SET notify_id = 'pruned' WHERE id = :id`, { id });
    await prune();
    expect(await shop.alipay.control.notify(outTradeNo, fields)).toMatchObject({ body: 'success' });
    expect(await evidenceOf(outTradeNo)).toMatchObject([{ id, body: null }]);
  });
});

it('a genuine notification of a payment that is not here is kept to the byte, with what verifies it', async () => {
  const { notifyUrl } = shop.gateway.settings;
  const fields = { out_trade_no: 'restored_backup', body: 'zero \0 byte' };
  expect(await shop.alipay.control.notify('restored_backup', fields, notifyUrl)).toMatchObject({
    body: 'success',
  });
  const [kept] = await shop.sql(`SELECT * FROM unmatched_notifications`);
  expect(kept).toMatchObject({
    content: { body: 'zero \uFFFD byte', trade_status: 'TRADE_SUCCESS' },
    signature: expect.stringMatching(/^[A-Za-z0-9+/=]{300,}$/) as unknown,
    charset: 'utf-8',
    key_fingerprint: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
  });
  expect((kept?.['body'] as Buffer).toString()).toContain('zero \0 byte');
});

describe('pruning what is of a payment that is not here', () => {
  const DAY_MS = 24 * 3_600_000;

  /** Stores evidence dated 400 days ago; returns its id. */
  async function kept(outTradeNo: string): Promise<string> {
    const fields = {
      trade_no: '2026',
      trade_status: 'TRADE_SUCCESS',
      buyer_id: '2088',
      total_amount: '12.30',
    };
    const { signed } = answerOf(outTradeNo, {});
    expect(await keepUnmatched(shop.db, { outTradeNo, notifyId: outTradeNo, fields, signed })).toBe(true);
    const [row] = await shop.sql<{ id: string }>(
      `UPDATE unmatched_notifications SET at = now() - interval '400 days' WHERE out_trade_no = :outTradeNo RETURNING id`,
      { outTradeNo },
    );
    return row?.id ?? '';
  }
  const resolve = (id: string) => resolveUnmatched(shop.db, { id, actor: 'anna', reason: 'paid back' });
  const prune = () => pruneUnmatched(shop.db, { olderThanMs: 365 * DAY_MS, limit: 1_000 });
  const rowsOf = (...ids: string[]) =>
    shop.sql(`SELECT * FROM unmatched_notifications WHERE id = ANY(:ids) ORDER BY id`, { ids });

  it('takes the buyer and the signed bytes out of what is old and resolved, and leaves a stub', async () => {
    const [old, young] = [await kept('unmatched_old'), await kept('unmatched_young')];
    for (const id of [old, young]) await resolve(id);
    await shop.sql(`UPDATE unmatched_notifications SET at = now() WHERE id = :young`, { young });
    expect(await prune()).toBe(1);
    expect(await prune()).toBe(0);
    expect(await rowsOf(old, young)).toMatchObject([
      {
        body: null,
        signature: null,
        content: { trade_no: '2026', trade_status: 'TRADE_SUCCESS', total_amount: '12.30' },
        resolution: 'paid back',
      },
      { pruned_at: null, content: { buyer_id: '2088' } },
    ]);
    expect((await rowsOf(old))[0]?.['content']).not.toHaveProperty('buyer_id');
    const listed = await listUnmatched(shop.db, { limit: 50, all: true });
    expect(listed.find(({ id }) => id === old)).toMatchObject({ tradeNo: '2026', totalAmount: '12.30' });
    const { signed } = answerOf('unmatched_old', {});
    const repeat = { outTradeNo: 'unmatched_old', notifyId: 'unmatched_old', fields: {}, signed };
    expect(await keepUnmatched(shop.db, repeat)).toBe(false);
  });

  it('never takes what nobody has dealt with: the table itself refuses it', async () => {
    const id = await kept('unmatched_open');
    expect(await prune()).toBe(0);
    await expect(
      shop.sql(`UPDATE unmatched_notifications SET pruned_at = now() WHERE id = :id`, { id }),
    ).rejects.toMatchObject({ constraint: 'unmatched_notifications_unresolved_kept' });
    await resolve(id);
    expect(await prune()).toBe(1);
  });

  it('is done by the follow-up, where EVIDENCE_RETENTION is set', async () => {
    const id = await kept('unmatched_followed_up');
    await resolve(id);
    const wake = (deps: ActivityDependencies) =>
      inActivity(() => createPaymentsQueueActivities(deps).wakeUnrecorded());
    await wake(shop.deps);
    expect(await rowsOf(id)).toMatchObject([{ pruned_at: null }]);
    await wake({ ...shop.deps, evidenceRetentionMs: 365 * DAY_MS });
    expect(await rowsOf(id)).toMatchObject([{ pruned_at: expect.any(Date) as unknown }]);
  });
});
