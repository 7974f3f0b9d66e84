import { expect } from '@jest/globals';
import { toFen } from '../../db/money';
import type { Payment } from '../../db/payments';
import { isHolding, isInReview } from '../../db/rules';
import type { Shop } from './shop';

/** What must hold once an order has come to rest (docs/money.md), Alipay's side held against ours. */
export async function expectLedgerRules(shop: Shop, orderId: string, payments: Payment[]): Promise<void> {
  const alipay = new Map((await shop.alipay.control.ledger()).map((line) => [line.outTradeNo, line]));
  const [order] = await shop.sql<{ status: string; paid_by: string | null }>(
    `SELECT status, paid_by FROM orders WHERE id = :orderId`,
    { orderId },
  );
  const paid = payments.filter(({ status }) => status === 'PAID');
  expect(paid.length).toBeLessThanOrEqual(1);

  for (const payment of payments) {
    const line = alipay.get(payment.outTradeNo);
    expectMoney(payment, line?.paidFen ?? 0, line?.refundedFen ?? 0);
    if ((line?.paidFen ?? 0) === 0) expect(['CLOSED', 'UNPAID']).toContain(payment.status);
    // A good payment is never refunded, unless a person decides it: only one that came too late, or beside the one
    // that paid. Of an order that is still open, only a person refunds.
    if (payment.status === 'REFUNDED' && !(await wasDecided(shop, payment))) {
      expect(order?.status === 'CLOSED' || order?.paid_by !== payment.outTradeNo).toBe(true);
      expect(order?.status).not.toBe('UNPAID');
    }
  }
  const isHeld = payments.some(isHolding);
  if (order?.status === 'UNPAID' && payments.length > 0) expect(isHeld).toBe(true);
  if (payments.some(({ status }) => status === 'UNPAID'))
    expect([order?.status, isHeld]).toEqual(['UNPAID', true]);
  if (paid.length === 1) expect(order).toEqual({ status: 'PAID', paid_by: paid[0]?.outTradeNo });
  if (order?.status === 'PAID') expect(payments.map(({ outTradeNo }) => outTradeNo)).toContain(order.paid_by);
  await expectTold(shop, orderId, order);
  await expectNothingOwed(shop, orderId);
}

/** The row knows the money, and no yuan that Alipay took is unaccounted for. */
function expectMoney(payment: Payment, taken: number, givenBack: number): void {
  const { status, totalAmount, acceptedAmount, reviewReason } = payment;
  const knownPaid = payment.paidAmount === null ? null : toFen(payment.paidAmount);
  const knownRefunded = toFen(payment.refundedAmount);
  if (knownPaid !== null) expect(knownRefunded).toBeLessThanOrEqual(knownPaid);
  if (taken === 0) return;
  // Every yuan that Alipay took ends as an order PAID, or refunded in full, or in REVIEW with a reason.
  expect(['PAID', 'REFUNDED', 'REVIEW']).toContain(status);
  if (status === 'REVIEW') expect(reviewReason).not.toBeNull();
  if (isInReview(payment)) return;
  expect(knownPaid).toBe(taken);
  if (status === 'PAID') {
    expect(taken).toBe(toFen(acceptedAmount ?? totalAmount));
    expect(givenBack).toBe(0);
  } else {
    expect([givenBack + toFen(payment.outsideAmount ?? '0'), knownRefunded]).toEqual([taken, givenBack]);
  }
}

async function wasDecided(shop: Shop, { outTradeNo }: Payment): Promise<boolean> {
  const decided = await shop.sql(
    `SELECT 1 FROM payment_events WHERE out_trade_no = :outTradeNo AND event = 'review-resolved'
       AND detail ->> 'to' IN ('REFUNDING', 'REFUNDED')`,
    { outTradeNo },
  );
  return decided.length > 0;
}

/** The order service hears one result, and then of each refund of the payment that it heard of. */
async function expectTold(
  shop: Shop,
  orderId: string,
  order: { status: string; paid_by: string | null } | undefined,
): Promise<void> {
  const messages = await shop.sql<{ status: string; out_trade_no: string | null }>(
    `SELECT status, out_trade_no FROM order_messages WHERE order_id = :orderId ORDER BY seq`,
    { orderId },
  );
  const [first, ...refunds] = messages;
  expect(first?.status).toBe(order === undefined || order.status === 'UNPAID' ? undefined : order.status);
  for (const { status, out_trade_no: outTradeNo } of refunds) {
    expect([status, outTradeNo]).toEqual(['REFUNDED', order?.paid_by]);
  }
}

/** What was answered `success` is recorded, and nothing of a settled payment is due. */
async function expectNothingOwed(shop: Shop, orderId: string): Promise<void> {
  const owed = await shop.sql(
    `SELECT e.id, e.kind FROM evidence e JOIN payments p USING (out_trade_no)
     WHERE p.order_id = :orderId AND e.recorded_at IS NULL`,
    { orderId },
  );
  expect(owed).toEqual([]);
  const due = await shop.sql(
    `SELECT out_trade_no, status, next_check_at, slow_check_at FROM payments
     WHERE order_id = :orderId AND status <> 'UNPAID' AND (next_check_at IS NOT NULL OR slow_check_at IS NOT NULL)`,
    { orderId },
  );
  expect(due).toEqual([]);
  const unattended = await shop.sql(
    `SELECT out_trade_no, status FROM payments
     WHERE order_id = :orderId AND revive_at IS NULL AND (status IN ('REVIEW', 'REFUNDING') OR review_reason IS NOT NULL)`,
    { orderId },
  );
  expect(unattended).toEqual([]);
}
