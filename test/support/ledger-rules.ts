import { expect } from '@jest/globals';
import { toFen } from '../../db/money';
import type { Payment } from '../../db/payments';
import type { Shop } from './shop';

/** What must hold once an order has come to rest (docs/money.md), Alipay's side held against ours. */
export async function expectLedgerRules(shop: Shop, orderId: string, payments: Payment[]): Promise<void> {
  const alipay = new Map((await shop.alipay.control.ledger()).map((line) => [line.outTradeNo, line]));
  const [order] = await shop.sql<{ status: string }>(`SELECT status FROM orders WHERE id = :orderId`, {
    orderId,
  });
  const paid = payments.filter(({ status }) => status === 'PAID');
  expect(paid.length).toBeLessThanOrEqual(1);

  for (const { outTradeNo, status, totalAmount, reviewReason } of payments) {
    const line = alipay.get(outTradeNo);
    const taken = line?.paidFen ?? 0;
    const givenBack = line?.refundedFen ?? 0;
    // Every yuan that Alipay took ends as an order PAID, or refunded in full, or in REVIEW with a reason.
    if (taken > 0) {
      expect(['PAID', 'REFUNDED', 'REVIEW']).toContain(status);
      if (status === 'PAID') expect([taken, givenBack]).toEqual([toFen(totalAmount), 0]);
      if (status === 'REFUNDED') expect(givenBack).toBe(taken);
      if (status === 'REVIEW') expect(reviewReason).not.toBeNull();
    } else {
      expect(status).toBe('CLOSED');
    }
    // A good payment is never refunded: only one that came too late, or beside the one that paid.
    if (status === 'REFUNDED') expect(order?.status === 'CLOSED' || paid.length === 1).toBe(true);
  }
  if (payments.length > 0)
    expect(order?.status).toBe(paid.length === 1 ? 'PAID' : order?.status === 'UNPAID' ? 'UNPAID' : 'CLOSED');
  if (order?.status === 'UNPAID') expect(payments.some(({ status }) => status === 'REVIEW')).toBe(true);

  const messages = await shop.sql<{ status: string }>(
    `SELECT status FROM order_messages WHERE order_id = :orderId`,
    { orderId },
  );
  expect(messages.map(({ status }) => status)).toEqual(
    order === undefined || order.status === 'UNPAID' ? [] : [order.status],
  );
}
