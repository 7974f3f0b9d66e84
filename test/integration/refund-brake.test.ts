import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createPaymentsQueueActivities } from '../../activities';
import { storeAnswer } from '../../activities/payments';
import { resumeRefunds } from '../../db/ledger';
import type { Shop } from '../support';
import { inActivity, openShop, waitFor } from '../support';
import { Story } from './story';

/** Fen per hour: eight payments of 12.30, but not nine. */
const BRAKE = 100_00;

let shop: Shop;
let story: Story;
let writes: ReturnType<typeof createPaymentsQueueActivities>;

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 0 },
    refundBrakeFen: BRAKE,
  });
  story = new Story(shop);
  writes = createPaymentsQueueActivities(shop.deps);
});
afterAll(() => shop.close());

/** Alipay has the money of a payment whose order is closed here; what it said is stored, but not recorded. */
async function late() {
  const checkout = await story.checkOut();
  const { orderId, outTradeNo } = checkout;
  await story.pay(outTradeNo);
  await shop.sql(
    `WITH o AS (UPDATE orders SET status = 'CLOSED', closed_at = now() WHERE id = :orderId)
     UPDATE payments SET status = 'CLOSED', closed_at = now() WHERE out_trade_no = :outTradeNo`,
    { orderId, outTradeNo },
  );
  await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
  return checkout;
}

const record = (outTradeNo: string) => inActivity(() => writes.recordAndTell({ outTradeNo }));

/** As its workflow does: a hundred at once find all connections busy, and retry. */
async function recordInRush(outTradeNo: string): Promise<void> {
  try {
    await record(outTradeNo);
  } catch (error) {
    if ((error as { type?: string }).type !== 'DATABASE_UNAVAILABLE') throw error;
    await recordInRush(outTradeNo);
  }
}

/** Makes every refund so far this much older. */
const minutesLater = (minutes: number) =>
  shop.sql(`UPDATE refunds SET requested_at = requested_at - :minutes * interval '1 minute'`, { minutes });

describe('late payments that come faster than REFUND_BRAKE allows', () => {
  it('100 at once: what passes it waits for a person, not a fen more goes back', async () => {
    const all: Awaited<ReturnType<typeof late>>[] = [];
    while (all.length < 100) all.push(...(await Promise.all(Array.from({ length: 10 }, late))));
    await Promise.all(all.map(({ outTradeNo }) => recordInRush(outTradeNo)));

    const payments = await Promise.all(all.map(({ outTradeNo }) => shop.payments.payment(outTradeNo)));
    const braked = payments.filter(({ status }) => status === 'REVIEW');
    expect(braked).toHaveLength(92);
    expect(new Set(braked.map(({ reviewReason }) => reviewReason))).toEqual(new Set(['REFUND_BRAKE']));
    // Money that waits for a person is not yet a refund, not even a planned one.
    expect(await shop.sql(`SELECT CAST(sum(amount) AS text) AS sum FROM refunds`)).toEqual([
      { sum: '98.40' },
    ]);
    for (const { outTradeNo } of payments.filter(({ status }) => status !== 'REVIEW'))
      await story.until(outTradeNo, 'REFUNDED');

    // The brake says so once, even if a lost answer makes it record twice.
    const [one] = braked;
    await record(one?.outTradeNo ?? '');
    expect(await story.events(one?.outTradeNo ?? '', 'review')).toMatchObject([
      { detail: { reason: 'REFUND_BRAKE' } },
    ]);
  });

  it("another merchant's full hour is not this one's", async () => {
    const another = 'another-app/another-seller';
    await shop.sql(
      `INSERT INTO merchants (id, name, app_id, seller_id, gateway)
       VALUES (:another, 'another', 'another-app', 'another-seller', 'https://elsewhere.example/gateway.do')`,
      { another },
    );
    const { outTradeNo } = await late();
    const { merchant } = await shop.payments.payment(outTradeNo);
    const giveTo = (id: string | null) =>
      shop.sql(`UPDATE payments SET merchant = :id WHERE status = 'REFUNDED'`, { id });
    await giveTo(another);
    await record(outTradeNo);
    await story.until(outTradeNo, 'REFUNDED');
    await giveTo(merchant);
  });

  it('an hour later others go back by themselves again; those that wait go on waiting', async () => {
    await minutesLater(59);
    expect(await record((await late()).outTradeNo)).toMatchObject({ status: 'REVIEW' });
    await minutesLater(2);
    const { outTradeNo } = await late();
    await record(outTradeNo);
    await story.until(outTradeNo, 'REFUNDED');
    expect(await shop.payments.reviews({ limit: 200 })).toHaveLength(93);
  });

  it('a person releases one: it goes back whatever the brake says, and takes no room from others', async () => {
    const [one] = await shop.payments.reviews();
    const { outTradeNo = '' } = one ?? {};
    await shop.payments.resolveReview(outTradeNo, { to: 'REFUNDING', actor: 'anna', reason: 'a real rush' });
    await story.until(outTradeNo, 'REFUNDED');
    expect(await shop.payments.refunds({ limit: 1 })).toMatchObject([
      { refundId: `OPERATOR_${outTradeNo}`, kind: 'operator', requestedBy: 'anna' },
    ]);
    // One was refunded automatically in this hour: seven more may be.
    for (let i = 0; i < 7; i += 1) {
      const { outTradeNo: next } = await late();
      expect(await record(next)).toMatchObject({ status: 'REFUNDING' });
    }
    expect(await record((await late()).outTradeNo)).toMatchObject({
      status: 'REVIEW',
      reviewReason: 'REFUND_BRAKE',
    });
  });

  it('one that was given back in the portal meanwhile needs nobody', async () => {
    const [one] = await shop.payments.reviews();
    const { outTradeNo = '' } = one ?? {};
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    await story.until(outTradeNo, 'REFUNDED');
  });

  it('rows that say REFUNDING and have no refund, as after a restored backup, are braked too', async () => {
    const { outTradeNo } = await late();
    await shop.sql(
      `UPDATE payments SET status = 'REFUNDING', paid_amount = total_amount WHERE out_trade_no = :outTradeNo`,
      {
        outTradeNo,
      },
    );
    expect(await resumeRefunds(shop.deps, outTradeNo)).toMatchObject({ moved: 'REVIEW', refunds: [] });
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ reviewReason: 'REFUND_BRAKE' });
  });

  it("the shop's own refunds are never braked", async () => {
    const { orderId, outTradeNo } = await story.checkOut({ totalAmount: '500.00' });
    await shop.alipay.control.pay(outTradeNo);
    await story.until(outTradeNo, 'PAID');
    await shop.payments.refund({ orderId, refundId: 'R-1', amount: '400.00' });
    await waitFor(async () => (await shop.payments.refundStatus('R-1')).status === 'DONE', {
      what: 'the refund to be done',
    });
  });

  it('0 lets nothing go back by itself, and none everything', async () => {
    await minutesLater(61);
    const { outTradeNo } = await late();
    const none = createPaymentsQueueActivities({ ...shop.deps, refundBrakeFen: 0 });
    expect(await inActivity(() => none.recordAndTell({ outTradeNo }))).toMatchObject({ status: 'REVIEW' });

    const any = createPaymentsQueueActivities({ ...shop.deps, refundBrakeFen: null });
    for (let i = 0; i < 9; i += 1) {
      const { outTradeNo: next } = await late();
      expect(await inActivity(() => any.recordAndTell({ outTradeNo: next }))).toMatchObject({
        status: 'REFUNDING',
      });
    }
  });
});
