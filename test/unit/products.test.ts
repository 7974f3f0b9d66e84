import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { AlipayGateway } from '../../activities/alipay/gateway';
import type { PayOrder } from '../../activities/alipay/products';
import { parseCheckoutInput } from '../../client/input';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import { parsePrivateKey } from '../../worker/keys';
import type { Product } from '../../workflows/messages';

const LARGE_KEY = generateKeyPairSync('rsa', { modulusLength: 4096 })
  .privateKey.export({ type: 'pkcs1', format: 'pem' })
  .toString();

let sandbox: Sandbox;
let alipay: AlipayGateway;
let orders = 0;

beforeAll(async () => {
  sandbox = await startSandbox();
  alipay = new AlipayGateway({
    name: 'default',
    gateway: sandbox.gateway,
    appId: sandbox.appId,
    privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
    publicKey: sandbox.alipayPublicKey,
    sellerId: sandbox.sellerId,
    notifyUrl: 'http://127.0.0.1:9/alipay/notify',
    returnUrl: 'http://127.0.0.1:9/thanks',
    timeoutMs: 2_000,
  });
});
afterAll(() => sandbox.close());

function order(product: Product, changes: Partial<PayOrder> = {}): PayOrder {
  orders += 1;
  return {
    outTradeNo: `product_${orders}`,
    subject: 'Green tea',
    totalAmount: '12.30',
    product,
    timeExpire: new Date(Date.now() + 3_600_000),
    ...changes,
  };
}

/** What was sent to Alipay about an order. */
async function sent(method: string, outTradeNo: string): Promise<unknown> {
  const calls = (await sandbox.control.journal()).filter((entry) => entry.kind === 'call');
  return calls.find((call) => call.method === method && call.outTradeNo === outTradeNo)?.bizContent;
}

const bizOf = (text: string): unknown =>
  JSON.parse(new URLSearchParams(text.slice(text.indexOf('?') + 1)).get('biz_content') ?? '');

describe('app', () => {
  it('is the signed order string that the phone’s SDK takes, and the phone pays by it', async () => {
    const app = order('app');
    const text = await alipay.payUrl(app);
    const fields = new URLSearchParams(text);
    expect(fields.get('method')).toBe('alipay.trade.app.pay');
    expect(fields.get('notify_url')).toBe('http://127.0.0.1:9/alipay/notify');
    expect(fields.has('return_url')).toBe(false);
    // Phones decode %20, but not every one decodes a plus sign.
    expect(text).toMatch(/timestamp=\d{4}-\d\d-\d\d%20/);
    expect(bizOf(text)).toMatchObject({ product_code: 'QUICK_MSECURITY_PAY', total_amount: '12.30' });
    expect(await sandbox.control.open(text)).toBe(app.outTradeNo);
    await expect(alipay.query(app.outTradeNo)).resolves.toMatchObject({ answer: 'not-exist' });
    expect(await sandbox.control.pay(text)).toMatchObject({ product: 'app', status: 'TRADE_SUCCESS' });
    await expect(alipay.query(app.outTradeNo)).resolves.toMatchObject({ answer: 'paid' });
  });
});

describe('the longest checkout', () => {
  it('makes an order string that the phone’s SDK takes: 16,384 characters', async () => {
    const extra = { passback_params: '茶'.repeat(512), goods_detail: '~'.repeat(6_300) };
    const longest = { orderId: 'A-1', subject: '茶'.repeat(256), totalAmount: '99999999.99', extra };
    const { subject, totalAmount } = parseCheckoutInput({ ...longest, product: 'app' });
    const own = new AlipayGateway({
      ...alipay.settings,
      appId: '2'.repeat(32),
      privateKey: LARGE_KEY,
      appAuthToken: 't'.repeat(128),
      notifyUrl: 'https://shop.example/alipay/notify?'.padEnd(256, '%'),
    });
    const text = await own.payUrl(
      order('app', { outTradeNo: 'T'.repeat(64), subject, totalAmount, extra: longest.extra }),
    );
    expect(text.length).toBeGreaterThan(15_000);
    expect(text.length).toBeLessThanOrEqual(16_384);
  });
});

describe('jsapi', () => {
  it('is a trade that exists at once, known by its number, which a repeat gives again', async () => {
    const jsapi = order('jsapi', { buyerOpenId: '074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5' });
    const tradeNo = await alipay.payUrl(jsapi);
    expect(tradeNo).toMatch(/^\d{28,}$/);
    await expect(alipay.query(jsapi.outTradeNo)).resolves.toMatchObject({ answer: 'waiting', tradeNo });
    await expect(alipay.payUrl(jsapi)).resolves.toBe(tradeNo);
    expect(await sent('alipay.trade.create', jsapi.outTradeNo)).toMatchObject({
      product_code: 'JSAPI_PAY',
      op_app_id: sandbox.appId,
      buyer_open_id: jsapi.buyerOpenId,
    });
    const page = await fetch(`${sandbox.url}/cashier/trade/${tradeNo}`);
    expect(await page.text()).toContain('Green tea');
    await expect(alipay.close(jsapi.outTradeNo)).resolves.toBe('closed');
  });

  it('names the buyer as the mini program knows him, where that has an app id of its own', async () => {
    const jsapi = order('jsapi', { buyerOpenId: 'of-mini', extra: { op_app_id: '2021000000000099' } });
    await alipay.payUrl(jsapi);
    expect(await sent('alipay.trade.create', jsapi.outTradeNo)).toMatchObject({
      op_app_id: '2021000000000099',
      op_buyer_open_id: 'of-mini',
    });
  });

  it('tells of a refusal by Alipay’s code', async () => {
    const jsapi = order('jsapi', { extra: { op_buyer_open_id: 'unknown here' } });
    await expect(alipay.payUrl(jsapi)).rejects.toMatchObject({
      kind: 'refused',
      subCode: 'ACQ.BUYER_NOT_EXIST',
    });
  });
});

describe('what belongs to Alipay’s optional parameters', () => {
  const extra = {
    store_id: 'NJ_001',
    goods_detail: [{ goods_id: 'apple-01', goods_name: 'ipad', quantity: 1, price: '12.30' }],
    extend_params: {
      hb_fq_num: '3',
      hb_fq_seller_percent: '100',
      sys_service_provider_id: '2088511833207846',
    },
    // One of Alipay's own parameters in camel case.
    business_params: { mcCreateTradeIp: '127.0.0.1', 'a b': [{ 'c-D': '1.10' }] },
  };

  it.each<Product>(['page', 'wap', 'app'])('is passed on as it is by %s', async (product) => {
    expect(bizOf(await alipay.payUrl(order(product, { extra })))).toMatchObject(extra);
  });

  it.each<Product>(['precreate', 'jsapi'])('is passed on as it is by %s', async (product) => {
    const given = order(product, { extra, ...(product === 'jsapi' && { buyerOpenId: 'a' }) });
    await alipay.payUrl(given);
    const method = product === 'jsapi' ? 'alipay.trade.create' : 'alipay.trade.precreate';
    expect(await sent(method, given.outTradeNo)).toMatchObject(extra);
  });
});

describe('a subject', () => {
  it('is sent with the full-width forms of what Alipay refuses in one', async () => {
    const url = await alipay.payUrl(order('page', { subject: 'Tea/2024 a=b & c' }));
    expect(bizOf(url)).toMatchObject({ subject: 'Tea／2024 a＝b ＆ c' });
    await sandbox.control.open(url);
  });
});

describe('a checkout', () => {
  const input = { orderId: 'A-1', subject: 'Tea / green', totalAmount: '12.30' };
  const refusal = (changes: object): string => {
    try {
      parseCheckoutInput({ ...input, ...changes });
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };

  it('takes any subject, and Alipay’s own names in extra', () => {
    const extra = { store_id: 'S', extend_params: { hb_fq_num: '3' }, passback_params: 'a%3D1%26b%3D2' };
    expect(parseCheckoutInput({ ...input, extra })).toMatchObject({ subject: 'Tea / green', extra });
    expect(parseCheckoutInput({ ...input, product: 'jsapi', extra: { buyer_id: '2088' } })).toMatchObject({});
  });

  it.each<[string, object, string]>([
    ['another product', { product: 'face' }, 'product must be one of page, wap, precreate, app, jsapi'],
    ['jsapi without a buyer', { product: 'jsapi' }, 'buyerOpenId is missing'],
    ['a buyer where none belongs', { buyerOpenId: 'a' }, 'buyerOpenId is only for product jsapi'],
    ['a buyer with a space', { product: 'jsapi', buyerOpenId: 'a b' }, 'buyerOpenId must be 1 to 128'],
    ['what it says itself', { extra: { total_amount: '1' } }, 'extra must not have total_amount'],
    ['its number', { extra: { out_trade_no: 'b' } }, 'extra must not have out_trade_no'],
    ['another seller', { extra: { seller_id: '2088' } }, 'extra must not have seller_id'],
    ['another deadline', { extra: { timeout_express: '1m' } }, 'extra must not have timeout_express'],
    ['a name in camel case', { extra: { totalAmount: '1' } }, 'names are Alipay’s own'],
    [
      'a name that could pass for another',
      { extra: { seller__id: '2088' } },
      'seller__id: names are Alipay’s own',
    ],
    ['a name that ends in _', { extra: { body_: 'tea' } }, 'body_: names are Alipay’s own'],
    ['text where an object belongs', { extra: 'store_id=1' }, 'extra must be an object'],
    [
      'too much for the wire',
      { extra: { body: '茶'.repeat(1_300) } },
      'extra must have at most 11000 characters of URL-encoded JSON',
    ],
    [
      'what would split a notification',
      { extra: { passback_params: 'a=1&b=2' } },
      'passback_params must be URL-encoded',
    ],
    ['the same in its body', { extra: { body: 'tea&total_amount=0.01' } }, 'body must be URL-encoded'],
  ])('refuses %s', (_what, changes, says) => {
    expect(refusal(changes)).toContain(says);
  });
});
