import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rows, transaction } from '../../db/connect';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from '../integration/story';

// What is owed is kept, however old it is, and the follow-up and the sweep still find it.

const script = readFileSync(join(__dirname, '../../deploy/sql/archive.sql'), 'utf8');

const OLD = `interval '400 days'`;

let shop: Shop;
let story: Story;

beforeAll(async () => {
  // A check during the closing of an order keeps it open, and a check before the buyer pays is the last one.
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 600_000 } });
  story = new Story(shop);
  await archive();
});
afterAll(() => shop.close());

/** Dates everything about an order 400 days back. */
async function age(...orderIds: string[]): Promise<void> {
  await shop.sql(
    `UPDATE orders SET created_at = created_at - ${OLD}, expires_at = expires_at - ${OLD}, paid_at = paid_at - ${OLD},
       closed_at = closed_at - ${OLD} WHERE id = ANY(:orderIds)`,
    { orderIds },
  );
  await shop.sql(
    `UPDATE payments SET created_at = created_at - ${OLD}, updated_at = updated_at - ${OLD} WHERE order_id = ANY(:orderIds)`,
    { orderIds },
  );
}

async function paid() {
  const checkout = await story.checkOut();
  await story.pay(checkout.outTradeNo);
  await shop.payments.checkNow(checkout.outTradeNo);
  await story.until(checkout.outTradeNo, 'PAID');
  await story.ended(checkout.outTradeNo);
  await story.told(checkout.orderId, 1);
  return checkout;
}

/** A paid order, plus a second tab whose payment is made as well. */
async function paidTwice() {
  const { orderId, outTradeNo } = await paid();
  const second = `${outTradeNo}b`;
  // A checkout is refused now, so the tab must have been opened before.
  await shop.sql(
    `INSERT INTO payments (out_trade_no, order_id, merchant, total_amount, time_expire)
     SELECT :second, order_id, merchant, total_amount, time_expire FROM payments WHERE out_trade_no = :outTradeNo`,
    { second, outTradeNo },
  );
  return { orderId, second };
}

/** Closing an order waits at most a second for its result to be told. */
const told = (orderId: string) =>
  waitFor(async () => (await story.undelivered(orderId)).length === 0, {
    what: `${orderId} to owe no result`,
  });

async function closed() {
  const { orderId, outTradeNo } = await story.checkOut();
  await shop.alipay.control.scan(outTradeNo);
  await story.expire(orderId);
  await waitFor(async () => (await story.sweep()).closed > 0, { what: 'the order to be closed' });
  // Its run would change the row after it has been aged.
  await story.ended(outTradeNo);
  await told(orderId);
  return { orderId, outTradeNo };
}

const archive = () => shop.db.raw(script);

const archived = async (): Promise<string[]> =>
  (await shop.sql<{ id: string }>(`SELECT id FROM archived_orders ORDER BY id`)).map(({ id }) => id).sort();

const column = async (table: string, key: string, id: string, name: string): Promise<unknown> =>
  (await shop.sql(`SELECT ${name} FROM ${table} WHERE ${key} = :id`, { id }))[0]?.[name];

describe('archiving', () => {
  it('takes what is old and settled with all that belongs to it, and leaves what is young', async () => {
    const [gone, young, closedOld] = [await paid(), await paid(), await closed()];
    const cancelled = 'cancelled-without-payment';
    await shop.payments.registerOrder({ orderId: cancelled, subject: 'tea', totalAmount: '12.30' });
    await shop.payments.closeOrder({ orderId: cancelled, actor: 'shop', reason: 'buyer asked' });
    await told(cancelled);
    const touched = await paid();
    await age(gone.orderId, closedOld.orderId, cancelled, touched.orderId);
    await shop.sql(`UPDATE payments SET updated_at = now() WHERE out_trade_no = :outTradeNo`, touched);
    const events = await story.events(gone.outTradeNo);

    await archive();
    await archive();
    expect(await archived()).toEqual([gone.orderId, closedOld.orderId, cancelled].sort());
    expect(await column('archived_orders', 'id', gone.orderId, 'record')).toMatchObject({
      id: gone.orderId,
      status: 'PAID',
      paid_by: gone.outTradeNo,
      payments: [{ out_trade_no: gone.outTradeNo, status: 'PAID' }],
      events: events.map(({ event }) => ({ event })),
      evidence: [{ kind: 'answer', body: expect.stringMatching(/^\\x[0-9a-f]+$/) as unknown }],
      messages: [{ id: `PAID-${gone.outTradeNo}` }],
    });
    await expect(shop.payments.order(gone.orderId)).rejects.toMatchObject({ code: 'ORDER_UNKNOWN' });
    for (const { orderId } of [young, touched]) expect(await story.standing(orderId)).toBe('PAID: PAID');
    await expect(shop.sql(`DELETE FROM payment_events`)).rejects.toThrow('append-only');

    // What Alipay says about it later is kept for a person.
    expect(await shop.alipay.control.notify(gone.outTradeNo)).toMatchObject({ body: 'success' });
    expect(
      await column('unmatched_notifications', 'out_trade_no', gone.outTradeNo, 'resolved_at'),
    ).toBeNull();
  });

  it('leaves what is owed, and every net goes on with it', async () => {
    const undelivered = await paid();
    await shop.sql(
      `UPDATE order_messages SET told_at = NULL, retry_at = now() WHERE order_id = :orderId`,
      undelivered,
    );
    const unrecorded = await paid();
    await shop.sql(
      `UPDATE evidence SET recorded_at = NULL, retry_at = now() WHERE out_trade_no = :outTradeNo`,
      unrecorded,
    );
    const flagged = await paid();
    await shop.sql(
      `UPDATE payments SET review_reason = 'AMOUNT_DIFFERS', revive_at = now() WHERE out_trade_no = :outTradeNo`,
      flagged,
    );
    const leftover = await paidTwice();
    await shop.sql(`UPDATE payments SET recheck_at = now() WHERE out_trade_no = :second`, leftover);
    const review = await paidTwice();
    await shop.sql(
      `UPDATE payments SET status = 'REVIEW', review_reason = 'LATE', revive_at = now() WHERE out_trade_no = :second`,
      review,
    );
    const recheck = await closed();
    await shop.sql(`UPDATE payments SET recheck_at = now() WHERE out_trade_no = :outTradeNo`, recheck);
    const unpaid = await new Story(shop, shop.clientWith({ intervalMs: 100 })).checkOut();
    await story.ended(unpaid.outTradeNo);
    const refunding = await paidTwice();
    await shop.sql(
      `UPDATE payments SET status = 'REFUNDING', paid_amount = total_amount, revive_at = now() WHERE out_trade_no = :second`,
      refunding,
    );
    const settled = await closed();
    const owed = [undelivered, unrecorded, flagged, leftover, review, recheck, unpaid, refunding];
    await age(settled.orderId, ...owed.map(({ orderId }) => orderId));

    const before = await archived();
    await archive();
    expect((await archived()).filter((id) => !before.includes(id))).toEqual([settled.orderId]);

    await story.followUp();
    await waitFor(
      async () => (await column('order_messages', 'order_id', undelivered.orderId, 'told_at')) !== null,
      { what: 'the result to be told' },
    );
    await waitFor(
      async () => (await column('evidence', 'out_trade_no', unrecorded.outTradeNo, 'recorded_at')) !== null,
      { what: 'the evidence to be recorded' },
    );
    await story.until(leftover.second, 'CLOSED');
    expect(await column('payments', 'out_trade_no', recheck.outTradeNo, 'recheck_at')).toBeNull();
    for (const outTradeNo of [flagged.outTradeNo, review.second, refunding.second]) {
      await waitFor(() => story.isRunning(outTradeNo), { what: `${outTradeNo} to have a run` });
    }
    await shop.payments.resolveReview(flagged.outTradeNo, {
      to: 'PAID',
      actor: 'anna',
      reason: 'it is right',
    });
    expect(await column('payments', 'out_trade_no', flagged.outTradeNo, 'review_reason')).toBeNull();
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    expect(await story.standing(unpaid.orderId)).toBe('CLOSED: CLOSED');
  });

  it.each([
    ['order', 'SELECT FROM orders WHERE id = :orderId FOR UPDATE'],
    ['payment', 'SELECT FROM payments WHERE out_trade_no = :outTradeNo FOR UPDATE'],
  ])('leaves an order whose %s changes while it is being archived', async (_what, lock) => {
    const { orderId, outTradeNo } = await paid();
    await age(orderId);
    let archiving: Promise<unknown> | undefined;
    await transaction(shop.db, async (trx) => {
      await rows(trx, lock, { orderId, outTradeNo });
      archiving = Promise.resolve(archive());
      await waitFor(async () => (await shop.sql(`SELECT FROM pg_locks WHERE NOT granted`)).length > 0, {
        what: 'the archive to wait for the lock',
        everyMs: 10,
      });
      await trx.raw(`UPDATE payments SET status = 'REFUNDING' WHERE out_trade_no = ?`, [outTradeNo]);
    });
    await archiving;
    expect(await archived()).not.toContain(orderId);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDING');
  });
});
