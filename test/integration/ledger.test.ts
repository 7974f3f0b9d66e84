import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { closeOrderWithPayments } from '../../db/ledger';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

describe('a database that was restored to before the payment', () => {
  it('learns of it again, and the order service acts once', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    await shop.sql(
      `UPDATE payments SET status = 'UNPAID', trade_no = NULL WHERE out_trade_no = :outTradeNo`,
      { outTradeNo },
    );
    await shop.sql(`UPDATE orders SET status = 'UNPAID', paid_at = NULL WHERE id = :orderId`, { orderId });
    await shop.sql(`DELETE FROM order_messages WHERE order_id = :orderId`, { orderId });
    await story.expire(orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1 });
    await story.until(outTradeNo, 'PAID');
    await waitFor(async () => (await story.undelivered(orderId)).length === 0, {
      what: 'the order service to be told again',
    });
    await shop.temporal.workflow.getHandle(orderWorkflowId(orderId)).result();
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });
});

describe('an order and its payments are closed together or not at all', () => {
  const close = (orderId: string, ...asked: string[]) =>
    closeOrderWithPayments(shop.db, {
      orderId,
      asked: asked.map((outTradeNo) => ({ outTradeNo, recheckInMs: null })),
      actor: 'a test',
      reason: 'expired',
    });

  it('not where a payment was opened that Alipay was not asked about', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const other = await story.secondTab(orderId, `${outTradeNo}b`);
    expect(await close(orderId, outTradeNo)).toBe('changed');
    expect(await story.standing(orderId)).toBe('UNPAID: UNPAID, UNPAID');
    expect(await close(orderId, outTradeNo, other.outTradeNo)).toBe('closed');
    expect(await close(orderId, outTradeNo, other.outTradeNo)).toBe('already-closed');
  });

  it('not where the payment became PAID, REFUNDING or REVIEW meanwhile', async () => {
    const { orderId, outTradeNo } = await story.paidAndTold();
    expect(await close(orderId, outTradeNo)).toBe('paid');
    const held = await story.checkOut();
    await shop.sql(`UPDATE payments SET status = 'REVIEW' WHERE out_trade_no = :no`, { no: held.outTradeNo });
    expect(await close(held.orderId, held.outTradeNo)).toBe('held');
    expect(await close(held.orderId)).toBe('held');
  });

  it('against a checkout at the same moment: the order ends open with both, or closed with none', async () => {
    for (let i = 0; i < 10; i += 1) {
      const { orderId, outTradeNo } = await story.checkOut();
      const [closed, opened] = await Promise.allSettled([
        close(orderId, outTradeNo),
        story.secondTab(orderId, `${outTradeNo}b`),
      ]);
      const standing = await story.standing(orderId);
      if (opened.status === 'fulfilled') {
        expect(closed).toMatchObject({ value: 'changed' });
        expect(standing).toBe('UNPAID: UNPAID, UNPAID');
      } else {
        expect(opened.reason).toMatchObject({ code: 'ORDER_CLOSED' });
        expect(closed).toMatchObject({ value: 'closed' });
        expect(standing).toBe('CLOSED: CLOSED');
      }
    }
  });
});

describe('checkouts at the same moment', () => {
  it('of one order give one payment and one run', async () => {
    await shop.payments.registerOrder({ orderId: 'double-click', subject: 'tea', totalAmount: '12.30' });
    const place = () =>
      shop.payments.checkout({ orderId: 'double-click', subject: 'tea', totalAmount: '12.30' });
    const all = await Promise.all(Array.from({ length: 8 }, place));
    expect(new Set(all.map(({ outTradeNo }) => outTradeNo)).size).toBe(1);
    expect(
      new Set(all.map(({ paymentUrl }) => new URL(paymentUrl).searchParams.get('biz_content'))).size,
    ).toBe(1);
    expect(await shop.payments.payments({ orderId: 'double-click' })).toHaveLength(1);
  });

  it('of two orders with one outTradeNo: one gets it, the other is told that it is taken', async () => {
    for (let i = 0; i < 10; i += 1) {
      const outTradeNo = `shared_${i}`;
      const settled = await Promise.allSettled(
        ['x', 'y'].map((order) => story.checkOut({ orderId: `${order}-${i}`, outTradeNo })),
      );
      const refused = settled.filter((one) => one.status === 'rejected');
      expect(refused).toMatchObject([{ reason: { code: 'OUT_TRADE_NO_TAKEN', status: 409 } }]);
      const [row] = await shop.sql<{ orders: number }>(
        `SELECT CAST(count(*) AS integer) AS orders FROM payments WHERE out_trade_no = :outTradeNo`,
        { outTradeNo },
      );
      expect(row?.orders).toBe(1);
      await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).result();
    }
  });
});

describe('a merchant that is resumed after a long pause', () => {
  const WHO = { actor: 'li', reason: 'a bad day' };
  const paused = async () => {
    await shop.payments.pauses.pause({ what: 'merchant', merchant: 'default', ...WHO });
    await shop.sql(
      `INSERT INTO orders (id, subject, total_amount, expires_at, merchant, holds, held_until)
       SELECT 'backlog-' || n, 'tea', 1, now() - interval '1 hour', :merchant, 7, now() + interval '1 hour'
       FROM generate_series(1, 2500) n`,
      { merchant: `${shop.alipay.appId}/${shop.alipay.sellerId}` },
    );
  };
  const resume = () => shop.payments.pauses.resume({ what: 'merchant', merchant: 'default', ...WHO });
  const held = async () =>
    (await shop.sql(`SELECT id FROM orders WHERE id LIKE 'backlog-%' AND held_until IS NOT NULL`)).length;
  const forget = () => shop.sql(`DELETE FROM orders WHERE id LIKE 'backlog-%'`);

  /** A statement that changes more orders than this fails, as one does that takes longer than its time-out. */
  const atMost = async (orders: number) => {
    await shop.sql(`
      CREATE OR REPLACE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF (SELECT count(*) FROM changed) > ${orders} THEN RAISE EXCEPTION 'too many orders in one statement'; END IF;
        RETURN NULL;
      END $$`);
    await shop.sql(`
      CREATE OR REPLACE TRIGGER refuse_many AFTER UPDATE ON orders REFERENCING NEW TABLE AS changed
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_many()`);
  };

  it('has its orders released page by page', async () => {
    await paused();
    await atMost(1_000);
    await resume();
    expect(await held()).toBe(0);
    await forget();
  });

  it('has each released once, though a sweep holds it again at the same moment', async () => {
    await paused();
    await shop.sql(`
      CREATE FUNCTION hold_again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        NEW.held_until := now() + interval '30 seconds';
        RETURN NEW;
      END $$`);
    await shop.sql(
      `CREATE TRIGGER hold_again BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION hold_again()`,
    );
    await resume();
    await shop.sql(`DROP TRIGGER hold_again ON orders`);
    expect(await shop.sql(`SELECT DISTINCT holds FROM orders WHERE id LIKE 'backlog-%'`)).toEqual([
      { holds: 0 },
    ]);
    await forget();
  });

  it('is resumed also where no order can be released: each is asked about within the hour', async () => {
    await paused();
    await atMost(0);
    expect(await resume()).toMatchObject({ what: 'merchant', actor: 'li' });
    expect(await shop.payments.pauses.list()).toEqual([]);
    expect(await held()).toBe(2_500);
    await shop.sql(`DROP TRIGGER refuse_many ON orders`);
    await forget();
  });
});
