import { randomBytes } from 'node:crypto';
import { toBeijing } from '../activities/alipay/beijing';
import { AlipayError } from '../activities/alipay/errors';
import { watchPayment } from '../activities/payment-workflow';
import { ORDER_ID_ATTRIBUTE, OUT_TRADE_NO_ATTRIBUTE, inSpan } from '../activities/spans';
import { openPayment, registerOrder as register } from '../db/ledger';
import type { ClockedOrder } from '../db/orders';
import type { Payment } from '../db/payments';
import { PaymentError } from '../workflows/errors';
import type { CloseBy, Product } from '../workflows/messages';
import { paymentWorkflowId } from '../workflows/messages';
import type { ClientDependencies } from './client-dependencies';
import { callTemporal } from './client-dependencies';
import { parseCheckoutInput, parseDuration } from './input';

/** An order as the shop places it. */
export interface OrderInput {
  /** 1 to 64 of `A-Z a-z 0-9 _ -`. */
  orderId: string;
  /** What the buyer reads at the cashier: 1 to 256 characters, none of `/ = &`. */
  subject: string;
  /** Yuan, like `"12.30"`. */
  totalAmount: string;
  /** How long it may stay unpaid, like `"30m"`. Default: `ORDER_TTL`. */
  expiresIn?: string;
  /** Who closes it when it expires. Default: the sweep. */
  closeBy?: CloseBy;
}

export interface CheckoutInput extends OrderInput {
  /** 1 to 64 of `A-Z a-z 0-9 _`. Default: the order's open payment, or a new one. */
  outTradeNo?: string;
  /** Default: `page`. */
  product?: Product;
}

export interface Checkout {
  orderId: string;
  outTradeNo: string;
  /** Where the buyer pays: a URL, or for `precreate` the content of a QR code. */
  paymentUrl: string;
  workflowId: string;
}

/**
 * Registers an order, or finds it registered: the first registration wins.
 *
 * @throws PaymentError INVALID_INPUT, MERCHANT_DIFFERS, AMOUNT_DIFFERS
 */
export function registerOrder(
  { db, alipay, settings }: ClientDependencies,
  { orderId, subject, totalAmount, expiresIn, closeBy = 'sweep' }: OrderInput,
): Promise<ClockedOrder> {
  const { orderTtlMs, closeMarginMs } = settings;
  const ttlMs = expiresIn === undefined ? orderTtlMs : parseDuration(expiresIn);
  if (ttlMs <= 2 * closeMarginMs) {
    throw new PaymentError(
      'INVALID_INPUT',
      `expiresIn must be more than ${(2 * closeMarginMs) / 1_000} s (twice CLOSE_MARGIN), or nobody could pay in time`,
    );
  }
  return register(db, { orderId, subject, totalAmount, closeBy, merchant: alipay.settings, ttlMs });
}

/**
 * Registers the order if that has not been done, opens its payment, starts the workflow that watches it, and returns where
 * the buyer pays.
 *
 * @throws PaymentError as `PaymentClient.checkout`
 */
export function checkOut(deps: ClientDependencies, input: CheckoutInput): Promise<Checkout> {
  return inSpan('PaymentClient.checkout', {}, async (span) => {
    const { outTradeNo: given, product = 'page', ...orderInput } = parseCheckoutInput(input);
    span.setAttribute(ORDER_ID_ATTRIBUTE, orderInput.orderId);
    const { checks, intervalMs, slowChecksMs, closeMarginMs } = deps.settings;
    await registerOrder(deps, orderInput);
    const { order, payment } = await openPayment(deps.db, {
      orderId: orderInput.orderId,
      merchant: deps.alipay.settings,
      ...(given !== undefined && { outTradeNo: given }),
      newOutTradeNo: newOutTradeNo(),
      product,
      marginMs: closeMarginMs,
      plan: { firstCheckInMs: checks > 0 ? intervalMs : null, slowChecksMs },
    });
    span.setAttribute(OUT_TRADE_NO_ATTRIBUTE, payment.outTradeNo);
    await watch(deps, order, payment);
    // Only now, when the payment is watched, may the buyer be able to pay.
    return {
      orderId: order.id,
      outTradeNo: payment.outTradeNo,
      paymentUrl: await paymentUrl(deps, order, payment),
      workflowId: paymentWorkflowId(payment.outTradeNo),
    };
  });
}

async function watch(
  { temporal, settings }: ClientDependencies,
  order: ClockedOrder,
  payment: Payment,
): Promise<void> {
  const { checks, intervalMs } = settings;
  await callTemporal(temporal, () =>
    watchPayment(temporal, payment, {
      outTradeNo: payment.outTradeNo,
      checks,
      intervalMs,
      closeBy: order.closeBy,
      deadline: order.expiresAt.toISOString(),
    }),
  );
}

async function paymentUrl(
  { alipay }: ClientDependencies,
  order: ClockedOrder,
  { outTradeNo, product, totalAmount, timeExpire }: Payment,
): Promise<string> {
  try {
    return await alipay.payUrl({
      outTradeNo,
      subject: order.subject,
      totalAmount,
      product,
      timeExpire: timeExpire ?? order.expiresAt,
    });
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    throw new PaymentError('ALIPAY_UNAVAILABLE', 'Alipay gave no QR code. Trying again is safe.', {
      cause: error,
    });
  }
}

/** Sortable by time, so that a person sees which is newer: 14 digits of Beijing time, then 72 random bits. */
function newOutTradeNo(): string {
  return toBeijing(new Date()).replace(/\D/g, '') + randomBytes(9).toString('hex');
}
