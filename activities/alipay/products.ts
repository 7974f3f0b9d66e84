import type { Product } from '../../workflows/messages';
import { toBeijing } from './beijing';

/** What a buyer has to pay, and how. */
export interface PayOrder {
  outTradeNo: string;
  subject: string;
  /** Yuan. */
  totalAmount: string;
  product: Product;
  timeExpire: Date;
  /** Where the buyer comes back to (`page`, `wap`). Default: the configured one. */
  returnUrl?: string | undefined;
  /** For `jsapi`: the buyer's open id in the mini program. */
  buyerOpenId?: string | undefined;
  /** Optional parameters by Alipay's own names, passed on as they are. */
  extra?: Readonly<Record<string, unknown>> | undefined;
}

/** One of Alipay's products. `answer`: the field to read from its gateway call; without it, an order is only signed. */
interface ProductAtAlipay {
  method: string;
  productCode?: string;
  answer?: 'qr_code' | 'trade_no';
}

export const PRODUCTS: Readonly<Record<Product, ProductAtAlipay>> = {
  page: { method: 'alipay.trade.page.pay', productCode: 'FAST_INSTANT_TRADE_PAY' },
  wap: { method: 'alipay.trade.wap.pay', productCode: 'QUICK_WAP_WAY' },
  app: { method: 'alipay.trade.app.pay', productCode: 'QUICK_MSECURITY_PAY' },
  precreate: { method: 'alipay.trade.precreate', answer: 'qr_code' },
  jsapi: { method: 'alipay.trade.create', productCode: 'JSAPI_PAY', answer: 'trade_no' },
};

/** The `biz_content` of a pay request. Our own fields override `extra`. */
export function payContent(order: PayOrder, appId: string): Record<string, unknown> {
  const { outTradeNo, subject, totalAmount, product, timeExpire, extra } = order;
  const { productCode } = PRODUCTS[product];
  return {
    ...(product === 'jsapi' && buyerOf(order, appId)),
    ...extra,
    out_trade_no: outTradeNo,
    subject: fullWidth(subject),
    total_amount: totalAmount,
    time_expire: toBeijing(timeExpire),
    ...(productCode && { product_code: productCode }),
  };
}

/**
 * A mini program with its own app id passes it as `extra.op_app_id`, and knows the buyer by another open id than the
 * app that signs.
 */
function buyerOf({ buyerOpenId, extra }: PayOrder, appId: string): Record<string, unknown> {
  const opAppId = extra?.['op_app_id'] ?? appId;
  const name = opAppId === appId ? 'buyer_open_id' : 'op_buyer_open_id';
  return { op_app_id: opAppId, ...(buyerOpenId !== undefined && { [name]: buyerOpenId }) };
}

/** Alipay refuses `/`, `=` and `&` in a subject; the full-width forms read the same. */
function fullWidth(subject: string): string {
  return subject.replace(/[/=&]/g, (char) => String.fromCharCode(char.charCodeAt(0) + 0xfee0));
}
