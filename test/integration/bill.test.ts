import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { createAlipayQueueActivities, createPaymentsQueueActivities } from '../../activities';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { AlipayGateways } from '../../activities/alipay/gateways';
import { readBacklog } from '../../db/backlog';
import { toFen } from '../../db/money';
import type { Reconciliation } from '../../workflows/messages';
import { reconcileWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { inActivity, openShop, waitFor } from '../support';
import { Story } from './story';

// Every other net has failed: only the bill corrects the books. Each test has its own day; the sandbox's bill for any
// day contains its whole ledger, so that no test waits for tomorrow.

let shop: Shop;
let story: Story;
let day = 0;
let date: string;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());
beforeEach(async () => {
  day += 1;
  date = new Date(Date.UTC(2026, 0, day)).toISOString().slice(0, 10);
  await bills({});
});

/** The bill leaves out what earlier tests have done. */
let old: string[] = [];
async function bills(faults: Parameters<Shop['alipay']['control']['bills']>[0]): Promise<void> {
  await shop.alipay.control.bills({ anyDay: true, ...faults, missing: [...old, ...(faults.missing ?? [])] });
}
async function forget(...outTradeNos: string[]): Promise<void> {
  old = [...old, ...outTradeNos];
  await bills({});
}

const reconcile = (execute = true): Promise<Reconciliation> => shop.payments.reconcile.run({ date, execute });

const kinds = ({ report }: Reconciliation) =>
  Object.fromEntries(
    Object.entries(report?.discrepancies ?? {}).map(([kind, { found, repaired, open }]) => [
      kind,
      { found, repaired, open },
    ]),
  );

/** A payment that we were not notified of, and whose run is gone. */
async function missed(amount = '12.30'): Promise<{ orderId: string; outTradeNo: string }> {
  const placed = await story.checkOut({ totalAmount: amount });
  await story.pay(placed.outTradeNo);
  await story.terminate(placed.outTradeNo).catch(() => undefined);
  return placed;
}

/** Refunds a payment in the merchant portal; the notification is lost. */
async function refundUnheard(outTradeNo: string, amount: string): Promise<void> {
  await shop.alipay.control.notifier({ drop: 1 });
  await shop.alipay.control.refundByHand(outTradeNo, amount);
  await shop.alipay.control.notifier({});
}

/** Sets when it was paid, in Beijing time. */
const paidAt = (outTradeNo: string, time: string) =>
  shop.sql(
    `UPDATE payments SET callback_time = CAST(:time AS timestamp) AT TIME ZONE 'Asia/Shanghai' WHERE out_trade_no = :outTradeNo`,
    { outTradeNo, time },
  );

/** Sets that it was paid at noon of the bill's day. */
const paidAtNoon = (outTradeNo: string) => paidAt(outTradeNo, `${date} 12:00:00`);

describe('the worst day', () => {
  it('every other net is gone, and the bill alone brings the books right, to the fen', async () => {
    const amounts = ['0.01', '0.29', '12.30', '99.99', '1000.00', '7.77', '8.88', '50.00'];
    const placed = await Promise.all(amounts.map((totalAmount) => story.checkOut({ totalAmount })));
    const [late = placed[0], alsoLate = placed[0], refunded = placed[0]] = placed;
    const lateOnes = [late, alsoLate].filter((one) => one !== undefined);
    // No worker runs when the checks are due, and no notification ever arrives.
    await shop.stopWorkers();
    for (const { outTradeNo } of placed) await story.pay(outTradeNo);
    await shop.startWorkers();
    // Two orders are closed because of an answer that there is no such trade.
    for (const { outTradeNo } of lateOnes) {
      for (const method of ['alipay.trade.query', 'alipay.trade.close'])
        await shop.alipay.control.fault({ mode: 'ACQ.TRADE_NOT_EXIST', method, outTradeNo });
    }
    await story.expire(...lateOnes.map(({ orderId }) => orderId));
    expect(await story.sweep()).toMatchObject({ closed: 2, rescued: 0 });
    await shop.alipay.control.clearFaults();
    // One is partly refunded in the portal, and we do not hear of it.
    if (refunded) await refundUnheard(refunded.outTradeNo, '2.30');

    const done = await reconcile();
    expect(done.report).toMatchObject({ bill: { payments: { count: 8, amount: '1179.24' } }, open: 0 });
    // What was late is refunded by runs of its own.
    for (const { outTradeNo } of lateOnes) await story.until(outTradeNo, 'REFUNDED');
    const ours = await Promise.all(placed.map(({ outTradeNo }) => shop.payments.payment(outTradeNo)));
    const ledger = await shop.alipay.control.ledger();
    for (const { outTradeNo, paidAmount, refundedAmount } of ours) {
      const line = ledger.find((one) => one.outTradeNo === outTradeNo);
      expect([line?.paidFen, line?.refundedFen]).toEqual([toFen(paidAmount ?? '0'), toFen(refundedAmount)]);
    }
    expect(ours.map(({ status }) => status).sort()).toEqual([
      ...Array<string>(6).fill('PAID'),
      'REFUNDED',
      'REFUNDED',
    ]);

    // Of orders that it knows to be paid, the order service is told the refund too, once.
    for (const { orderId } of placed.slice(2)) {
      const heard = orderId === refunded?.orderId ? 2 : 1;
      expect(await story.told(orderId, heard)).toHaveLength(heard);
    }

    // The bill now also contains what was refunded meanwhile; nothing else is new, and nothing is done twice.
    const again = await reconcile();
    expect(again.report).toMatchObject({
      matched: { payments: { count: 8 }, refunds: { count: 3, amount: '2.60' } },
      open: 0,
    });
    expect(await reconcile()).toEqual(again);
    await forget(...placed.map(({ outTradeNo }) => outTradeNo));
  });
});

describe('a payment that every other net has missed', () => {
  it('is confirmed by the bill: the order is PAID, and the order service told once', async () => {
    const { orderId, outTradeNo } = await missed();
    const preview = await reconcile(false);
    expect(preview).toMatchObject({ status: 'COMPARED', executed: false, report: { open: 1 } });
    expect(await story.status(outTradeNo)).toBe('UNPAID');

    const done = await reconcile();
    expect(kinds(done)).toEqual({ 'payment-unrecorded': { found: 1, repaired: 1, open: 0 } });
    expect(done.report).toMatchObject({
      bill: { payments: { count: 1, amount: '12.30' } },
      matched: { payments: { count: 1, amount: '12.30' } },
      open: 0,
    });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);

    expect(await reconcile()).toEqual(done);
    expect(await story.told(orderId, 1)).toHaveLength(1);
    await forget(outTradeNo);
  });

  it('and whose order was closed behind a lost answer is a late payment, and goes back', async () => {
    const { orderId, outTradeNo } = await missed();
    await shop.sql(`UPDATE payments SET status = 'CLOSED' WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    await shop.sql(`UPDATE orders SET status = 'CLOSED' WHERE id = :orderId`, { orderId });
    expect(kinds(await reconcile())).toEqual({ 'payment-late': { found: 1, repaired: 1, open: 0 } });
    await story.until(outTradeNo, 'REFUNDED');
    const [line] = (await shop.alipay.control.ledger()).filter((one) => one.outTradeNo === outTradeNo);
    expect(line).toMatchObject({ paidFen: 1_230, refundedFen: 1_230 });
    await forget(outTradeNo);
  });

  it('is left to a worker that has its merchant', async () => {
    const { outTradeNo } = await missed();
    await reconcile(false);
    const [ours = ''] = shop.deps.alipay.ids;
    const repair = (merchant: string, of: { appId?: string; sellerId?: string } = {}) => {
      const alipay = new AlipayGateways([new AlipayGateway({ ...shop.gateway.settings, ...of })]);
      const input = { merchant, date, kinds: ['payment-unrecorded'] } as const;
      return inActivity(() => createAlipayQueueActivities({ ...shop.deps, alipay }).repairBill(input));
    };
    const theirs = { appId: '2021000000000003', sellerId: '2088000000000003' };
    await expect(repair(ours, theirs)).rejects.toMatchObject({
      type: 'MERCHANT_UNKNOWN',
      nonRetryable: false,
    });
    const { appId } = theirs;
    await expect(repair(`${appId}/${shop.alipay.sellerId}`, { appId })).rejects.toMatchObject({
      type: 'MERCHANT_UNKNOWN',
      message: expect.stringContaining(`belongs to merchant ${ours}: left to a worker`) as unknown,
    });
    await expect(repair(ours, theirs)).rejects.toThrow(`The bill of ${date} belongs to merchant ${ours}`);
    expect(await repair(ours)).toEqual({ done: 1, failed: 0, left: false });
    await story.until(outTradeNo, 'PAID');
    await forget(outTradeNo);
  });

  it('is left by a worker with one of two applications of the seller once its own ones are done', async () => {
    const [mine, theirs] = [await missed(), await missed()];
    const [ours = ''] = shop.deps.alipay.ids;
    const other = `2021000000000004/${shop.alipay.sellerId}`;
    const stamp = (merchant: string) =>
      shop.sql(`UPDATE payments SET merchant = :merchant WHERE out_trade_no = :outTradeNo`, {
        merchant,
        outTradeNo: theirs.outTradeNo,
      });
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway)
       VALUES (:other, 'second', '2021000000000004', :sellerId, '')`,
      { other, sellerId: shop.alipay.sellerId },
    );
    await stamp(other);
    await reconcile(false);
    const activities = createAlipayQueueActivities(shop.deps);
    const input = { merchant: ours, date, kinds: ['payment-unrecorded'] } as const;
    const repair = () => inActivity(() => activities.repairBill(input));
    expect(await repair()).toEqual({ done: 1, failed: 0, left: true });
    await story.until(mine.outTradeNo, 'PAID');
    await expect(repair()).rejects.toMatchObject({ type: 'MERCHANT_UNKNOWN', category: 'BENIGN' });
    // A worker with only the second application takes it up.
    const alipay = new AlipayGateways([
      new AlipayGateway({ ...shop.gateway.settings, appId: '2021000000000004' }),
    ]);
    const second = createAlipayQueueActivities({ ...shop.deps, alipay });
    // It queries Alipay, and the sandbox does not know that application.
    await expect(inActivity(() => second.repairBill(input))).rejects.toMatchObject({
      type: 'ALIPAY_MISCONFIGURED',
    });
    await stamp(ours);
    expect(await repair()).toEqual({ done: 1, failed: 0, left: false });
    await story.until(theirs.outTradeNo, 'PAID');
    await shop.sql(`DELETE FROM merchants WHERE id = :other`, { other });
    await forget(mine.outTradeNo, theirs.outTradeNo);
  });

  it('of an order that is not here any more is kept for a person, until it is dealt with', async () => {
    const { outTradeNo } = await missed('5.00');
    await shop.sql(`DELETE FROM payments WHERE out_trade_no = :outTradeNo AND false`, { outTradeNo });
    await waitFor(async () => !(await story.isRunning(outTradeNo).catch(() => false)), {
      what: 'the run to end',
    });
    const hidden = { outTradeNo, other: '2021000000000000/2088999999999999' };
    // As if the row had never existed: it belongs to another seller now.
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway) VALUES (:other, 'other', '2021000000000000', '2088999999999999', '')
       ON CONFLICT DO NOTHING`,
      { other: hidden.other },
    );
    await shop.sql(`UPDATE payments SET merchant = :other WHERE out_trade_no = :outTradeNo`, hidden);
    expect(kinds(await reconcile())).toEqual({ 'payment-unknown': { found: 1, repaired: 0, open: 1 } });
    const [unmatched] = await shop.payments.unmatched();
    expect(unmatched).toMatchObject({ outTradeNo, totalAmount: '5.00' });
    await shop.payments.resolveUnmatched({
      id: unmatched?.id ?? '',
      actor: 'li',
      reason: 'paid back by hand',
    });
    expect(kinds(await reconcile())).toEqual({ 'payment-unknown': { found: 1, repaired: 1, open: 0 } });
    await forget(outTradeNo);
  });
});

describe('a refund in the merchant portal whose notification is lost', () => {
  /** A payment of 12.30 that is PAID, and the order service has been told. */
  async function paid(): Promise<{ orderId: string; outTradeNo: string }> {
    const placed = await missed();
    await reconcile();
    await story.until(placed.outTradeNo, 'PAID');
    await story.told(placed.orderId, 1);
    return placed;
  }

  it('in part is a row of kind portal, and the order service hears of a part', async () => {
    const { orderId, outTradeNo } = await paid();
    await refundUnheard(outTradeNo, '2.30');
    const done = await reconcile();
    expect(kinds(done)).toMatchObject({ 'refund-unrecorded': { found: 1, repaired: 1, open: 0 } });
    expect(done.report).toMatchObject({ matched: { refunds: { count: 1, amount: '2.30' } }, open: 0 });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'PAID', refundedAmount: '2.30' });
    expect(
      await shop.sql(`SELECT kind, status, amount FROM refunds WHERE out_trade_no = :outTradeNo`, {
        outTradeNo,
      }),
    ).toEqual([{ kind: 'portal', status: 'DONE', amount: '2.30' }]);
    await story.told(orderId, 2);
    expect(await reconcile()).toEqual(done);
    expect(await story.told(orderId, 2)).toHaveLength(2);
    await forget(outTradeNo);
  });

  it('of all of it is REFUNDED, to the fen', async () => {
    const { outTradeNo } = await paid();
    await refundUnheard(outTradeNo, '2.30');
    await refundUnheard(outTradeNo, '10.00');
    expect(kinds(await reconcile())).toMatchObject({
      'refund-unrecorded': { found: 2, repaired: 2, open: 0 },
    });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'REFUNDED',
      refundedAmount: '12.30',
    });
    await forget(outTradeNo);
  });

  it('of all of it, whose run cannot be told, is left to the next call', async () => {
    const { outTradeNo } = await paid();
    await refundUnheard(outTradeNo, '12.30');
    await reconcile(false);
    const temporal = new Client({ connection: Connection.lazy({ address: '127.0.0.1:9' }) });
    const repair = (deps: Shop['deps']) => {
      const [merchant = ''] = deps.alipay.ids;
      const bill = { merchant, date, kinds: ['refund-unrecorded'] } as const;
      return inActivity(() => createAlipayQueueActivities(deps).repairBill(bill));
    };
    expect(await repair({ ...shop.deps, temporal })).toEqual({ done: 0, failed: 1, left: true });
    expect(await story.status(outTradeNo)).toBe('REFUNDED');
    expect(await repair(shop.deps)).toEqual({ done: 1, failed: 0, left: false });
    expect(await repair(shop.deps)).toEqual({ done: 0, failed: 0, left: false });
    await forget(outTradeNo);
  });

  it('and of which only the sum was told gets its number, and is told once', async () => {
    const { orderId, outTradeNo } = await paid();
    await refundUnheard(outTradeNo, '2.30');
    await shop.sql(
      `INSERT INTO refunds (out_trade_no, out_request_no, order_id, amount, reason, kind, status, provisional, requested_by, done_at)
       VALUES (:outTradeNo, 'SEEN_2.30', :orderId, 2.30, 'a gap', 'portal', 'DONE', true, 'alipay',
         CAST(:noon AS timestamp) AT TIME ZONE 'Asia/Shanghai')`,
      { orderId, outTradeNo, noon: `${date} 12:00:00` },
    );
    await shop.sql(
      `UPDATE payments SET refunded_amount = 2.30, refund_seen = 2.30 WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    const found = kinds(await reconcile());
    expect(found).toMatchObject({ 'refund-unrecorded': { found: 1, repaired: 1, open: 0 } });
    expect(found).not.toHaveProperty('refund-absent');
    expect((await shop.payments.payment(outTradeNo)).reviewReason).toBeNull();
    const rows = await shop.sql<{ provisional: boolean; amount: string }>(
      `SELECT provisional, amount FROM refunds WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    expect(rows).toEqual([{ provisional: false, amount: '2.30' }]);
    expect(await story.told(orderId, 1)).toHaveLength(1);
    await forget(outTradeNo);
  });

  it('and which was given up as not found, while its sum was told, counts once and is told once', async () => {
    const { orderId, outTradeNo } = await paid();
    await refundUnheard(outTradeNo, '2.30');
    await shop.alipay.control.notify(outTradeNo, { out_biz_no: '' });
    await story.told(orderId, 2);
    const outRequestNo = (await shop.alipay.control.trade(outTradeNo))?.refunds[0]?.outRequestNo;
    await shop.sql(
      `INSERT INTO refunds (out_trade_no, out_request_no, order_id, reason, kind, status, because, requested_by)
       VALUES (:outTradeNo, :outRequestNo, :orderId, 'made in the merchant portal', 'portal', 'REFUSED', 'NOT_FOUND', 'alipay')`,
      { orderId, outTradeNo, outRequestNo },
    );
    expect(kinds(await reconcile())).toMatchObject({
      'refund-unrecorded': { found: 1, repaired: 1, open: 0 },
    });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'PAID', refundedAmount: '2.30' });
    expect(
      await shop.sql(
        `SELECT out_request_no, status, because FROM refunds WHERE out_trade_no = :outTradeNo ORDER BY status`,
        { outTradeNo },
      ),
    ).toEqual([
      { out_request_no: outRequestNo, status: 'DONE', because: null },
      { out_request_no: 'SEEN_2.30', status: 'REFUSED', because: 'EXPLAINED' },
    ]);
    expect(
      await shop.sql(`SELECT amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`, { orderId }),
    ).toEqual([{ amount: '12.30' }, { amount: '2.30' }]);
    await forget(outTradeNo);
  });

  it('and a refund that no bill has is put up for review', async () => {
    const { outTradeNo } = await paid();
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await waitFor(async () => (await shop.payments.payment(outTradeNo)).refundedAmount === '2.30', {
      what: 'the refund',
    });
    await shop.sql(
      `UPDATE refunds SET done_at = CAST(:noon AS timestamp) AT TIME ZONE 'Asia/Shanghai' WHERE out_trade_no = :outTradeNo`,
      { outTradeNo, noon: `${date} 12:00:00` },
    );
    await bills({ missing: [outTradeNo], foreign: 1 });
    expect(kinds(await reconcile())).toMatchObject({ 'refund-absent': { found: 1, open: 1 } });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'PAID',
      reviewReason: 'NOT_IN_BILL',
    });
    await forget(outTradeNo);
  });
});

describe('what is not in the tables, or not in the bill', () => {
  it('lines of other applications are counted, and not taken for ours', async () => {
    await bills({ foreign: 3 });
    const done = await reconcile();
    expect(kinds(done)).toEqual({ 'payment-unknown': { found: 3, repaired: 3, open: 0 } });
    expect(done.report).toMatchObject({
      foreign: { count: 3, amount: '3.00' },
      matched: { payments: { count: 0 } },
    });
  });

  it('a line stays open while an application of the seller is not here to be asked', async () => {
    await bills({ foreign: 1 });
    const other = '2021000000000009/2088000000000000';
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway)
       VALUES (:other, 'other-app', '2021000000000009', '2088000000000000', '')`,
      { other },
    );
    expect(kinds(await reconcile())).toEqual({ 'payment-unknown': { found: 1, repaired: 0, open: 1 } });
    await shop.sql(`DELETE FROM merchants WHERE id = :other`, { other });
    expect(kinds(await reconcile())).toEqual({ 'payment-unknown': { found: 1, repaired: 1, open: 0 } });
  });

  it('a payment that no bill has is put up for review by --execute, once, whatever is decided then', async () => {
    const { outTradeNo } = await missed();
    await reconcile();
    await story.until(outTradeNo, 'PAID');
    await paidAtNoon(outTradeNo);
    await bills({ missing: [outTradeNo], foreign: 1 });

    expect(kinds(await reconcile(false))).toMatchObject({ 'payment-absent': { open: 1 } });
    expect((await shop.payments.payment(outTradeNo)).reviewReason).toBeNull();
    expect(kinds(await reconcile())).toMatchObject({ 'payment-absent': { found: 1, open: 1 } });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({
      status: 'PAID',
      reviewReason: 'NOT_IN_BILL',
    });

    await shop.payments.resolveReview(outTradeNo, { to: 'PAID', actor: 'li', reason: 'the portal has it' });
    expect(kinds(await reconcile())).toMatchObject({ 'payment-absent': { found: 1, repaired: 1, open: 0 } });
    expect((await shop.payments.payment(outTradeNo)).reviewReason).toBeNull();
    await forget(outTradeNo);
  });

  it.each([
    ['on which nothing was sold', 10, { notReady: true }, 'NO_BILL', 2],
    ['whose bill cannot be used', 20, { foreign: 1, wrongTotals: true }, 'FAILED', 0],
  ])(
    'payments around midnight, beside a day %s, are looked for once that is known',
    async (_what, day, faults, status, absent) => {
      const [first, between, last] = [`2025-11-${day}`, `2025-11-${day + 1}`, `2025-11-${day + 2}`];
      const [before, after] = [await missed(), await missed()];
      await reconcile();
      const both = [before.outTradeNo, after.outTradeNo];
      for (const outTradeNo of both) await story.until(outTradeNo, 'PAID');
      await paidAt(before.outTradeNo, `${first} 23:30:00`);
      await paidAt(after.outTradeNo, `${last} 00:30:00`);
      const compare = (of: string) => shop.payments.reconcile.run({ date: of, execute: false });

      await bills({ foreign: 1, missing: both });
      await reconcile(false);
      await compare(first);
      await bills({ ...faults, missing: both });
      expect(await compare(between)).toMatchObject({ status });
      await bills({ foreign: 1, missing: both });
      expect((await compare(last)).report?.discrepancies['payment-absent']?.open ?? 0).toBe(absent);
      await bills({ missing: both, foreign: 1 });

      // Once that bill has arrived too, each is missing from both bills, and reported once in the end.
      const found = async (of: string) =>
        (await compare(of)).report?.discrepancies['payment-absent']?.open ?? 0;
      const ofBetween = absent === 0 ? 2 : 1;
      expect(await found(between)).toBe(ofBetween);
      expect(await found(last)).toBe(2 - ofBetween);
      // What a person has decided under one bill does not come up again under the other.
      await shop.sql(`UPDATE discrepancies SET gone_at = now() WHERE bill_date = CAST(:between AS date)`, {
        between,
      });
      expect(await found(last)).toBe(2 - ofBetween);
      expect(await found(between)).toBe(ofBetween);
      await shop.sql(`DELETE FROM discrepancies WHERE bill_date < '2026-01-01'`);
      await shop.sql(`DELETE FROM reconciliations WHERE bill_date < '2026-01-01'`);
      await forget(...both);
    },
  );

  it('a line that appears twice is reported, and counted once', async () => {
    const { outTradeNo } = await missed();
    await bills({ doubled: [outTradeNo] });
    const done = await reconcile();
    expect(kinds(done)).toMatchObject({ 'payment-doubled': { found: 1, open: 1 } });
    expect(done.report).toMatchObject({
      bill: { payments: { count: 2, amount: '24.60' } },
      matched: { payments: { count: 1, amount: '12.30' } },
    });
    await forget(outTradeNo);
  });

  it('another amount is put up for review', async () => {
    const { outTradeNo } = await missed();
    await reconcile();
    await story.until(outTradeNo, 'PAID');
    await shop.sql(
      `UPDATE payments SET paid_amount = 12.31, total_amount = 12.31 WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    expect(kinds(await reconcile())).toMatchObject({ 'payment-differs': { found: 1, open: 1 } });
    await waitFor(async () => (await shop.payments.payment(outTradeNo)).reviewReason !== null, {
      what: 'the review',
    });
    await forget(outTradeNo);
  });
});

describe('a bill', () => {
  /** The attempts that have lines. */
  const loads = async (of = date): Promise<number[]> =>
    (
      await shop.sql<{ load: number }>(
        `SELECT DISTINCT load FROM bill_lines WHERE bill_date = CAST(:of AS date) ORDER BY load`,
        { of },
      )
    ).map(({ load }) => load);

  it.each([
    ['whose address has expired', { expired: 1 }],
    ['that comes in half', { truncated: 1 }],
  ])('%s is asked for again', async (_what, faults) => {
    await bills({ foreign: 1, ...faults });
    expect(await reconcile()).toMatchObject({ status: 'COMPARED', report: { open: 0 } });
  });

  it('that is not there is asked for later', async () => {
    await bills({ notReady: true });
    expect(await reconcile()).toMatchObject({
      status: 'NO_BILL',
      because: expect.stringMatching(/^BILL_NOT_READY: /) as unknown,
      report: null,
    });
  });

  it('that does not add up is not used: nothing is done', async () => {
    const { outTradeNo } = await missed();
    await bills({ wrongTotals: true });
    expect(await reconcile()).toMatchObject({
      status: 'FAILED',
      because: expect.stringMatching(/^BILL_NOT_TIED: /) as unknown,
      report: null,
    });
    expect(await story.status(outTradeNo)).toBe('UNPAID');
    expect(
      await shop.sql(`SELECT 1 FROM discrepancies WHERE bill_date = CAST(:date AS date)`, { date }),
    ).toEqual([]);
    // It is fetched again each hour for a week: its lines would pile up.
    expect(await loads()).toEqual([]);
    // And a bill that adds up is compared as before.
    await bills({});
    expect(await reconcile()).toMatchObject({ status: 'COMPARED', report: { open: 0 } });
    await forget(outTradeNo);
  });

  it('whose process was killed leaves lines, which go once a later bill is sealed', async () => {
    const days = ['2025-12-01', '2025-12-02', '2025-12-03'];
    const leave = (billDate: string, load: number) =>
      shop.sql(
        `INSERT INTO bill_lines (seller_id, bill_date, load, line, kind, trade_no, out_trade_no, amount, received, fee, done_at)
         SELECT :sellerId, CAST(:billDate AS date), :load, line, 'other', '', '', 0, 0, 0, now() FROM generate_series(1, 3) line`,
        { sellerId: shop.alipay.sellerId, billDate, load },
      );
    const begin = (billDate: string, loads: number, sealed: number | null, hoursAgo: number) =>
      shop.sql(
        `INSERT INTO reconciliations (seller_id, bill_date, loads, load, updated_at)
         VALUES (:sellerId, CAST(:billDate AS date), :loads, :sealed, now() - :hoursAgo * interval '1 hour')`,
        { sellerId: shop.alipay.sellerId, billDate, loads, sealed, hoursAgo },
      );
    const [never = '', since = '', underWay = ''] = days;
    await begin(never, 3, null, 25);
    for (const load of [1, 3]) await leave(never, load);
    await begin(since, 4, 2, 25);
    for (const load of [1, 2, 3, 4]) await leave(since, load);
    await begin(underWay, 1, null, 1);
    await leave(underWay, 1);

    await bills({ foreign: 1 });
    expect(await reconcile()).toMatchObject({ status: 'COMPARED' });
    expect(await Promise.all(days.map(loads))).toEqual([[], [2], [1]]);
    expect(await loads()).toHaveLength(1);
    for (const table of ['bill_lines', 'reconciliations'])
      await shop.sql(`DELETE FROM ${table} WHERE bill_date < '2026-01-01'`);
  });

  it('is missed on each day, and of a seller that has left only where money moved', async () => {
    const note = (sellerId: string, daysAgo: number, status: string, moved: boolean) =>
      shop.sql(
        `INSERT INTO reconciliations (seller_id, bill_date, status, moved)
         VALUES (:sellerId, CAST(now() AT TIME ZONE 'Asia/Shanghai' AS date) - CAST(:daysAgo AS int), :status, :moved)`,
        { sellerId, daysAgo, status, moved },
      );
    const missed = async (merchants: string[]) => (await readBacklog(shop.db, merchants)).unreconciledDays;
    const before = await missed([]);
    const left = '2088000000000009';
    await note(left, 20, 'COMPARED', true);
    expect(await missed([])).toBe(before);
    expect(await missed([`2021000000000009/${left}`])).toBeGreaterThanOrEqual(before + 17);
    await note(left, 10, 'FAILED', true);
    await note(left, 9, 'NO_BILL', false);
    expect(await missed([])).toBe(before + 1);
    await shop.sql(`DELETE FROM reconciliations WHERE seller_id = :left`, { left });
  });

  it('that is started by hand ends within 6 hours, as the Schedule has it: it keeps a seller’s later bills waiting', async () => {
    await shop.stopWorkers();
    const end = reconcile(false).catch((error: unknown) => error);
    const handle = shop.temporal.workflow.getHandle(
      reconcileWorkflowId({ sellerId: shop.alipay.sellerId, date }),
    );
    const { raw } = await waitFor(() => handle.describe().catch(() => undefined), { what: 'the run' });
    await handle.terminate();
    expect(Number(raw.executionConfig?.workflowRunTimeout?.seconds)).toBe(6 * 3_600);
    expect(await end).toMatchObject({ code: 'INTERNAL' });
    await shop.startWorkers();
  });

  it.each([['2026-02-30'], ['tomorrow'], ['2999-01-01'], ['']])('of %s is refused', async (wrong) => {
    await expect(shop.payments.reconcile.run({ date: wrong, execute: false })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
    });
  });

  it('is named by its merchant’s name or id; one that nobody has is refused, and nothing is started', async () => {
    const id = `${shop.alipay.appId}/${shop.alipay.sellerId}`;
    for (const merchant of ['default', id]) {
      await expect(shop.payments.reconcile.report({ date, merchant })).rejects.toMatchObject({
        code: 'NOT_FOUND',
        message: expect.stringContaining(`reconcile preview ${date} --merchant ${merchant}`) as unknown,
      });
    }
    await bills({ foreign: 1 });
    const done = await shop.payments.reconcile.run({ date, merchant: 'default', execute: false });
    expect(done).toMatchObject({ status: 'COMPARED', sellerId: shop.alipay.sellerId });
    expect(await shop.payments.reconcile.report({ date, merchant: id })).toMatchObject({
      status: 'COMPARED',
    });

    const refused = [
      ['teahouse', 'NOT_FOUND'],
      ['2021000000000001/2088000000000001', 'NOT_FOUND'],
      ['a b', 'INVALID_INPUT'],
    ] as const;
    for (const [merchant, code] of refused) {
      const run = shop.payments.reconcile.run({ date, merchant, execute: false });
      await expect(run).rejects.toMatchObject({ code });
      await expect(shop.payments.reconcile.report({ date, merchant })).rejects.toMatchObject({ code });
      await expect(
        shop.temporal.workflow.getHandle(reconcileWorkflowId({ sellerId: merchant, date })).describe(),
      ).rejects.toBeInstanceOf(WorkflowNotFoundError);
    }
  });

  it('of a merchant that this process does not have is not asked for: another process may have it', async () => {
    const merchant = '2021000000000001/2088000000000001';
    const activities = createAlipayQueueActivities(shop.deps);
    await expect(inActivity(() => activities.fetchBill({ merchant, date }))).rejects.toMatchObject({
      type: 'MERCHANT_UNKNOWN',
      nonRetryable: false,
    });
  });

  it("has the payments that name no merchant only where the seller is the environment's own", async () => {
    const { outTradeNo } = await missed();
    await reconcile();
    await story.until(outTradeNo, 'PAID');
    await paidAtNoon(outTradeNo);
    await shop.sql(`UPDATE payments SET merchant = NULL WHERE out_trade_no = :outTradeNo`, { outTradeNo });
    const [sellerId, merchant] = ['2088000000000002', '2021000000000002/2088000000000002'];
    const noBill = { merchant, date, status: 'NO_BILL', because: '' } as const;
    await createPaymentsQueueActivities(shop.deps).noteNoBill(noBill);
    expect(
      await shop.sql(`SELECT moved FROM reconciliations WHERE seller_id = :sellerId`, { sellerId }),
    ).toEqual([{ moved: false }]);
    expect((await reconcile()).report).toMatchObject({ matched: { payments: { count: 1 } }, open: 0 });
    await forget(outTradeNo);
  });
});

describe('the Schedule', () => {
  // Which bills are due changes with the day in Beijing: shortly before its midnight, wait for the next day.
  beforeAll(async () => {
    const DAY_MS = 24 * 3_600_000;
    const untilMidnight = () => DAY_MS - ((Date.now() + 8 * 3_600_000) % DAY_MS);
    await waitFor(() => untilMidnight() > 120_000, {
      what: 'the next day in Beijing',
      timeoutMs: 150_000,
      everyMs: 500,
    });
  }, 200_000);

  const due = () =>
    shop.temporal.workflow.execute<() => Promise<string[]>>('reconcileBills', {
      workflowId: 'reconcile-bills-by-hand',
      taskQueue: 'payments',
      args: [{ repair: 'safe' }] as never,
    });

  it('reconciles yesterday once, with what is safe, and again only while something is open', async () => {
    await shop.sql(`UPDATE merchants SET registered_at = now() - interval '1 day'`);
    await bills({ foreign: 1 });
    const [workflowId, ...more] = await due();
    expect(more).toEqual([]);
    expect(workflowId).toMatch(/^reconcile-2088000000000000-\d{4}-\d\d-\d\d$/);
    expect(await shop.temporal.workflow.getHandle(workflowId ?? '').result()).toMatchObject({
      status: 'COMPARED',
      executed: true,
    });
    expect(await due()).toEqual([]);
    await shop.sql(
      `UPDATE reconciliations SET report = jsonb_set(report, '{open}', '1'), updated_at = now() - interval '21 hours'
       WHERE bill_date > now() - interval '3 days'`,
    );
    expect(await due()).toHaveLength(1);
  });

  it('asks for each bill of the last week until it is compared, one after another', async () => {
    await shop.sql(`UPDATE merchants SET registered_at = now() - interval '9 days'`);
    await bills({ notReady: true });
    const days = await due();
    expect(days.length).toBeGreaterThanOrEqual(6);
    expect(days).toEqual(days.toSorted());
    expect(await due()).toEqual(days);
    // Nothing is known about a day whose bill cannot be used: everything paid on it may be lost.
    await bills({ foreign: 1, wrongTotals: true });
    expect(await due()).toEqual(days);
    expect(await shop.sql(`SELECT DISTINCT moved FROM reconciliations WHERE status = 'FAILED'`)).toEqual([
      { moved: false },
    ]);
    await bills({ foreign: 1 });
    expect(await due()).toEqual(days);
    expect(await due()).toEqual([]);
    const runs = await Promise.all(days.map((id) => shop.temporal.workflow.getHandle(id).describe()));
    for (const [i, { startTime }] of runs.entries()) {
      expect(startTime.getTime()).toBeGreaterThanOrEqual(runs[i - 1]?.closeTime?.getTime() ?? 0);
    }
  });
});
