import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { pino } from 'pino';
import { CERTIFICATE_UNKNOWN } from '../../activities/alipay/answer';
import type { AlipayErrorKind } from '../../activities/alipay/errors';
import { AlipayError } from '../../activities/alipay/errors';
import type { QueryAnswer } from '../../activities/alipay/gateway';
import type { AlipayGateways } from '../../activities/alipay/gateways';
import { openGateway } from '../../activities/alipay/open';
import { createFetchActivities } from '../../activities/bills/fetching';
import { createRepairActivities } from '../../activities/bills/repairing';
import { createClosingActivities } from '../../activities/closing';
import { closeSafely } from '../../activities/closing/close-safely';
import { askSlowly, closeUnpaid, recheck } from '../../activities/follow-up/asking';
import type { StuckRuns } from '../../activities/follow-up/stuck-runs';
import { attend, giveRun, wake, watch } from '../../activities/follow-up/waking';
import { createQueryActivities, storeAnswer } from '../../activities/payments';
import { createReviewActivities } from '../../activities/reviews';
import { acquireSlot } from '../../db/alipay-quota';
import { pause, resume } from '../../db/pauses';
import { merchantId } from '../../db/merchants';
import type { DiscrepancyKind } from '../../workflows/messages';
import type { Shop } from '../support';
import { inActivity, openShop } from '../support';
import { Story } from './story';

// One piece of due work at a time, on a real Postgres: what happens if Alipay, or the run, is not as expected. No
// worker runs. Alipay's answers are the sandbox's unless a test provides others.

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [], payments: { slowChecksMs: [3_600_000] } });
  story = new Story(shop);
});
afterAll(() => shop.close());

const HOUR = 60;

/** The dependencies of an activity that finds this gateway instead of Alipay's. */
function facing(gateway: object, common: object = { isOpen: false }): Shop['deps'] {
  const alipay = { of: () => gateway, ofBill: () => gateway, circuit: common, ids: shop.deps.alipay.ids };
  return { ...shop.deps, alipay: alipay as unknown as AlipayGateways };
}

const FACTS = { method: 'alipay.trade.query', outTradeNo: 'P1' };
const error = (kind: AlipayErrorKind): AlipayError => new AlipayError(kind, 'said', FACTS);
const failing = (thrown: Error) => facing({ query: () => Promise.reject(thrown) });

const said = (answer: QueryAnswer['answer']) => Promise.resolve({ answer, paidAt: null });

/** Minutes until it is due, negative if it is overdue; null: never. */
async function minutesTo(
  column: 'slow_check_at' | 'recheck_at' | 'next_check_at',
  outTradeNo: string,
): Promise<number | null | undefined> {
  const [row] = await shop.sql<{ minutes: number | null }>(
    `SELECT CAST(round(EXTRACT(EPOCH FROM ${column} - now()) / 60) AS int) AS minutes
     FROM payments WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  return row?.minutes;
}

/** A payment with this in its row. */
async function paymentWith(columns: string) {
  const { outTradeNo } = await story.checkOut();
  await shop.sql(`UPDATE payments SET ${columns} WHERE out_trade_no = :outTradeNo`, { outTradeNo });
  return shop.payments.payment(outTradeNo);
}

const evidenceOf = (outTradeNo: string) =>
  shop.sql(`SELECT asked_by FROM evidence WHERE out_trade_no = :outTradeNo`, { outTradeNo });

const ASKED: AlipayErrorKind[] = ['unknown', 'refused'];
const NOT_ASKED: Array<[string, Error]> = [
  ['is down', error('down')],
  ['has no place under the quota', error('no-quota')],
  ['is misconfigured', error('misconfigured')],
  ['fails in an unexpected way', new TypeError('no')],
];

describe('a slow check', () => {
  const due = () => paymentWith(`slow_check_at = now() - interval '1 minute'`);

  it.each(ASKED)('that is asked for and %s has used up its turn', async (kind) => {
    const payment = await due();
    await expect(askSlowly(failing(error(kind)), payment)).rejects.toMatchObject({ kind });
    expect(await minutesTo('slow_check_at', payment.outTradeNo)).toBe(HOUR);
  });

  it.each(NOT_ASKED)('keeps its turn where the gateway %s', async (_what, thrown) => {
    const payment = await due();
    await expect(askSlowly(failing(thrown), payment)).rejects.toBe(thrown);
    expect(await minutesTo('slow_check_at', payment.outTradeNo)).toBe(-1);
  });

  it('that finds nothing new has its next turn', async () => {
    const payment = await due();
    expect(await askSlowly(shop.deps, payment)).toBe(true);
    expect(await minutesTo('slow_check_at', payment.outTradeNo)).toBe(HOUR);
    expect(await evidenceOf(payment.outTradeNo)).toEqual([]);
  });

  it('that finds a payment stores what Alipay said for its run', async () => {
    const payment = await due();
    await story.pay(payment.outTradeNo);
    expect(await askSlowly(shop.deps, payment)).toBe(true);
    expect(await evidenceOf(payment.outTradeNo)).toHaveLength(1);
  });
});

describe('a leftover', () => {
  const due = async (more: object = {}) => ({
    ...(await paymentWith(`recheck_at = now() - interval '1 minute'`)),
    ...{ isPaused: false, expired: false, remainingMs: 2 * 3_600_000, ...more },
  });
  const closing = (first: QueryAnswer['answer'], close = jest.fn(() => Promise.resolve('ask-again'))) => ({
    deps: facing({ query: () => said(first), close }),
    close,
  });

  it.each(ASKED)('about which the answer is %s is asked about a minute later', async (kind) => {
    const payment = await due();
    await expect(closeUnpaid(failing(error(kind)), payment)).rejects.toMatchObject({ kind });
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(1);
  });

  it.each(NOT_ASKED)('stays due where the gateway %s', async (_what, thrown) => {
    const payment = await due();
    await expect(closeUnpaid(failing(thrown), payment)).rejects.toBe(thrown);
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(-1);
  });

  it('of a paused merchant is asked about, and not closed', async () => {
    const payment = await due({ isPaused: true });
    const { deps, close } = closing('waiting');
    expect(await closeUnpaid(deps, payment)).toBe(false);
    expect(close).not.toHaveBeenCalled();
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(1);
  });

  it.each([
    ['that nobody has opened waits for its order to expire', 'not-exist', false, 2 * HOUR],
    ['that is there is tried again a minute later', 'waiting', false, 1],
    ['that is there after its order has expired is tried again an hour later', 'waiting', true, HOUR],
  ] as const)('%s', async (_what, first, expired, minutes) => {
    const payment = await due({ expired });
    expect(await closeUnpaid(closing(first).deps, payment)).toBe(false);
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(minutes);
    expect(await story.status(payment.outTradeNo)).toBe('UNPAID');
  });
});

describe('a payment that was closed here', () => {
  const due = async () => ({
    ...(await paymentWith(`status = 'CLOSED', closed_at = now(), recheck_at = now() - interval '1 minute'`)),
    isPaused: false,
  });

  it.each(ASKED)('about which the answer is %s is asked about an hour later', async (kind) => {
    const payment = await due();
    await expect(recheck(failing(error(kind)), payment)).rejects.toMatchObject({ kind });
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(HOUR);
  });

  it.each(NOT_ASKED)('stays due where the gateway %s', async (_what, thrown) => {
    const payment = await due();
    await expect(recheck(failing(thrown), payment)).rejects.toBe(thrown);
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(-1);
  });

  it.each([
    ['can still be paid is asked about 25 hours later', 'waiting', 25 * HOUR],
    ['has no trade is never asked about again', 'not-exist', null],
  ] as const)('and %s', async (_what, answer, minutes) => {
    const payment = await due();
    expect(await recheck(facing({ query: () => said(answer) }), payment)).toBe(true);
    expect(await minutesTo('recheck_at', payment.outTradeNo)).toBe(minutes);
  });

  it.each([
    ['is closed at Alipay', false, 1],
    ['of a paused merchant is not', true, 0],
  ])('and has a trade, since a page of its cancelled order is open, %s', async (_what, isPaused, closes) => {
    const payment = { ...(await due()), isPaused };
    await shop.sql(`UPDATE orders SET if_paid_later = 'refund' WHERE id = :orderId`, payment);
    const close = jest.fn(() => Promise.resolve('closed'));
    expect(await recheck(facing({ query: () => said('waiting'), close }), payment)).toBe(true);
    expect(close).toHaveBeenCalledTimes(closes);
  });
});

describe('a check', () => {
  const check = (deps: Shop['deps'], outTradeNo: string) =>
    createQueryActivities(deps).queryAlipay({ outTradeNo, check: 1, nextCheckInMs: HOUR * 60_000 });

  it.each([
    ['down', 0],
    ['no-quota', 0],
    ['misconfigured', 1],
    ['refused', 1],
  ] as const)('whose gateway is %s counts as %i', async (kind, checks) => {
    const { outTradeNo } = await story.checkOut();
    await expect(check(failing(error(kind)), outTradeNo)).rejects.toMatchObject({ kind });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ checks });
  });

  it('whose answer is by a certificate that is not here is unknown, and alerts a person', async () => {
    const { outTradeNo } = await story.checkOut();
    const log = pino({ level: 'silent' });
    const alerts = jest.spyOn(log, 'error');
    const thrown = new AlipayError('unknown', 'by another', { ...FACTS, code: CERTIFICATE_UNKNOWN });
    expect(await check({ ...failing(thrown), log }, outTradeNo)).toEqual({ answer: 'unknown' });
    expect(alerts.mock.calls).toEqual([
      [{ outTradeNo, code: CERTIFICATE_UNKNOWN, alert: true }, thrown.message],
    ]);
  });

  it('whose answer does not verify is unknown, and alerts a person with what was asked', async () => {
    const { outTradeNo } = await story.checkOut();
    const log = pino({ level: 'silent' });
    const alerts = jest.spyOn(log, 'error');
    const thrown = new AlipayError('unknown', 'bad signature', {
      ...FACTS,
      code: '10000',
      untrusted: true,
    });
    expect(await check({ ...failing(thrown), log }, outTradeNo)).toEqual({ answer: 'unknown' });
    expect(alerts.mock.calls).toEqual([
      [
        { outTradeNo, method: FACTS.method, alipayCode: '10000', code: 'ANSWER_UNTRUSTED', alert: true },
        expect.stringMatching(/bad signature.*durable-alipay doctor/),
      ],
    ]);
  });

  it('of a payment that is not here asks nothing', async () => {
    await expect(check(facing({}), 'nobody')).rejects.toMatchObject({ code: 'PAYMENT_UNKNOWN' });
  });

  it('of which the payment is not here stores nothing', async () => {
    const signed = { bytes: Buffer.from('{}'), signature: 's', charset: 'utf-8', keyFingerprint: 'k' };
    const answer = { answer: 'paid', tradeStatus: null, tradeNo: null, totalAmount: null } as const;
    const storing = storeAnswer(shop.db, 'nobody', 1, { ...answer, paidAt: null, content: {}, signed });
    await expect(storing).rejects.toMatchObject({ code: 'PAYMENT_UNKNOWN' });
    expect(await evidenceOf('nobody')).toEqual([]);
  });
});

describe('a run that is looked after', () => {
  const finding = (run: object) => ({ look: () => Promise.resolve(run) }) as unknown as StuckRuns;
  const STUCK = finding({ is: 'stuck', runId: 'r', because: 'b' });

  let starts: unknown[];
  let signals: unknown[];
  /** A Temporal that accepts everything. */
  function deps(log = shop.deps.log): Shop['deps'] {
    const temporal = {
      withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
      workflow: {
        start: (_name: string, { workflowId }: { workflowId: string }) =>
          Promise.resolve(starts.push(workflowId)),
        getHandle: () => ({ signal: (name: string) => Promise.resolve(signals.push(name)) }),
      },
    };
    return { ...shop.deps, log, temporal: temporal as unknown as Client };
  }
  beforeEach(() => {
    starts = [];
    signals = [];
  });

  it('and is stuck, where enough have been ended for now, waits for another minute', async () => {
    const payment = await paymentWith(`next_check_at = now() - interval '3 minutes'`);
    const { closeBy, expiresAt } = await shop.payments.order(payment.orderId);
    const unwatched = { ...payment, nextCheckAt: new Date(), closeBy, expiresAt };
    expect(await watch(deps(), unwatched, STUCK)).toBe(false);
    expect(await minutesTo('next_check_at', payment.outTradeNo)).toBe(-1);
    const unattended = { ...payment, isHeld: true, shown: 'REVIEW', revivals: 0 } as const;
    expect(await attend(deps(), unattended, STUCK)).toBe(false);
    expect([starts, signals]).toEqual([[], []]);
  });

  it('and shows no status is told to read the row once, not for ever', async () => {
    const payment = await paymentWith(`status = 'REVIEW', review_reason = 'r'`);
    const unattended = { ...payment, isHeld: true, shown: 'REVIEW' } as const;
    const run = finding({ is: 'running', shown: undefined });
    expect(await attend(deps(), { ...unattended, revivals: 0 }, run)).toBe(true);
    expect(await attend(deps(), { ...unattended, revivals: 1 }, run)).toBe(false);
    expect(signals).toEqual(['rowMoved']);
  });

  it('is not woken for evidence that was recorded meanwhile', async () => {
    const payment = await paymentWith(`checks = 1`);
    expect(await wake(deps(), { ...payment, eventId: '1' }, STUCK)).toBe(false);
    expect(starts).toEqual([]);
  });

  describe('for a refund', () => {
    async function refundOf() {
      const { outTradeNo, orderId } = await paymentWith(`status = 'REFUNDING', paid_amount = 12.30`);
      const refund = {
        outTradeNo,
        orderId,
        outRequestNo: `R_${outTradeNo}`,
        amount: '12.30',
        kind: 'late',
      } as const;
      await shop.sql(
        `INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, requested_by)
         VALUES (:outTradeNo, :outRequestNo, :orderId, :amount, 'r', :kind, 'REQUESTED', 'ledger')`,
        refund,
      );
      return refund;
    }

    it('is started where it is gone; from the third time on an alert tells of it', async () => {
      const refund = await refundOf();
      const log = pino({ level: 'silent' });
      const alerts = jest.spyOn(log, 'error');
      for (const started of [1, 2, 3]) {
        expect(alerts).not.toHaveBeenCalled();
        expect(await giveRun(deps(log), refund, finding({ is: 'gone' }))).toBe(true);
        expect(starts).toHaveLength(started);
      }
      const { outTradeNo, outRequestNo } = refund;
      expect(alerts.mock.calls).toEqual([
        [
          { outTradeNo, outRequestNo, attempts: 3, code: 'REFUND_STANDS_STILL', alert: true },
          expect.any(String),
        ],
      ]);
    });

    it('is left alone where it is there, and where the refund has ended', async () => {
      const refund = await refundOf();
      expect(await giveRun(deps(), refund, finding({ is: 'running', shown: undefined }))).toBe(false);
      await shop.sql(`UPDATE refunds SET status = 'REFUSED' WHERE out_request_no = :outRequestNo`, refund);
      expect(await giveRun(deps(), refund, finding({ is: 'gone' }))).toBe(false);
      expect(starts).toEqual([]);
    });
  });
});

describe('an order that is to be closed', () => {
  const cancel = (orderId: string, deps = shop.deps) =>
    inActivity(() =>
      createClosingActivities(deps).cancelOrder({ orderId, actor: 'shop', reason: 'the buyer asked' }),
    );

  it('must be here', async () => {
    await expect(cancel('nobody')).rejects.toMatchObject({ code: 'ORDER_UNKNOWN' });
  });

  it('stays open where asking about one of its payments fails; the others are asked about', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    const thrown = new TypeError('no');
    const asked: string[] = [];
    const query = (number: string) => {
      asked.push(number);
      return number === outTradeNo ? Promise.reject(thrown) : said('not-exist');
    };
    await expect(cancel(orderId, facing({ query }))).rejects.toBe(thrown);
    expect(asked.sort()).toEqual([outTradeNo, other.outTradeNo].sort());
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID, UNPAID');
  });

  it.each([
    [
      'another payment is begun',
      (orderId: string, outTradeNo: string) => story.secondTab(orderId, `${outTradeNo}b`),
    ],
    [
      'its payment comes before a person',
      (_orderId: string, outTradeNo: string) =>
        shop.sql(
          `UPDATE payments SET status = 'REVIEW', review_reason = 'r' WHERE out_trade_no = :outTradeNo`,
          {
            outTradeNo,
          },
        ),
    ],
  ])('stays open where %s while Alipay is asked, and may be tried again at once', async (_what, happens) => {
    const { orderId, outTradeNo } = await story.checkOut();
    const query = async () => {
      await happens(orderId, outTradeNo);
      return said('closed');
    };
    await expect(cancel(orderId, facing({ query }))).rejects.toMatchObject({
      code: 'ORDER_HELD',
      message: expect.stringContaining('something changed') as unknown,
    });
    expect(await shop.payments.order(orderId)).toMatchObject({ status: 'UNPAID' });
    expect(await shop.sql(`SELECT held_until FROM orders WHERE id = :orderId`, { orderId })).toEqual([
      { held_until: null },
    ]);
  });

  it('stays open while its merchant is paused', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const paused = { what: 'merchant', merchant: merchantId(shop.gateway.settings) } as const;
    await pause(shop.db, { ...paused, actor: 'anna', reason: 'r' });
    try {
      await expect(cancel(orderId, facing({ query: () => said('closed') }))).rejects.toMatchObject({
        code: 'ORDER_HELD',
        message: expect.stringContaining('its merchant is paused') as unknown,
      });
    } finally {
      await resume(shop.db, { ...paused, actor: 'anna', reason: 'r' });
    }
    expect(await story.status(outTradeNo)).toBe('UNPAID');
  });

  it.each([
    ["this process cannot reach any merchant's gateway is left to another one", true, 'down'],
    ["only this merchant's gateway cannot be reached is held", false, 'held'],
  ] as const)('and %s', async (_what, isOpen, kind) => {
    const { orderId } = await story.checkOut();
    const deps = facing(
      { query: () => Promise.reject(error('down')), circuit: { isOpen: true } },
      { isOpen },
    );
    const request = { orderId, actor: 'shop', reason: 'r', beforeExpiry: true };
    expect(await inActivity(() => closeSafely(deps, request))).toMatchObject({ kind });
  });
});

describe('where a bill and the tables disagree', () => {
  let day = 0;

  /** One such discrepancy, and its repair. */
  async function repaired(kind: DiscrepancyKind, gateway: object, columns = 'checks = 0') {
    const payment = await paymentWith(columns);
    const { outTradeNo } = payment;
    day += 1;
    const date = `2026-01-${String(day).padStart(2, '0')}`;
    const merchant = merchantId(shop.gateway.settings);
    const [, sellerId] = merchant.split('/');
    await shop.sql(
      `INSERT INTO reconciliations (seller_id, bill_date) VALUES (:sellerId, CAST(:date AS date))`,
      { sellerId, date },
    );
    await shop.sql(
      `INSERT INTO discrepancies (seller_id, bill_date, kind, out_trade_no, out_request_no, seen)
       VALUES (:sellerId, CAST(:date AS date), :kind, :outTradeNo, 'R', 1)`,
      { sellerId, date, kind, outTradeNo },
    );
    const { repairBill } = createRepairActivities(facing(gateway));
    const [ended] = await Promise.allSettled([
      inActivity(() => repairBill({ merchant, date, kinds: [kind] })),
    ]);
    const [row] = await shop.sql<{ tried: number }>(
      `SELECT tried FROM discrepancies WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    return { outTradeNo, ended, hasBeenTried: row?.tried === 1 };
  }
  const report = (done: number, failed = 0) => ({
    status: 'fulfilled',
    value: { done, failed, left: false },
  });

  it.each([
    ['is not understood', error('unknown')],
    ['is a refusal', error('refused')],
    ['is followed by our own fault', new TypeError('no')],
  ])('the remedy counts as tried where the answer %s', async (_what, thrown) => {
    const tried = await repaired('payment-unrecorded', { query: () => Promise.reject(thrown) });
    expect(tried).toMatchObject({ ended: report(0, 1), hasBeenTried: true });
  });

  it.each(['down', 'misconfigured'] as const)('it does not where the gateway is %s', async (kind) => {
    const thrown = error(kind);
    const tried = await repaired('payment-unrecorded', { query: () => Promise.reject(thrown) });
    expect(tried).toMatchObject({ ended: { status: 'rejected', reason: thrown }, hasBeenTried: false });
  });

  it('a payment that Alipay does not know of is not taken for paid', async () => {
    const tried = await repaired('payment-late', { query: () => said('not-exist') });
    expect(tried).toMatchObject({ ended: report(0), hasBeenTried: true });
    expect(await evidenceOf(tried.outTradeNo)).toEqual([]);
  });

  const PAID = `status = 'PAID', paid_amount = 12.30`;

  it('a refund that Alipay does not prove is not recorded', async () => {
    const refundQuery = () => Promise.resolve(undefined);
    const tried = await repaired('refund-unrecorded', { refundQuery }, PAID);
    expect(tried).toMatchObject({ ended: report(0), hasBeenTried: true });
    expect(await shop.payments.payment(tried.outTradeNo)).toMatchObject({ refundedAmount: '0.00' });
  });

  it('a payment that the bill has otherwise comes before a person, whatever Alipay says now', async () => {
    const tried = await repaired('payment-differs', { query: () => said('not-exist') }, PAID);
    expect(tried).toMatchObject({ ended: report(0), hasBeenTried: true });
    expect(await evidenceOf(tried.outTradeNo)).toEqual([]);
    expect(await shop.payments.payment(tried.outTradeNo)).toMatchObject({
      ...{ status: 'PAID', reviewReason: 'BILL_DIFFERS' },
    });
  });

  it.each(['payment-doubled', 'refund-doubled', 'not-understood'] as const)(
    '%s is left to a person: nothing is asked',
    async (kind) => {
      expect(await repaired(kind, {})).toMatchObject({ ended: report(0), hasBeenTried: true });
    },
  );
});

describe('the bill of a day', () => {
  const fetched = (date: string, address: 'none' | 'empty') =>
    inActivity(() => {
      const { fetchBill } = createFetchActivities(facing({ billAddress: () => Promise.resolve(address) }));
      return fetchBill({ merchant: merchantId(shop.gateway.settings), date });
    });
  const loads = (date: string) =>
    shop.sql(`SELECT load FROM reconciliations WHERE bill_date = CAST(:date AS date)`, { date });

  it('on which nothing moved counts as fetched, without a line', async () => {
    expect(await fetched('2025-06-01', 'empty')).toBe(true);
    expect(await loads('2025-06-01')).toEqual([{ load: 1 }]);
  });

  it('that is not there yet does not', async () => {
    expect(await fetched('2025-06-02', 'none')).toBe(false);
    expect(await loads('2025-06-02')).toEqual([]);
  });
});

describe('a review that a person ends as CLOSED', () => {
  it('goes on where Alipay does not close the trade', async () => {
    const { outTradeNo } = await paymentWith(`status = 'REVIEW', review_reason = 'r'`);
    const waiting = { tradeStatus: 'WAIT_BUYER_PAY', tradeNo: 'T', totalAmount: '12.30' };
    const close = jest.fn(() => Promise.resolve('ask-again'));
    const deps = facing({ query: async () => ({ ...(await said('waiting')), ...waiting }), close });
    const decision = { outTradeNo, to: 'CLOSED', actor: 'anna', reason: 'r' } as const;
    await expect(createReviewActivities(deps).resolveReview(decision)).rejects.toMatchObject({
      code: 'REVIEW_REFUSED',
      message: expect.stringContaining('Alipay has not closed its trade') as unknown,
    });
    expect(close).toHaveBeenCalledTimes(1);
    expect(await story.status(outTradeNo)).toBe('REVIEW');
  });
});

describe('ALIPAY_MAX_RPS', () => {
  it('holds for all processes of an application together', async () => {
    // One call in a hundred seconds: a busy machine must not let the second one pass.
    const settings = { ...shop.gateway.settings, maxRps: 0.01 };
    const [one, another] = [openGateway(shop.db, settings), openGateway(shop.db, settings)];
    expect(await one.query('T')).toMatchObject({ answer: 'not-exist' });
    await expect(another.query('T', { maxWaitMs: 0 })).rejects.toMatchObject({ kind: 'no-quota' });
    // And does not apply to a gateway without it.
    expect(await openGateway(shop.db, shop.gateway.settings).query('T')).toMatchObject({
      answer: 'not-exist',
    });
  });

  const slot = { appId: 'clock', perSecond: 0.01, maxWaitMs: 1_000 };
  const nextIn = (time: string) =>
    shop.sql(`UPDATE alipay_quota SET next_at = now() + CAST(:time AS interval) WHERE app_id = 'clock'`, {
      time,
    });

  it('stops no call where the clock of Postgres has gone back', async () => {
    expect(await acquireSlot(shop.db, slot)).toBe(0);
    await nextIn('8 hours');
    expect(await acquireSlot(shop.db, slot)).toBe(0);
    // The spacing is as before.
    expect(await acquireSlot(shop.db, slot)).toBeUndefined();
  });

  it('is kept by an impatient call where patient ones have taken the next minute', async () => {
    await nextIn('2 minutes');
    expect(await acquireSlot(shop.db, slot)).toBeUndefined();
  });
});
