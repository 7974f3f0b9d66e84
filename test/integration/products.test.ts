import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CheckoutInput } from '../../client/index';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop(__filename);
});
afterAll(() => shop.close());

let orders = 0;
const order = (changes: Partial<CheckoutInput> = {}): CheckoutInput => {
  orders += 1;
  return { orderId: `P-${orders}`, subject: 'Tea & cake', totalAmount: '12.30', ...changes };
};

const paid = (outTradeNo: string) =>
  waitFor(async () => (await shop.payments.payment(outTradeNo)).status === 'PAID', {
    what: `${outTradeNo} to be PAID`,
  });

it('can be paid until CLOSE_MARGIN before its order expires, to the second', async () => {
  const { orderId, outTradeNo } = await shop.payments.checkout(order());
  const { expiresAt } = await shop.payments.order(orderId);
  const { timeExpire } = await shop.payments.payment(outTradeNo);
  const seconds = Math.floor((expiresAt.getTime() - shop.deps.closeMarginMs) / 1_000);
  expect(timeExpire).toEqual(new Date(seconds * 1_000));
});

describe('a payment in an app', () => {
  it('is opened over HTTP, paid by the phone with its order string, and PAID', async () => {
    const response = await shop.http.inject({
      method: 'POST',
      url: '/checkout',
      payload: order({ product: 'app', extra: { extend_params: { hb_fq_num: '3' } } }),
    });
    const { outTradeNo, paymentUrl, tradeNo } = response.json<Record<string, string>>();
    expect([response.statusCode, tradeNo]).toEqual([200, undefined]);
    await shop.alipay.control.pay(paymentUrl ?? '');
    await paid(outTradeNo ?? '');
  });

  it('is found by a check where its notification is lost', async () => {
    const { outTradeNo, paymentUrl } = await shop.payments.checkout(order({ product: 'app' }));
    await shop.alipay.control.pay(paymentUrl, { notify: false });
    await paid(outTradeNo);
  });
});

describe('a payment in a mini program', () => {
  it('is known by its trade number at once, and PAID when the buyer has paid', async () => {
    const checkout = await shop.payments.checkout(order({ product: 'jsapi', buyerOpenId: 'buyer-1' }));
    const { outTradeNo, tradeNo, paymentUrl } = checkout;
    expect(tradeNo).toBe(paymentUrl);
    expect(await shop.alipay.control.trade(outTradeNo)).toMatchObject({ tradeNo, status: 'WAIT_BUYER_PAY' });
    // A trade number on the row would mean that it was paid.
    expect((await shop.payments.payment(outTradeNo)).tradeNo).toBeNull();
    await shop.alipay.control.pay(outTradeNo);
    await paid(outTradeNo);
    expect((await shop.payments.payment(outTradeNo)).tradeNo).toBe(tradeNo);
  });

  it('keeps the buyer out of the row and of the history', async () => {
    const buyerOpenId = 'nobody-may-read-this';
    const { outTradeNo } = await shop.payments.checkout(order({ product: 'jsapi', buyerOpenId }));
    const row = JSON.stringify(
      await shop.sql('SELECT * FROM payments WHERE out_trade_no = :outTradeNo', { outTradeNo }),
    );
    const { history } = await shop.temporal.workflow
      .getHandle(`payment-${outTradeNo}`)
      .fetchHistory()
      .then((h) => ({ history: JSON.stringify(h) }));
    expect(`${row}${history}`).not.toContain(buyerOpenId);
  });
});

describe('a checkout that is repeated', () => {
  const jsapi = (changes: Partial<CheckoutInput> = {}) =>
    order({ product: 'jsapi', buyerOpenId: 'a', ...changes });

  it('gives the same payment where nothing changed, whatever the order of extra’s names', async () => {
    const first = jsapi({ extra: { store_id: 'S', terminal_id: 'T' } });
    const { outTradeNo, tradeNo } = await shop.payments.checkout(first);
    const again = await shop.payments.checkout({ ...first, extra: { terminal_id: 'T', store_id: 'S' } });
    expect(again).toMatchObject({ outTradeNo, tradeNo });
  });

  it.each<[string, Record<string, unknown>]>([
    ['another buyer', { buyerOpenId: 'b' }],
    ['other extra parameters', { extra: { store_id: 'other' } }],
    ['another product', { product: 'page', buyerOpenId: undefined }],
  ])('gives another payment with %s: Alipay takes no change of one', async (_what, changes) => {
    const first = jsapi();
    const { outTradeNo } = await shop.payments.checkout(first);
    const other = await shop.payments.checkout(
      JSON.parse(JSON.stringify({ ...first, ...changes })) as CheckoutInput,
    );
    expect(other.outTradeNo).not.toBe(outTradeNo);
  });

  it('is refused with the same number and another buyer, before Alipay is asked', async () => {
    const first = jsapi({ outTradeNo: 'MINE_1' });
    await shop.payments.checkout(first);
    await expect(shop.payments.checkout({ ...first, buyerOpenId: 'b' })).rejects.toMatchObject({
      code: 'OUT_TRADE_NO_TAKEN',
      message: expect.stringContaining('CONTEXT_INCONSISTENT'),
    });
  });

  it('is refused with the same number and another product: what it returns would be no use to the caller', async () => {
    const first = order({ outTradeNo: 'MINE_2', product: 'page' });
    const opened = await shop.payments.checkout(first);
    await expect(shop.payments.checkout({ ...first, product: 'app' })).rejects.toMatchObject({
      code: 'OUT_TRADE_NO_TAKEN',
      message: expect.stringContaining('product page'),
    });
    const { outTradeNo, workflowId } = await shop.payments.checkout(first);
    expect({ outTradeNo, workflowId }).toEqual({ outTradeNo: 'MINE_2', workflowId: opened.workflowId });
  });
});

it('a refusal by Alipay names its code, and the payment is still watched', async () => {
  const input = order({ product: 'jsapi', extra: { op_buyer_open_id: 'unknown here' } });
  await expect(shop.payments.checkout(input)).rejects.toMatchObject({
    code: 'ALIPAY_UNAVAILABLE',
    message: expect.stringContaining('ACQ.BUYER_NOT_EXIST'),
  });
  expect(await shop.payments.payments({ orderId: input.orderId })).toHaveLength(1);
});
