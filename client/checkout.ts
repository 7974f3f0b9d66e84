import { createHash, randomBytes } from 'node:crypto';
import { toBeijing } from '../activities/alipay/beijing';
import { AlipayError } from '../activities/alipay/errors';
import type { AlipayGateway } from '../activities/alipay/gateway';
import { watchPayment } from '../activities/payment-workflow';
import { soon } from '../activities/temporal-calls';
import { ORDER_ID_ATTRIBUTE, OUT_TRADE_NO_ATTRIBUTE, inSpan } from '../activities/spans';
import { openPayment, registerOrder as register } from '../db/ledger';
import type { ClockedOrder, Order } from '../db/orders';
import type { Payment } from '../db/payments';
import { PaymentError } from '../workflows/errors';
import type { CloseBy, Product } from '../workflows/messages';
import { paymentWorkflowId } from '../workflows/messages';
import type { ClientDependencies } from './dependencies';
import { parseCheckoutInput, parseDuration } from './input';
import { withoutClock } from './operations';

/** An order as the shop places it. */
export interface OrderInput {
  /** 1 to 64 of `A-Z a-z 0-9 _ -`. */
  orderId: string;
  /** What the buyer reads at the cashier: 1 to 256 characters. Alipay gets `/`, `=` and `&` in full-width form. */
  subject: string;
  /** Yuan with at most two decimals, like `"12.30"`. */
  totalAmount: string;
  /** How long it may stay unpaid, like `"30m"`. Default: `ORDER_TTL`. Only that of the first registration counts. */
  expiresIn?: string;
  /** Who closes it when it expires. Default: the sweep. */
  closeBy?: CloseBy;
  /** Which merchant takes the money, by its name in `MERCHANTS_FILE`. Default: the environment's own. */
  merchant?: string;
}

/** An order, and how it will be paid. */
export interface CheckoutInput extends OrderInput {
  /** 1 to 64 of `A-Z a-z 0-9 _`. Default: the order's open payment, or a new one. */
  outTradeNo?: string;
  /** Default: `page`. */
  product?: Product;
  /** The buyer in the mini program; `jsapi` needs it. */
  buyerOpenId?: string;
  /**
   * Alipay's optional parameters by their own names (`goods_detail`, `extend_params`, `store_id` …), passed on
   * unchanged. Write amounts in them as strings. Parameters that the checkout sets itself are refused.
   */
  extra?: Record<string, unknown>;
  /**
   * Where the cashier sends the buyer back to (`page`, `wap`), at most 256 characters. Alipay adds parameters; your own
   * must have different names. Default: `ALIPAY_RETURN_URL`.
   */
  returnUrl?: string;
  /**
   * If the price has changed, the order gets `totalAmount`, and its open payments are superseded: no checkout returns
   * them again, and money that still arrives on one of them is a late payment.
   */
  reprice?: boolean;
}

/** An opened payment. */
export interface Checkout {
  orderId: string;
  outTradeNo: string;
  /**
   * Where the buyer pays: a URL; for `precreate` the content of a QR code; for `app` the order string for the phone's SDK;
   * for `jsapi` the trade number for `my.tradePay({ tradeNO })`.
   */
  paymentUrl: string;
  /** Alipay's trade number, with `jsapi`: the trade exists at once. */
  tradeNo?: string;
  workflowId: string;
  /** When the order expires. */
  expiresAt: Date;
  /** The order's first subject, which wins: the cashier shows it. Set only if this checkout gave a different one. */
  keptSubject?: string;
}

export async function registerOrder(
  { db, alipay, settings }: ClientDependencies,
  { orderId, subject, totalAmount, expiresIn, closeBy = 'sweep', merchant: name }: OrderInput,
  options: { mayReprice?: boolean } = {},
): Promise<Order> {
  const merchant = alipay.named(name).settings;
  const { orderTtlMs, closeMarginMs } = settings;
  const ttlMs = expiresIn === undefined ? orderTtlMs : parseDuration(expiresIn);
  if (ttlMs <= 2 * closeMarginMs) {
    throw new PaymentError(
      'INVALID_INPUT',
      `expiresIn must be more than ${(2 * closeMarginMs) / 1_000} s (twice CLOSE_MARGIN), or nobody could pay in time`,
    );
  }
  const order = { orderId, subject, totalAmount, closeBy, merchant, ttlMs };
  return withoutClock(await register(db, order, options));
}

export function checkOut(deps: ClientDependencies, input: CheckoutInput): Promise<Checkout> {
  return inSpan('PaymentClient.checkout', {}, async (span) => {
    const {
      outTradeNo: given,
      product = 'page',
      buyerOpenId,
      extra,
      returnUrl,
      reprice: mayReprice = false,
      ...orderInput
    } = parseCheckoutInput(input);
    span.setAttribute(ORDER_ID_ATTRIBUTE, orderInput.orderId);
    const { checks, intervalMs, slowChecksMs, closeMarginMs } = deps.settings;
    const gateway = deps.alipay.named(orderInput.merchant);
    await registerOrder(deps, orderInput, { mayReprice });
    const { order, payment } = await openPayment(deps.db, {
      orderId: orderInput.orderId,
      totalAmount: orderInput.totalAmount,
      mayReprice,
      merchant: gateway.settings,
      ...(given !== undefined && { outTradeNo: given }),
      newOutTradeNo: newOutTradeNo(),
      product,
      requestDigest: digestOf({ buyerOpenId, extra }),
      marginMs: closeMarginMs,
      plan: { firstCheckInMs: checks > 0 ? intervalMs : null, slowChecksMs },
    });
    span.setAttribute(OUT_TRADE_NO_ATTRIBUTE, payment.outTradeNo);
    await soon(deps.temporal, () =>
      watchPayment(deps.temporal, payment, {
        outTradeNo: payment.outTradeNo,
        checks,
        intervalMs,
        closeBy: order.closeBy,
        deadline: order.expiresAt.toISOString(),
      }),
    );
    // The buyer must not be able to pay before the payment is watched.
    const url = await paymentUrl(gateway, order, payment, { buyerOpenId, extra, returnUrl });
    return {
      orderId: order.id,
      outTradeNo: payment.outTradeNo,
      paymentUrl: url,
      ...(product === 'jsapi' && { tradeNo: url }),
      workflowId: paymentWorkflowId(payment.outTradeNo),
      expiresAt: order.expiresAt,
      ...(order.subject !== orderInput.subject && { keptSubject: order.subject }),
    };
  });
}

async function paymentUrl(
  gateway: AlipayGateway,
  order: ClockedOrder,
  { outTradeNo, product, totalAmount, timeExpire }: Payment,
  request: Pick<CheckoutInput, 'buyerOpenId' | 'extra' | 'returnUrl'>,
): Promise<string> {
  try {
    return await gateway.payUrl({
      outTradeNo,
      subject: order.subject,
      totalAmount,
      product,
      timeExpire: timeExpire ?? order.expiresAt,
      ...request,
    });
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    throw new PaymentError(
      'ALIPAY_UNAVAILABLE',
      `Alipay did not open the payment (${error.message}). Trying again is safe.`,
      { cause: error },
    );
  }
}

/** Keeps the buyer out of the row. A checkout reopens only a payment with the same digest: Alipay refuses changes. */
function digestOf(request: Pick<CheckoutInput, 'buyerOpenId' | 'extra'>): string | null {
  const { buyerOpenId, extra = {} } = request;
  if (buyerOpenId === undefined && Object.keys(extra).length === 0) return null;
  const sorted = Object.entries(extra).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([buyerOpenId ?? null, sorted]))
    .digest('hex');
}

/** Sortable by time, so that people see which is newer: 14 digits of Beijing time, then 72 random bits. */
function newOutTradeNo(): string {
  return toBeijing(new Date()).replace(/\D/g, '') + randomBytes(9).toString('hex');
}
