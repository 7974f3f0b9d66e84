import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Hands, openShop } from '../support';
import type { Shop } from '../support';
import type { StoredPaymentStatus } from '../../workflows/messages';

// Every state of a trade at Alipay × every status of the payment here × every path on which the two meet. What is not
// listed as a change must stay as it is.

const TRADES = [
  'none',
  'WAIT_BUYER_PAY',
  'TRADE_SUCCESS',
  'TRADE_FINISHED',
  'TRADE_CLOSED',
  'TRADE_CLOSED, refunded',
] as const;
type Trade = (typeof TRADES)[number];

const STATUSES = ['UNPAID', 'PAID', 'CLOSED', 'REFUNDING', 'REFUNDED', 'REVIEW'] as const;

const PATHS = ['check', 'notification', 'sweep', 'timer', 'operator'] as const;
type Path = (typeof PATHS)[number];

type Changes = Partial<Record<Trade, StoredPaymentStatus | Partial<Record<Path, StoredPaymentStatus>>>>;

/** One status for all paths, or one for each path. */
const CHANGES: Partial<Record<StoredPaymentStatus, Changes>> = {
  UNPAID: {
    // An operator's close comes before expiry, when the open page can still become a trade.
    none: { sweep: 'CLOSED', timer: 'CLOSED' },
    WAIT_BUYER_PAY: { sweep: 'CLOSED', timer: 'CLOSED', operator: 'CLOSED' },
    TRADE_SUCCESS: 'PAID',
    TRADE_FINISHED: 'PAID',
    TRADE_CLOSED: 'CLOSED',
    'TRADE_CLOSED, refunded': 'REVIEW',
  },
  CLOSED: {
    TRADE_SUCCESS: { check: 'REFUNDING', notification: 'REFUNDING' },
    TRADE_FINISHED: { check: 'REFUNDING', notification: 'REFUNDING' },
    // A query does not say how much went back; a notification does, and then nothing is owed.
    'TRADE_CLOSED, refunded': { check: 'REVIEW' },
  },
};

/** Alipay sends no notification about a trade that does not exist. */
const happens = (trade: Trade, path: Path): boolean => !(trade === 'none' && path === 'notification');

const cases = STATUSES.flatMap((status) =>
  TRADES.flatMap((trade) =>
    PATHS.filter((path) => happens(trade, path)).map((path) => {
      const change = CHANGES[status]?.[trade];
      const expected = (typeof change === 'string' ? change : change?.[path]) ?? status;
      return { status, trade, path, expected };
    }),
  ),
);

/** The status of the order for a payment of this status. */
const ORDER_OF: Record<StoredPaymentStatus, string> = {
  UNPAID: 'UNPAID',
  PAID: 'PAID',
  CLOSED: 'CLOSED',
  REFUNDING: 'CLOSED',
  REFUNDED: 'CLOSED',
  REVIEW: 'UNPAID',
};

let shop: Shop;
let hands: Hands;
beforeAll(async () => {
  shop = await openShop(__filename, { queues: [] });
  hands = new Hands(shop);
});
afterAll(() => shop.close());

let orders = 0;

async function checkOut(): Promise<{ orderId: string; outTradeNo: string }> {
  orders += 1;
  const orderId = `order-${orders}`;
  const { outTradeNo, paymentUrl } = await shop.payments.checkout({
    orderId,
    subject: 'A pot of tea',
    totalAmount: '12.30',
  });
  await shop.alipay.control.open(paymentUrl);
  return { orderId, outTradeNo };
}

/** Brings the trade to this state at Alipay, without telling us. */
async function atAlipay(outTradeNo: string, trade: Trade): Promise<void> {
  const { control } = shop.alipay;
  if (trade === 'none') return;
  await control.notifier({ drop: 1 });
  await control.scan(outTradeNo);
  if (trade === 'TRADE_CLOSED') await shop.gateway.close(outTradeNo);
  else if (trade !== 'WAIT_BUYER_PAY') await control.pay(outTradeNo, { notify: false });
  if (trade === 'TRADE_FINISHED') await control.finish(outTradeNo, { notify: false });
  if (trade === 'TRADE_CLOSED, refunded') await control.refundByHand(outTradeNo, '12.30');
  await control.notifier({});
}

async function here(orderId: string, status: StoredPaymentStatus): Promise<void> {
  await shop.sql(`UPDATE orders SET status = :order WHERE id = :orderId`, {
    order: ORDER_OF[status],
    orderId,
  });
  await shop.sql(`UPDATE payments SET status = :status WHERE order_id = :orderId`, { status, orderId });
}

async function meet(
  path: Path,
  { orderId, outTradeNo }: { orderId: string; outTradeNo: string },
): Promise<void> {
  switch (path) {
    case 'check':
      return hands.check(outTradeNo);
    case 'notification':
      expect((await shop.alipay.control.notify(outTradeNo)).accepted).toBe(true);
      return hands.hear(outTradeNo);
    case 'sweep':
    case 'timer':
      await shop.sql(`UPDATE orders SET expires_at = now() WHERE id = :orderId`, { orderId });
      await hands.close(orderId, path);
      return hands.hear(outTradeNo);
    case 'operator':
      await hands.cancel(orderId);
      return hands.hear(outTradeNo);
  }
}

describe('a payment here and its trade at Alipay', () => {
  it.each(cases)('$status and $trade, by $path: $expected', async ({ status, trade, path, expected }) => {
    const payment = await checkOut();
    await atAlipay(payment.outTradeNo, trade);
    await here(payment.orderId, status);

    await meet(path, payment);

    const row = await shop.payments.payment(payment.outTradeNo);
    expect(row.status).toBe(expected);
    const order = await shop.payments.order(payment.orderId);
    const orderStatus = { PAID: 'PAID', CLOSED: 'CLOSED' }[expected as string] ?? ORDER_OF[status];
    // TRADE_CLOSED by itself closes only that payment; the order is closed by whatever closes orders.
    const alone =
      status === 'UNPAID' && expected === 'CLOSED' && (path === 'check' || path === 'notification');
    expect(order.status).toBe(alone ? 'UNPAID' : orderStatus);
    if (expected === 'REVIEW' && status !== 'REVIEW') expect(row.reviewReason).not.toBeNull();
  });

  it('is put up for review, and stays PAID, where Alipay says of a paid trade that it closed unpaid', async () => {
    const payment = await checkOut();
    await atAlipay(payment.outTradeNo, 'TRADE_CLOSED');
    await here(payment.orderId, 'PAID');
    await meet('notification', payment);
    const row = await shop.payments.payment(payment.outTradeNo);
    expect([row.status, row.reviewReason]).toEqual(['PAID', 'CLOSED_AFTER_PAYMENT']);
  });
});
