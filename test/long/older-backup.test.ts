import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { query } from '../../dev/postgres';
import type { Shop } from '../support';
import { freshDatabase, openShop, waitFor } from '../support';
import { Story } from '../integration/story';

// Postgres is lost, and an older backup replaces it under the running application. Temporal and Alipay know what has
// happened since; the tables do not.

const WHO = { actor: 'li', reason: 'one cup was broken' };

let shop: Shop;
let story: Story;
let url: string;

beforeAll(async () => {
  url = await freshDatabase();
  shop = await openShop(__filename, { databaseUrl: url, payments: { intervalMs: 1_000 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

/** Runs on another database of the same server: nothing may be connected to the one that is copied or replaced. */
async function onServer(...statements: string[]): Promise<void> {
  const admin = new URL(url);
  admin.pathname = '/postgres';
  for (const sql of statements) await query(admin.href, sql);
}

const name = (): string => new URL(url).pathname.slice(1);
const BACKUP = `backup_${process.pid}`;
const cutOff = () =>
  `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name()}' AND backend_type = 'client backend'`;

async function backUp(): Promise<void> {
  await shop.stopWorkers();
  await onServer(cutOff(), `CREATE DATABASE ${BACKUP} TEMPLATE ${name()}`);
  await shop.startWorkers();
}

async function failOver(): Promise<void> {
  await shop.stopWorkers();
  await onServer(
    cutOff(),
    `DROP DATABASE ${name()} WITH (FORCE)`,
    `ALTER DATABASE ${BACKUP} RENAME TO ${name()}`,
  );
  await shop.startWorkers();
}

const refundedAt = async (outTradeNo: string) =>
  (await shop.alipay.control.trade(outTradeNo))?.refundedAmount;

const refund = (orderId: string) =>
  shop.payments.refund({ orderId, refundId: `back-${orderId}`, amount: '3.00', ...WHO });

const untilBack = (orderId: string) =>
  waitFor(async () => (await shop.payments.refundStatus(`back-${orderId}`)).status === 'DONE', {
    what: 'the refund to be done',
    timeoutMs: 60_000,
  });

describe('an older backup in place of Postgres', () => {
  let paidSince: { orderId: string; outTradeNo: string };
  let refundedSince: { orderId: string; outTradeNo: string };
  let bornSince: { orderId: string; outTradeNo: string };
  let stillOpen: { orderId: string; outTradeNo: string };

  beforeAll(async () => {
    paidSince = await story.checkOut();
    refundedSince = await story.paidAndTold();
    await backUp();
    await story.pay(paidSince.outTradeNo, { notify: true });
    await story.until(paidSince.outTradeNo, 'PAID');
    await refund(refundedSince.orderId);
    await untilBack(refundedSince.orderId);
    bornSince = await story.checkOut({ outTradeNo: 'numbered_by_the_shop' });
    await story.pay(bornSince.outTradeNo, { notify: true });
    await story.until(bornSince.outTradeNo, 'PAID');
    stillOpen = await story.checkOut();
    await failOver();
  }, 400_000);

  it('has open payments asked about again, and their results told', async () => {
    const { orderId, outTradeNo } = paidSince;
    expect(await story.status(outTradeNo)).toBe('UNPAID');
    // The follow-up handles a check that is two minutes overdue.
    await story.age('payments', outTradeNo, 'next_check_at', 1);
    await story.followUp();
    await story.until(outTradeNo, 'PAID', 60_000);
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('gives nothing back twice: a refund that the shop asks for again, by its number, is proven', async () => {
    const { orderId, outTradeNo } = refundedSince;
    expect(await refundedAt(outTradeNo)).toBe('3.00');
    await refund(orderId);
    await untilBack(orderId);
    expect(await refundedAt(outTradeNo)).toBe('3.00');
    expect(await shop.payments.order(orderId)).toMatchObject({ status: 'PAID', refundedAmount: '3.00' });
  });

  it('finds a payment of that time PAID when the shop checks it out again by its number', async () => {
    const { orderId, outTradeNo } = bornSince;
    await expect(shop.payments.order(orderId)).rejects.toMatchObject({ code: 'ORDER_UNKNOWN' });
    // The cashier page would say that it has been paid.
    await shop.payments.checkout({ orderId, outTradeNo, subject: 'A pot of tea', totalAmount: '12.30' });
    await story.until(outTradeNo, 'PAID', 60_000);
  });

  it('keeps money that nobody asks for by its notification, for a person, and the bill names it', async () => {
    const { outTradeNo } = stillOpen;
    await story.pay(outTradeNo, { notify: true });
    await waitFor(
      async () => (await shop.payments.unmatched()).some((one) => one.outTradeNo === outTradeNo),
      {
        what: 'its notification to be kept',
      },
    );
    await shop.alipay.control.bills({ anyDay: true });
    const { report } = await shop.payments.reconcile.run({ date: '2026-01-01', execute: true });
    expect(report?.discrepancies).toMatchObject({ 'payment-unknown': { found: 1, open: 1 } });
    expect((await shop.payments.audit.run()).found).toEqual([]);
  });
});
