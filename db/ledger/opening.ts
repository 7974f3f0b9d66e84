import type { Product } from '../../workflows/messages';
import { PaymentError } from '../../workflows/errors';
import type { Database } from '../connect';
import { transaction } from '../connect';
import type { CheckPlan } from '../due';
import { planChecks } from '../due';
import type { MerchantSettings } from '../merchants';
import { isOf, merchantId, registerMerchant, stampMerchant } from '../merchants';
import { toFen } from '../money';
import { owesEvidence } from '../evidence';
import { findMerchantPause } from '../pauses';
import type { ClockedOrder, NewOrder } from '../orders';
import { findOrder, insertOrder, repriceOrder } from '../orders';
import { appendEvent } from '../payment-events';
import type { Payment } from '../payments';
import { findPayment, findPaymentsOfOrder, insertPayment, supersedePayments } from '../payments';
import { isHolding } from '../rules';
import { heldOrder, otherMerchant, pausedMerchant, unknownOrder } from './errors';
import { lockKnownOrder, requirePayment } from './require';

interface OrderToRegister extends Omit<NewOrder, 'id' | 'merchant'> {
  orderId: string;
  /** Who gets the money. */
  merchant: MerchantSettings;
}

/**
 * Registers an order and its merchant, or finds the order registered: the first registration wins. `mayReprice`:
 * another amount is not an error; {@link openPayment} handles it.
 *
 * @throws PaymentError MERCHANT_DIFFERS, AMOUNT_DIFFERS if it is registered with another merchant or amount
 */
export async function registerOrder(
  db: Database,
  input: OrderToRegister,
  { mayReprice = false }: { mayReprice?: boolean } = {},
): Promise<ClockedOrder> {
  const { orderId } = input;
  const order =
    (await findOrder(db, orderId)) ?? (await insertNew(db, input)) ?? (await findOrder(db, orderId));
  if (!order) throw unknownOrder(orderId);
  assertSameMerchant(order, merchantId(input.merchant));
  if (!mayReprice) assertSameAmount(order, input.totalAmount);
  return order;
}

function assertSameAmount({ id, totalAmount, status }: ClockedOrder, asked: string): void {
  if (toFen(totalAmount) === toFen(asked)) return;
  const advice =
    status === 'UNPAID'
      ? 'Use the registered amount, or a new orderId; to change the price, check out with reprice: true.'
      : `It is ${status}, and its price cannot change. For another purchase, use a new orderId.`;
  throw new PaymentError(
    'AMOUNT_DIFFERS',
    `Order ${id} is registered with ${totalAmount} yuan, not ${asked}. ${advice}`,
  );
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
  /** Yuan: what the caller believes to be the order's price. */
  totalAmount: string;
  /** If the order has another price, it gets this one. */
  mayReprice?: boolean;
  /** Who gets the money. */
  merchant: MerchantSettings;
  /** Given by the caller; without it the order's newest UNPAID payment of this product, merchant and request is opened again. */
  outTradeNo?: string;
  /** The number to use if a new payment has to be made. */
  newOutTradeNo: string;
  product: Product;
  /** SHA-256 of the buyer and the extra parameters; null: none. */
  requestDigest?: string | null;
  /** `CLOSE_MARGIN` in milliseconds. */
  marginMs: number;
  plan: CheckPlan;
}

/**
 * Opens the payment that a checkout leads to; if the price changes, in the same transaction.
 *
 * @throws PaymentError ORDER_UNKNOWN, ORDER_PAID, ORDER_CLOSED, ORDER_EXPIRED, ORDER_HELD, MERCHANT_DIFFERS, MERCHANT_PAUSED,
 *   AMOUNT_DIFFERS, OUT_TRADE_NO_TAKEN, PAYMENT_SETTLED
 */
export async function openPayment(
  db: Database,
  input: PaymentToOpen,
): Promise<{ order: ClockedOrder; payment: Payment }> {
  return transaction(db, async (trx) => {
    const found = await lockKnownOrder(trx, input.orderId);
    assertSameMerchant(found, merchantId(input.merchant));
    assertPayable(found, input.marginMs);
    const paused = await findMerchantPause(trx, merchantId(input.merchant));
    if (paused) throw pausedMerchant(input.merchant.name, paused);
    const payments = await findPaymentsOfOrder(trx, found.id);
    assertNotHeld(found.id, payments);
    const order = await priced(trx, found, input);

    // Those at another price have just been superseded.
    const known = await findToReopen(trx, input, order === found ? payments : []);
    const outTradeNo = known?.outTradeNo ?? input.outTradeNo ?? input.newOutTradeNo;
    const isByHand = order.merchant === null || known?.merchant === null;
    if (!known || isByHand) {
      const merchant = await registerMerchant(trx, input.merchant);
      if (!known) await insertPayment(trx, { requestDigest: null, ...input, outTradeNo, merchant });
      if (isByHand) await stampMerchant(trx, { orderId: order.id, outTradeNo, merchant });
    }
    const payment = await requirePayment(trx, outTradeNo);
    // Its own order was not locked here: another checkout may have just taken the number.
    if (payment.orderId !== order.id) throw takenOutTradeNo(outTradeNo);
    await appendEvent(trx, { outTradeNo, actor: 'checkout', event: 'checked-out' });
    await planChecks(trx, outTradeNo, input.plan);
    return { order, payment };
  });
}

/** The order at the price that the caller asks for, which supersedes the payments at another one. */
async function priced(
  trx: Database,
  order: ClockedOrder,
  { totalAmount, mayReprice = false }: PaymentToOpen,
): Promise<ClockedOrder> {
  if (!mayReprice) assertSameAmount(order, totalAmount);
  if (toFen(order.totalAmount) === toFen(totalAmount)) return order;
  const { id } = order;
  const outTradeNos = (await findPaymentsOfOrder(trx, id)).map(({ outTradeNo }) => outTradeNo);
  // It may say that the buyer has paid the old price, which was right then.
  if (await owesEvidence(trx, outTradeNos)) {
    throw heldOrder(id, 'what Alipay said about one of its payments is not recorded yet');
  }
  if (!(await repriceOrder(trx, { id, totalAmount }))) {
    throw new Error('invariant: an order that may be paid, locked, is UNPAID');
  }
  await supersedePayments(trx, { id, totalAmount });
  return { ...order, totalAmount };
}

/** The payment to open again; undefined: a new one is made. */
async function findToReopen(
  trx: Database,
  input: PaymentToOpen,
  payments: Payment[],
): Promise<Payment | undefined> {
  const ours = merchantId(input.merchant);
  const { requestDigest: digest = null } = input;
  if (input.outTradeNo === undefined) {
    const open = payments.filter(
      ({ status, product, merchant, requestDigest, supersededAt }) =>
        status === 'UNPAID' &&
        supersededAt === null &&
        product === input.product &&
        requestDigest === digest &&
        isOf(merchant, [ours]),
    );
    return open.at(-1);
  }
  const known = await findPayment(trx, input.outTradeNo);
  if (!known) return undefined;
  if (known.orderId !== input.orderId) throw takenOutTradeNo(input.outTradeNo);
  if (!isOf(known.merchant, [ours])) {
    throw otherMerchant(`Payment ${input.outTradeNo}`, known.merchant, ours);
  }
  if (known.status !== 'UNPAID') {
    throw new PaymentError(
      'PAYMENT_SETTLED',
      `Payment ${input.outTradeNo} is ${known.status}. Use a new outTradeNo, or leave it out.`,
    );
  }
  if (known.supersededAt !== null) {
    throw new PaymentError(
      'PAYMENT_SETTLED',
      `Payment ${input.outTradeNo} was opened at another price (${known.totalAmount} yuan), and can no longer be used. Use a ` +
        'new outTradeNo, or leave it out.',
    );
  }
  // The row's product decides what is signed: an app would read a page's URL as an order string.
  if (known.product !== input.product) {
    throw new PaymentError(
      'OUT_TRADE_NO_TAKEN',
      `Payment ${input.outTradeNo} was opened with product ${known.product}, not ${input.product}. Repeat it, use a new ` +
        'outTradeNo, or leave it out.',
    );
  }
  if (known.requestDigest !== digest) {
    throw new PaymentError(
      'OUT_TRADE_NO_TAKEN',
      `Payment ${input.outTradeNo} was opened with another buyer or other extra parameters, and Alipay accepts no change ` +
        '(CONTEXT_INCONSISTENT). Repeat them, use a new outTradeNo, or leave it out.',
    );
  }
  return known;
}

const takenOutTradeNo = (outTradeNo: string): PaymentError =>
  new PaymentError(
    'OUT_TRADE_NO_TAKEN',
    `outTradeNo ${outTradeNo} belongs to another order. Use a new outTradeNo, or leave it out.`,
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
