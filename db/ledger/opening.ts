import type { CloseBy, Product } from '../../workflows/messages';
import { PaymentError } from '../../workflows/errors';
import type { Database } from '../connect';
import { transaction } from '../connect';
import type { CheckPlan } from '../due';
import { planChecks } from '../due';
import type { MerchantSettings } from '../merchants';
import { isOf, merchantId, registerMerchant } from '../merchants';
import { toFen } from '../money';
import type { ClockedOrder } from '../orders';
import { findOrder, insertOrder, lockOrder } from '../orders';
import { appendEvent } from '../payment-events';
import type { Payment } from '../payments';
import { findPayment, findPaymentsOfOrder, insertPayment } from '../payments';
import { isHolding } from '../rules';
import { heldOrder, otherMerchant, unknownOrder, unknownPayment } from './errors';

export interface OrderToRegister {
  orderId: string;
  subject: string;
  totalAmount: string;
  closeBy: CloseBy;
  /** Who gets the money. */
  merchant: MerchantSettings;
  ttlMs: number;
}

/**
 * Registers an order and its merchant, or finds the order registered: the first registration wins.
 *
 * @throws PaymentError MERCHANT_DIFFERS, AMOUNT_DIFFERS where it is registered with another merchant or amount
 */
export async function registerOrder(db: Database, input: OrderToRegister): Promise<ClockedOrder> {
  const { orderId } = input;
  const order =
    (await findOrder(db, orderId)) ?? (await insertNew(db, input)) ?? (await findOrder(db, orderId));
  if (!order) throw unknownOrder(orderId);
  assertSameMerchant(order, merchantId(input.merchant));
  if (toFen(order.totalAmount) !== toFen(input.totalAmount)) {
    throw new PaymentError(
      'AMOUNT_DIFFERS',
      `Order ${orderId} is registered with ${order.totalAmount} yuan, not ${input.totalAmount}. ` +
        'Use the registered amount, or a new orderId.',
    );
  }
  return order;
}

async function insertNew(
  db: Database,
  { orderId, ...order }: OrderToRegister,
): Promise<ClockedOrder | undefined> {
  const merchant = await registerMerchant(db, order.merchant);
  return insertOrder(db, { ...order, id: orderId, merchant });
}

export interface PaymentToOpen {
  orderId: string;
  /** Who gets the money. */
  merchant: MerchantSettings;
  /** Given by the caller; without it the order's newest UNPAID payment of this product and merchant is opened again. */
  outTradeNo?: string;
  /** The number for a payment that has to be made anew. */
  newOutTradeNo: string;
  product: Product;
  /** `CLOSE_MARGIN` in milliseconds. */
  marginMs: number;
  plan: CheckPlan;
}

/**
 * Opens the payment that a checkout leads to.
 *
 * @throws PaymentError ORDER_UNKNOWN, ORDER_PAID, ORDER_CLOSED, ORDER_EXPIRED, ORDER_HELD, MERCHANT_DIFFERS,
 *   OUT_TRADE_NO_TAKEN, PAYMENT_SETTLED
 */
export async function openPayment(
  db: Database,
  input: PaymentToOpen,
): Promise<{ order: ClockedOrder; payment: Payment }> {
  return transaction(db, async (trx) => {
    const order = await lockOrder(trx, input.orderId);
    if (!order) throw unknownOrder(input.orderId);
    assertSameMerchant(order, merchantId(input.merchant));
    assertPayable(order, input.marginMs);
    const payments = await findPaymentsOfOrder(trx, order.id);
    assertNotHeld(order.id, payments);

    const outTradeNo = await chooseOutTradeNo(trx, input, payments);
    if (!(await findPayment(trx, outTradeNo))) {
      const merchant = await registerMerchant(trx, input.merchant);
      await insertPayment(trx, { ...input, outTradeNo, merchant });
    }
    const payment = await findPayment(trx, outTradeNo);
    if (!payment) throw unknownPayment(outTradeNo);
    // Its own order was not locked here: another checkout may have taken the number in this moment.
    if (payment.orderId !== order.id) throw takenOutTradeNo(outTradeNo);
    await appendEvent(trx, { outTradeNo, actor: 'checkout', event: 'checked-out' });
    await planChecks(trx, outTradeNo, input.plan);
    return { order, payment };
  });
}

async function chooseOutTradeNo(trx: Database, input: PaymentToOpen, payments: Payment[]): Promise<string> {
  const ours = merchantId(input.merchant);
  if (input.outTradeNo === undefined) {
    const open = payments.filter(
      ({ status, product, merchant }) =>
        status === 'UNPAID' && product === input.product && isOf(merchant, [ours]),
    );
    return open.at(-1)?.outTradeNo ?? input.newOutTradeNo;
  }
  const known = await findPayment(trx, input.outTradeNo);
  if (known && known.orderId !== input.orderId) throw takenOutTradeNo(input.outTradeNo);
  if (known && !isOf(known.merchant, [ours])) {
    throw otherMerchant(`Payment ${input.outTradeNo}`, known.merchant, ours);
  }
  if (known && known.status !== 'UNPAID') {
    throw new PaymentError(
      'PAYMENT_SETTLED',
      `Payment ${input.outTradeNo} is ${known.status}. Use a new outTradeNo, or leave it out.`,
    );
  }
  return input.outTradeNo;
}

const takenOutTradeNo = (outTradeNo: string): PaymentError =>
  new PaymentError(
    'OUT_TRADE_NO_TAKEN',
    `outTradeNo ${outTradeNo} pays another order. Use a new outTradeNo, or leave it out.`,
  );

function assertSameMerchant({ id, merchant }: ClockedOrder, ours: string): void {
  if (!isOf(merchant, [ours])) throw otherMerchant(`Order ${id}`, merchant, ours);
}

function assertPayable(order: ClockedOrder, marginMs: number): void {
  if (order.status === 'PAID') {
    throw new PaymentError('ORDER_PAID', `Order ${order.id} is paid. There is nothing left to pay.`);
  }
  if (order.status === 'CLOSED') {
    throw new PaymentError('ORDER_CLOSED', `Order ${order.id} is closed. Place a new order.`);
  }
  if (order.remainingMs < 2 * marginMs) {
    throw new PaymentError(
      'ORDER_EXPIRED',
      `Order ${order.id} expires at ${order.expiresAt.toISOString()}, too soon to be paid. Place a new order.`,
    );
  }
}

function assertNotHeld(orderId: string, payments: Payment[]): void {
  const holder = payments.find(isHolding);
  if (holder) throw heldOrder(orderId, `its payment ${holder.outTradeNo} is in ${holder.status}`);
}
