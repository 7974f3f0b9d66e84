import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { auditBooks } from '../../db/audit';
import type { Database } from '../../db/connect';
import { openDatabase, rows } from '../../db/connect';
import { claimUnwatched } from '../../db/due';
import { storeEvidence } from '../../db/evidence';
import type { AlipayWord, PaymentToOpen } from '../../db/ledger';
import {
  closeLeftover,
  closeOrderWithPayments,
  endRefund,
  openPayment,
  readRecorded,
  recordBilledRefund,
  recordEvidence,
  recordReview,
  registerOrder,
  requestRefund,
  requireRefund,
  resumeRefunds,
  reviewByBill,
} from '../../db/ledger';
import type { MerchantSettings } from '../../db/merchants';
import {
  correctMerchant,
  listMerchants,
  merchantId,
  registerMerchant,
  requireMerchantId,
} from '../../db/merchants';
import { findOrder, findOrderToClose } from '../../db/orders';
import { listPauses, pause, resume } from '../../db/pauses';
import { findPayment, listPayments, listReviews } from '../../db/payments';
import { recoverByHand } from '../../db/recovery';
import { findRefundsOfPayment, isUnknownForADay, listRefunds } from '../../db/refunds';
import { isWithdrawal } from '../../db/review-rules';
import { keepUnmatched, listUnmatched, resolveUnmatched } from '../../db/unmatched-notifications';
import { freshDatabase } from '../support';

// What the ledger does with its rows, on Postgres alone: no worker runs, and Alipay says what the test says.

const HOUR = 3_600_000;

const OURS: MerchantSettings = {
  name: 'default',
  appId: '2021000000000000',
  sellerId: '2088000000000000',
  gateway: 'https://alipay.example/gateway.do',
};
const MERCHANT = merchantId(OURS);
const WHO = { actor: 'li', reason: 'a bad day' };

let db: Database;
let ledger: { db: Database; refundBrakeFen: null };
beforeAll(async () => {
  db = openDatabase({ url: await freshDatabase(), maxConnections: 10 });
  ledger = { db, refundBrakeFen: null };
});
afterAll(() => db.destroy());

const sql = <Row = Record<string, unknown>>(statement: string, bindings: object = {}): Promise<Row[]> =>
  rows<Row>(db, statement, bindings);

let count = 0;
const newId = (): string => `tea${(count += 1)}`;

const register = (orderId: string) =>
  registerOrder(db, {
    ...{ orderId, subject: 'A pot of tea', totalAmount: '12.30', closeBy: 'sweep' },
    ...{ merchant: OURS, ttlMs: HOUR },
  });

const open = (orderId: string, more: Partial<PaymentToOpen> = {}) =>
  openPayment(db, {
    ...{ orderId, totalAmount: '12.30', merchant: OURS, newOutTradeNo: `${orderId}x1`, product: 'page' },
    ...{ marginMs: 1_000, plan: { firstCheckInMs: null, slowChecksMs: [] } },
    ...more,
  });

async function opened(): Promise<{ orderId: string; outTradeNo: string }> {
  const orderId = newId();
  await register(orderId);
  const { payment } = await open(orderId);
  return { orderId, outTradeNo: payment.outTradeNo };
}

/** Stores an answer of Alipay about a payment, still to be recorded. */
const answer = (outTradeNo: string, tradeStatus = 'TRADE_SUCCESS') =>
  storeEvidence(db, {
    ...{ outTradeNo, kind: 'answer', isNews: true, says: { tradeStatus } },
    signed: { bytes: Buffer.from(`${newId()} says`), signature: 's', charset: 'utf-8', keyFingerprint: 'k' },
  });

const record = (outTradeNo: string, word: AlipayWord) =>
  recordEvidence(db, outTradeNo, { read: () => word, policy: 'refund', brakeFen: null });

/** Alipay says that it was paid; `cumulative`: and that this much was refunded. */
async function paidWord(
  outTradeNo: string,
  {
    totalAmount = '12.30',
    cumulative,
    outRequestNo,
  }: { totalAmount?: string; cumulative?: string; outRequestNo?: string } = {},
) {
  await answer(outTradeNo);
  return record(outTradeNo, {
    ...{ kind: 'paid', tradeNo: `2026${outTradeNo}`, totalAmount, at: null, content: {} },
    ...(cumulative !== undefined && { refundedAmount: cumulative }),
    ...(outRequestNo !== undefined && { outRequestNo }),
  });
}

async function paid(): ReturnType<typeof opened> {
  const placed = await opened();
  await paidWord(placed.outTradeNo);
  return placed;
}

/** A payment that was paid after its order was closed: all of it must go back. */
async function late() {
  const placed = await opened();
  const asked = [{ outTradeNo: placed.outTradeNo, recheckInMs: null }];
  const closed = closeOrderWithPayments(db, {
    orderId: placed.orderId,
    asked,
    actor: 'sweep',
    reason: 'expired',
  });
  expect(await closed).toBe('closed');
  const { refunds } = await paidWord(placed.outTradeNo);
  expect(refunds).toMatchObject([{ outRequestNo: `LATE_${placed.outTradeNo}`, amount: '12.30' }]);
  return { ...placed, refund: { outTradeNo: placed.outTradeNo, outRequestNo: `LATE_${placed.outTradeNo}` } };
}

const refundsOf = async (outTradeNo: string) =>
  (await findRefundsOfPayment(db, outTradeNo)).map(({ outRequestNo, status, amount }) => [
    outRequestNo,
    status,
    amount,
  ]);

const told = (orderId: string) =>
  sql(`SELECT id, status, amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`, { orderId });

const refundOf = (orderId: string, amount: string) =>
  requestRefund(db, {
    ...{ orderId, refundId: newId(), amount, reason: 'one cup was broken', requestedBy: 'shop' },
    merchants: [MERCHANT],
  });

/** A person decides; Alipay has just said that it took `totalAmount`. */
const decide = (outTradeNo: string, to: 'PAID' | 'REFUNDING', totalAmount = '12.31') =>
  recordReview(
    db,
    { outTradeNo, to, ...WHO },
    {
      fresh: { answer: 'paid', tradeStatus: 'TRADE_SUCCESS', wasPaid: true, totalAmount, isRefunded: false },
      ...{ tradeNo: null, recheckInMs: null },
    },
  );

describe('what is not here', () => {
  const NOWHERE = { outTradeNo: 'nowhere', outRequestNo: 'R-0' };
  const decision = { outTradeNo: 'nowhere', to: 'PAID', ...WHO } as const;
  const fresh = {
    answer: 'paid',
    tradeStatus: null,
    wasPaid: true,
    totalAmount: '1.00',
    isRefunded: false,
  } as const;

  it.each<[string, string, () => Promise<unknown>]>([
    [
      'a refund that ends',
      'REFUND_UNKNOWN',
      () => endRefund(ledger, NOWHERE, { actor: 'query', to: 'DONE' }),
    ],
    ['a refund', 'REFUND_UNKNOWN', () => requireRefund(db, NOWHERE)],
    ['a payment whose refunds go on', 'PAYMENT_UNKNOWN', () => resumeRefunds(ledger, 'nowhere')],
    ['a payment that a bill names', 'PAYMENT_UNKNOWN', () => recordBilledRefund(ledger, NOWHERE, '1.00')],
    [
      'a payment that a bill contradicts',
      'PAYMENT_UNKNOWN',
      () => reviewByBill(db, 'nowhere', { date: '2026-01-01', reason: 'BILL_DIFFERS' }),
    ],
    [
      'a payment that is decided',
      'PAYMENT_UNKNOWN',
      () => recordReview(db, decision, { fresh, tradeNo: null, recheckInMs: null }),
    ],
    ['a payment that is read', 'PAYMENT_UNKNOWN', () => readRecorded(db, 'nowhere')],
    [
      'an order that is closed',
      'ORDER_UNKNOWN',
      () => closeOrderWithPayments(db, { orderId: 'nowhere', asked: [], ...WHO }),
    ],
    ['an order that is paid for', 'ORDER_UNKNOWN', () => open('nowhere')],
  ])('is said by name, and nothing is written: %s', async (_what, code, act) => {
    await expect(act()).rejects.toMatchObject({ code });
    expect(await sql(`SELECT 1 FROM payment_events WHERE out_trade_no = 'nowhere'`)).toEqual([]);
  });

  it('is nothing to close, to watch or to wait for', async () => {
    expect(await findOrderToClose(db, 'nowhere')).toBeUndefined();
    expect(await closeLeftover(db, { outTradeNo: 'nowhere', recheckInMs: null }, 'sweep')).toBe(false);
    expect(await claimUnwatched(db, 'nowhere')).toBe(0);
    expect(await isUnknownForADay(db, NOWHERE)).toBe(false);
  });
});

describe('an order', () => {
  it('that many register at once is one', async () => {
    const orderId = newId();
    const all = await Promise.all(Array.from({ length: 10 }, () => register(orderId)));
    expect(new Set(all.map(({ createdAt }) => createdAt.getTime())).size).toBe(1);
  });

  it('has the payment that was inserted by hand, which gets its merchant at the first checkout', async () => {
    const { orderId, outTradeNo } = await opened();
    await sql(`UPDATE payments SET merchant = NULL WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    await open(orderId, { outTradeNo });
    expect(await listPayments(db, { orderId })).toMatchObject([{ outTradeNo, merchant: MERCHANT }]);
  });

  it('with one slow check is asked about again and again after the same pause', async () => {
    const orderId = newId();
    await register(orderId);
    const { payment } = await open(orderId, { plan: { firstCheckInMs: null, slowChecksMs: [600_000] } });
    const [due] = await sql(
      `SELECT CAST(EXTRACT(EPOCH FROM slow_check_at - created_at) AS float8) AS seconds FROM payments WHERE out_trade_no = :no`,
      { no: payment.outTradeNo },
    );
    expect(due).toEqual({ seconds: 600 });
  });
});

describe('a pause', () => {
  it("is the first one's word: who pauses again changes nothing", async () => {
    const refunds = { what: 'refunds', merchant: MERCHANT } as const;
    const first = await pause(db, { ...refunds, ...WHO });
    expect(await pause(db, { ...refunds, actor: 'anna', reason: 'another' })).toEqual(first);
    expect(await listPauses(db)).toEqual([first]);
    expect(await sql(`SELECT actor FROM payment_events WHERE event = 'paused'`)).toEqual([{ actor: 'li' }]);
    await resume(db, { ...refunds, ...WHO });
    expect(await listPauses(db)).toEqual([]);
  });

  it.each([
    ['Refunds', { what: 'refunds', merchant: null }],
    [`Refunds of ${MERCHANT}`, { what: 'refunds', merchant: MERCHANT }],
    [MERCHANT, { what: 'merchant', merchant: MERCHANT }],
  ] as const)('that is not there cannot be ended: %s', async (what, pauses) => {
    await expect(resume(db, { ...pauses, ...WHO })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: `${what}: not paused. See: durable-alipay pause list`,
    });
  });

  it('of a merchant lets nobody check out, and is told to whoever tries', async () => {
    const orderId = newId();
    await register(orderId);
    await pause(db, { what: 'merchant', merchant: MERCHANT, ...WHO });
    await expect(open(orderId)).rejects.toMatchObject({
      code: 'MERCHANT_PAUSED',
      message: expect.stringMatching(
        /^Merchant default has been paused since .* by li: nobody can check out/,
      ) as unknown,
    });
    expect(await listPayments(db, { orderId })).toEqual([]);
    await resume(db, { what: 'merchant', merchant: MERCHANT, ...WHO });
    expect((await open(orderId)).payment).toMatchObject({ status: 'UNPAID' });
  });
});

describe('a merchant', () => {
  it('is found by its id or its name, where only one has it', async () => {
    await registerMerchant(db, OURS);
    expect(await requireMerchantId(db, MERCHANT)).toBe(MERCHANT);
    expect(await requireMerchantId(db, 'default')).toBe(MERCHANT);
    await expect(requireMerchantId(db, 'nobody')).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const books = { ...OURS, name: 'books', appId: '2021000000000001' };
    await registerMerchant(db, books);
    await registerMerchant(db, { ...books, appId: '2021000000000002' });
    await expect(requireMerchantId(db, 'books')).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message:
        'merchant: several are called books. Name one by its id: ' +
        '2021000000000001/2088000000000000, 2021000000000002/2088000000000000',
    });
  });

  it('that is corrected to what it is stays, and nothing is stamped anew', async () => {
    const before = await listMerchants(db);
    const same = { id: MERCHANT, sellerId: OURS.sellerId, ...WHO };
    expect(await correctMerchant(db, same)).toEqual({ from: MERCHANT, to: MERCHANT, orders: 0, payments: 0 });
    expect(await listMerchants(db)).toEqual(before);
    expect(await sql(`SELECT 1 FROM payment_events WHERE event = 'merchant-corrected'`)).toEqual([]);
  });
});

describe('what Alipay says', () => {
  it('and that is of no money and no end is recorded, and changes nothing', async () => {
    const { orderId, outTradeNo } = await opened();
    await answer(outTradeNo, 'WAIT_BUYER_PAY');
    expect(await record(outTradeNo, { kind: 'nothing' })).toEqual({
      ...{ moves: [], refunds: [], faults: [] },
      recorded: { status: 'UNPAID', reviewReason: null, orderId, undelivered: false },
    });
    expect(
      await sql(`SELECT 1 FROM evidence WHERE out_trade_no = :outTradeNo AND recorded_at IS NULL`, {
        outTradeNo,
      }),
    ).toEqual([]);
  });

  it('stays owed where Postgres breaks off the work, and is recorded later', async () => {
    const { orderId, outTradeNo } = await opened();
    await sql(`
      CREATE FUNCTION break_off() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'canceling statement' USING ERRCODE = '57014';
      END $$`);
    await sql(`CREATE TRIGGER break_off BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION break_off()`);
    await expect(paidWord(outTradeNo)).rejects.toMatchObject({ code: '57014' });
    await sql(`DROP TRIGGER break_off ON orders`);
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'UNPAID' });
    const word = { kind: 'paid', tradeNo: '2026', totalAmount: '12.30', at: null, content: {} } as const;
    expect(await record(outTradeNo, word)).toMatchObject({ moves: ['PAID'], faults: [] });
    expect(await told(orderId)).toEqual([{ id: `PAID-${outTradeNo}`, status: 'PAID', amount: '12.30' }]);
  });
});

describe('the refund of a late payment', () => {
  it('that no longer fits, since a part went back in the portal, is made of the rest, under another number', async () => {
    const { outTradeNo } = await late();
    const { refunds } = await paidWord(outTradeNo, { cumulative: '5.00' });
    expect(refunds).toMatchObject([
      { outRequestNo: `LATE2_${outTradeNo}`, amount: '7.30', requestedBy: 'query' },
    ]);
    expect((await refundsOf(outTradeNo)).sort()).toEqual([
      [`LATE2_${outTradeNo}`, 'REQUESTED', '7.30'],
      [`LATE_${outTradeNo}`, 'REFUSED', '12.30'],
      ['SEEN_5.00', 'DONE', '5.00'],
    ]);
    await endRefund(
      ledger,
      { outTradeNo, outRequestNo: `LATE2_${outTradeNo}` },
      { actor: 'query', to: 'DONE' },
    );
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'REFUNDED', refundedAmount: '12.30' });
  });

  it.each([
    ['REFUND_STOPPED', 'REFUND_STOPPED'],
    [undefined, 'REFUND_NOT_PROVEN'],
  ])('that ends in review (%s) calls a person for the payment, too', async (because, reviewReason) => {
    const { outTradeNo, refund } = await late();
    const end = { actor: 'query', to: 'REVIEW', ...(because !== undefined && { because }) } as const;
    expect(await endRefund(ledger, refund, end)).toMatchObject({ moved: 'REVIEW', changed: true });
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'REVIEW', reviewReason });
  });
});

describe('a refund that a shop asks for', () => {
  it('waits while all of the payment is being given back', async () => {
    const { orderId, outTradeNo } = await paid();
    const decision = { outTradeNo, to: 'REFUNDING', ...WHO } as const;
    const fresh = {
      answer: 'paid',
      tradeStatus: 'TRADE_SUCCESS',
      wasPaid: true,
      totalAmount: '12.30',
    } as const;
    await recordReview(db, decision, {
      fresh: { ...fresh, isRefunded: false },
      ...{ tradeNo: null, recheckInMs: null },
    });
    await expect(refundOf(orderId, '0.01')).rejects.toMatchObject({
      code: 'ORDER_HELD',
      message: expect.stringContaining(`its payment ${outTradeNo} is REFUNDING`) as unknown,
    });
  });

  it('is too large once all has gone back', async () => {
    const { orderId, outTradeNo } = await paid();
    const { outRequestNo } = await refundOf(orderId, '12.30');
    await endRefund(ledger, { outTradeNo, outRequestNo }, { actor: 'query', to: 'DONE' });
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'REFUNDED' });
    await expect(refundOf(orderId, '0.01')).rejects.toMatchObject({
      code: 'REFUND_TOO_LARGE',
      message: expect.stringContaining('0.00 yuan left') as unknown,
    });
  });

  it('and one of which only a larger sum was told: the bill names its part, and the rest stays a gap', async () => {
    const { orderId, outTradeNo } = await paid();
    await paidWord(outTradeNo, { cumulative: '5.00' });
    const named = { outTradeNo, outRequestNo: 'PORTAL-1' };
    expect(await recordBilledRefund(ledger, named, '2.00')).toMatchObject({
      changed: true,
      refund: { status: 'DONE', amount: '2.00', kind: 'portal' },
    });
    expect((await refundsOf(outTradeNo)).sort()).toEqual([
      ['PORTAL-1', 'DONE', '2.00'],
      ['SEEN_5.00', 'DONE', '3.00'],
    ]);
    expect(await findOrder(db, orderId)).toMatchObject({ status: 'PAID', refundedAmount: '5.00' });
    // The order service has been told of the five yuan once.
    expect((await told(orderId)).slice(1)).toMatchObject([{ status: 'PARTIALLY_REFUNDED', amount: '5.00' }]);
  });
});

describe('a refund of the shop whose sending the row has lost', () => {
  it('was sent where Alipay names it: it counts once, and is not withdrawn unasked', async () => {
    const { orderId, outTradeNo } = await paid();
    const refund = await refundOf(orderId, '3.00');
    const { outRequestNo } = refund;
    expect(refund.askedAt).toBeNull();
    await paidWord(outTradeNo, { cumulative: '3.00', outRequestNo });
    const sent = await requireRefund(db, refund);
    expect(sent).toMatchObject({ status: 'REQUESTED', askedAt: expect.any(Date) as unknown });
    expect(isWithdrawal(sent, 'REFUSED')).toBe(false);
    await endRefund(ledger, refund, { actor: 'query', to: 'DONE' });
    expect(await refundsOf(outTradeNo)).toEqual([[outRequestNo, 'DONE', '3.00']]);
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'PAID', refundedAmount: '3.00' });
  });
});

describe('a refund that Alipay names by a number of ours and of a smaller amount', () => {
  it('is not ours: the rest goes back under another number', async () => {
    const { outTradeNo, refund } = await late();
    const { outRequestNo } = refund;
    const { refunds } = await paidWord(outTradeNo, { cumulative: '1.00', outRequestNo });
    expect(refunds).toMatchObject([{ outRequestNo: `LATE2_${outTradeNo}`, amount: '11.30' }]);
  });
});

const withdrawn = { actor: 'li', to: 'REFUSED', because: 'DECIDED', decision: 'a bad day' } as const;

describe('a part that is withdrawn while all of its payment is to go back', () => {
  it('goes back with the rest', async () => {
    const { orderId, outTradeNo } = await paid();
    const part = await refundOf(orderId, '3.00');
    await decide(outTradeNo, 'REFUNDING', '12.30');
    await endRefund(ledger, part, withdrawn);
    const first = { outTradeNo, outRequestNo: `OPERATOR_${outTradeNo}` };
    const { refunds } = await endRefund(ledger, first, { actor: 'query', to: 'DONE' });
    expect(refunds).toMatchObject([
      {
        outRequestNo: `OPERATOR2_${outTradeNo}`,
        amount: '3.00',
        kind: 'operator',
        reason: 'refunded by the seller',
      },
    ]);
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'REFUNDING', refundedAmount: '9.30' });
    const [rest] = refunds;
    if (!rest) throw new Error('no refund of the rest');
    await endRefund(ledger, rest, { actor: 'query', to: 'DONE' });
    expect(await findPayment(db, outTradeNo)).toMatchObject({ status: 'REFUNDED', refundedAmount: '12.30' });
  });
});

describe('a part that is withdrawn and was all of its payment, which a person wants to go back', () => {
  it('goes back as that person wanted it, not by itself', async () => {
    const { orderId, outTradeNo } = await paid();
    const part = await refundOf(orderId, '12.30');
    await decide(outTradeNo, 'REFUNDING', '12.30');
    const { refunds } = await endRefund(ledger, part, withdrawn);
    expect(refunds).toMatchObject([
      { outRequestNo: `OPERATOR_${outTradeNo}`, amount: '12.30', kind: 'operator' },
    ]);
  });
});

describe('a refund in review that Alipay was asked for less than a minute ago', () => {
  it('may still be made, so that its payment cannot be PAID', async () => {
    const { outTradeNo } = await opened();
    await paidWord(outTradeNo, { totalAmount: '12.31' });
    await decide(outTradeNo, 'REFUNDING');
    const refund = { outTradeNo, outRequestNo: `OPERATOR_${outTradeNo}` };
    const asked = (ago: string) =>
      sql(
        `UPDATE refunds SET asked_at = clock_timestamp() - CAST(:ago AS interval) WHERE out_request_no = :outRequestNo`,
        {
          ...refund,
          ago,
        },
      );
    await asked('0 seconds');
    await endRefund(ledger, refund, { actor: 'refund', to: 'REVIEW', because: 'REFUND_NOT_PROVEN' });
    await expect(decide(outTradeNo, 'PAID')).rejects.toMatchObject({
      code: 'REVIEW_REFUSED',
      message: expect.stringContaining('wait a minute') as unknown,
    });
    await asked('61 seconds');
    expect(await decide(outTradeNo, 'PAID')).toMatchObject({ status: 'PAID' });
  });
});

describe("a person's decision", () => {
  it('to keep the money that Alipay refuses to give back: the order is PAID, and hears of no refund', async () => {
    const { orderId, outTradeNo } = await opened();
    await paidWord(outTradeNo, { totalAmount: '12.31' });
    expect(await decide(outTradeNo, 'REFUNDING')).toMatchObject({ status: 'REFUNDING' });
    const refund = { outTradeNo, outRequestNo: `OPERATOR_${outTradeNo}` };
    await endRefund(ledger, refund, { actor: 'query', to: 'REFUSED', because: 'ACQ.TRADE_HAS_FINISHED' });
    expect(await findPayment(db, outTradeNo)).toMatchObject({
      status: 'REVIEW',
      reviewReason: 'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED',
    });

    const kept = await decide(outTradeNo, 'PAID');
    expect(kept).toMatchObject({ status: 'PAID', changed: true });
    expect(await told(orderId)).toEqual([{ id: `PAID-${outTradeNo}`, status: 'PAID', amount: '12.30' }]);
    // Repeated, since the answer was lost.
    expect(await decide(outTradeNo, 'PAID')).not.toHaveProperty('changed');
    expect(
      await sql(
        `SELECT 1 FROM payment_events WHERE out_trade_no = :outTradeNo AND event = 'review-resolved'`,
        { outTradeNo },
      ),
    ).toHaveLength(2);
  });

  it('about a notification of no payment is made once: another word about it is refused', async () => {
    const signed = { bytes: Buffer.from('b'), signature: 's', charset: 'utf-8', keyFingerprint: 'k' };
    await keepUnmatched(db, { outTradeNo: 'theirs', notifyId: 'n-1', fields: {}, signed });
    const id = (await listUnmatched(db, { limit: 1, all: false })).map((kept) => kept.id).join();
    const resolved = await resolveUnmatched(db, { id, ...WHO });
    expect(resolved).toMatchObject({ resolvedBy: 'li', resolution: 'a bad day' });
    expect(await resolveUnmatched(db, { id, ...WHO })).toEqual(resolved);
    for (const other of [{ actor: 'anna' }, { reason: 'refunded in the portal' }])
      await expect(resolveUnmatched(db, { id, ...WHO, ...other })).rejects.toMatchObject({
        code: 'NOTIFICATION_RESOLVED',
        message: expect.stringContaining('was already resolved by li') as unknown,
      });
    await expect(resolveUnmatched(db, { id: '999', ...WHO })).rejects.toMatchObject({
      code: 'NOTIFICATION_UNKNOWN',
    });
    expect(await listUnmatched(db, { limit: 9, all: false })).toEqual([]);
  });

  it('to recover what came since a moment that is still to come is refused', async () => {
    const tomorrow = new Date(Date.now() + 24 * HOUR);
    await expect(recoverByHand(db, { since: tomorrow, actor: 'li', dryRun: true })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringMatching(
        /^since must be in the past: it is now .* by Postgres' clock$/,
      ) as unknown,
    });
  });
});

describe('what people look at', () => {
  it('are the payments, refunds and reviews that they name, and no others', async () => {
    const { outTradeNo: waiting } = await opened();
    const { orderId, outTradeNo } = await paid();
    const refund = await refundOf(orderId, '1.00');
    const { outTradeNo: refused, refund: key } = await late();
    await endRefund(ledger, key, { actor: 'query', to: 'REFUSED', because: 'ACQ.TRADE_HAS_FINISHED' });

    const unpaid = (await listPayments(db, { status: 'UNPAID' })).map((payment) => payment.outTradeNo);
    expect(unpaid).toContain(waiting);
    expect(unpaid).not.toContain(outTradeNo);
    expect(await listPayments(db, { status: 'UNPAID', orderId })).toEqual([]);

    expect(await listRefunds(db, { orderId })).toEqual([refund]);
    expect(await listRefunds(db, { orderId, status: 'DONE' })).toEqual([]);
    const requested = await listRefunds(db, { status: 'REQUESTED' });
    expect(requested).toContainEqual(refund);
    expect(new Set(requested.map(({ status }) => status))).toEqual(new Set(['REQUESTED']));

    const reviews = async (filter: Parameters<typeof listReviews>[2]): Promise<string[]> =>
      (await listReviews(db, 50, filter)).map((payment) => payment.outTradeNo);
    expect(await reviews({ because: 'REFUND_REFUSED' })).toEqual([refused]);
    expect(await reviews({ because: 'REFUND_REFUSED ACQ.TRADE_HAS_FINISHED', merchant: MERCHANT })).toEqual([
      refused,
    ]);
    expect(await reviews({ because: 'REFUND_REFUSED', merchant: 'another/one' })).toEqual([]);
    expect(await reviews({ because: 'REFUND_REFUSED', except: [refused] })).toEqual([]);

    // The merchant is being corrected: this row still has its former id.
    const former = `${OURS.appId}/2088000000000077`;
    await sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway, corrected_to)
       VALUES (:former, 'default', :appId, '2088000000000077', '', :MERCHANT)`,
      { former, appId: OURS.appId, MERCHANT },
    );
    const stamp = (merchant: string) =>
      sql(`UPDATE payments SET merchant = :merchant WHERE out_trade_no = :refused`, { merchant, refused });
    await stamp(former);
    expect(await reviews({ because: 'REFUND_REFUSED', merchant: MERCHANT })).toEqual([refused]);
    await stamp(MERCHANT);
    await sql(`DELETE FROM merchants WHERE id = :former`, { former });
  });

  it('adds up: after all of the above the audit finds no rule broken', async () => {
    expect((await auditBooks(db, { whole: true, settledMs: 0 })).found).toEqual([]);
    expect(await auditBooks(db)).toMatchObject({ found: [], yuan: '0.00' });
  });
});
