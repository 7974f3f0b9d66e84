import { expect } from '@jest/globals';
import { auditBooks } from '../../db/audit';
import { toFen } from '../../db/money';
import type { Payment } from '../../db/payments';
import { isHolding } from '../../db/rules';
import { isInReview } from '../../workflows/messages';
import type { Shop } from './shop';

/** What must hold once an order has come to rest (docs/money.md): compares Alipay's side with ours. */
export async function expectLedgerRules(shop: Shop, orderId: string, payments: Payment[]): Promise<void> {
  const alipay = new Map((await shop.alipay.control.ledger()).map((line) => [line.outTradeNo, line]));
  const [order] = await shop.sql<{ status: string; paid_by: string | null; price: string }>(
    `SELECT status, paid_by, total_amount AS price FROM orders WHERE id = :orderId`,
    { orderId },
  );
  const paid = payments.filter(({ status }) => status === 'PAID');
  expect(paid.length).toBeLessThanOrEqual(1);

  for (const payment of payments) {
    const line = alipay.get(payment.outTradeNo);
    expectMoney(payment, line?.paidFen ?? 0, line?.refundedFen ?? 0);
    if ((line?.paidFen ?? 0) === 0) expect(['CLOSED', 'UNPAID']).toContain(payment.status);
    await expectRefunds(shop, payment);
    // A good payment is refunded only if someone asks for it; automatically only if it came too late, or beside the one
    // that paid.
    const automatic = await refundsOf(shop, payment, ['late', 'duplicate']);
    if (automatic.length > 0) {
      expect(order?.status === 'CLOSED' || order?.paid_by !== payment.outTradeNo).toBe(true);
      if (payment.supersededAt === null) expect(order?.status).not.toBe('UNPAID');
    }
  }
  const isHeld = payments.some(isHolding);
  if (order?.status === 'UNPAID' && payments.length > 0) expect(isHeld).toBe(true);
  if (payments.some(({ status }) => status === 'UNPAID'))
    expect([order?.status, isHeld]).toEqual(['UNPAID', true]);
  if (paid.length === 1) expect(order).toMatchObject({ status: 'PAID', paid_by: paid[0]?.outTradeNo });
  if (order?.status === 'PAID') {
    // Never at a superseded price.
    const payer = payments.find(({ outTradeNo }) => outTradeNo === order.paid_by);
    expect(payer).toMatchObject({ totalAmount: order.price, supersededAt: null });
  }
  await expectTold(shop, orderId, order, payments);
  await expectNothingOwed(shop, orderId);
  const { found } = await auditBooks(shop.db, { whole: true, settledMs: 0 });
  expect(found.filter((violation) => violation.orderId === orderId)).toEqual([]);
}

/** The row knows the money, and every yuan that Alipay took is accounted for. */
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
    expect(knownRefunded).toBe(givenBack);
    expect(givenBack).toBeLessThan(taken);
  } else {
    expect([givenBack + toFen(payment.outsideAmount ?? '0'), knownRefunded]).toEqual([taken, givenBack]);
  }
}

interface RefundRow {
  no: string;
  amount: string | null;
  kind: string;
  status: string;
  provisional: boolean;
}

const refundsOf = (shop: Shop, { outTradeNo }: Payment, kinds: readonly string[]): Promise<RefundRow[]> =>
  shop.sql(
    `SELECT out_request_no AS no, amount, kind, status, provisional FROM refunds
     WHERE out_trade_no = :outTradeNo AND kind = ANY(:kinds)`,
    { outTradeNo, kinds },
  );

/** Each refund that Alipay made is DONE here with its amount, and what is DONE here was made: none twice. */
async function expectRefunds(shop: Shop, payment: Payment): Promise<void> {
  const rows = await refundsOf(shop, payment, ['shop', 'operator', 'late', 'duplicate', 'portal']);
  const made = (await shop.alipay.control.trade(payment.outTradeNo))?.refunds ?? [];
  const known = rows.filter(({ status, provisional }) => status === 'DONE' && !provisional);
  for (const { no, amount } of known) {
    expect(made.filter(({ outRequestNo }) => outRequestNo === no)).toMatchObject([{ amount }]);
  }
  for (const { no } of rows.filter(({ status }) => status === 'REFUSED')) {
    expect(made.map(({ outRequestNo }) => outRequestNo)).not.toContain(no);
  }
  const done = rows.filter(({ status }) => status === 'DONE');
  expect(done.reduce((sum, { amount }) => sum + toFen(amount ?? '0'), 0)).toBe(toFen(payment.refundedAmount));
  // At rest nothing is under way, except what waits for a person.
  expect(rows.filter(({ status }) => status === 'REQUESTED')).toEqual([]);
}

/** The order service is told one result, then each refund of the payment it was told of, once, in growing sums. */
async function expectTold(
  shop: Shop,
  orderId: string,
  order: { status: string; paid_by: string | null } | undefined,
  payments: readonly Payment[],
): Promise<void> {
  const messages = await shop.sql<{ status: string; out_trade_no: string | null; amount: string }>(
    `SELECT status, out_trade_no, amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`,
    { orderId },
  );
  const [first, ...refunds] = messages;
  expect(first?.status).toBe(order === undefined || order.status === 'UNPAID' ? undefined : order.status);
  for (const { out_trade_no: outTradeNo } of refunds) expect(outTradeNo).toBe(order?.paid_by);
  const sums = refunds.map(({ amount }) => toFen(amount));
  expect(sums).toEqual([...new Set(sums)].sort((a, b) => a - b));
  const statuses = refunds.map(({ status }) => status);
  expect(statuses.slice(0, -1).filter((status) => status !== 'PARTIALLY_REFUNDED')).toEqual([]);
  const paid = payments.find(({ outTradeNo }) => outTradeNo === order?.paid_by);
  if (paid === undefined) return;
  const back = toFen(paid.refundedAmount) + toFen(paid.outsideAmount ?? '0');
  expect(sums.at(-1) ?? 0).toBe(back);
  if (back > 0) {
    const isAll = back >= toFen(paid.paidAmount ?? paid.totalAmount);
    expect(statuses.at(-1)).toBe(isAll ? 'REFUNDED' : 'PARTIALLY_REFUNDED');
  }
}

/** What was acknowledged with `success` is recorded, and nothing of a settled payment is due. */
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
