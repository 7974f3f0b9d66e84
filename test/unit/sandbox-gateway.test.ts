import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AlipaySdk } from 'alipay-sdk';
import { createSign, generateKeyPairSync, verify } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { text as readText } from 'node:stream/consumers';
import { DEFAULT_APP_ID, startSandbox, type Sandbox } from '../../sandbox';
import { beijingTime } from '../../sandbox/beijing';
import { BUYER } from '../../sandbox/methods';
import { Shop } from './sandbox-shop';

const QUERY = 'alipay.trade.query';
const CLOSE = 'alipay.trade.close';
const REFUND = 'alipay.trade.refund';
const REFUND_QUERY = 'alipay.trade.fastpay.refund.query';
const PRECREATE = 'alipay.trade.precreate';

let sandbox: Sandbox;
let shop: Shop;
let count = 0;
let no: string;

beforeAll(async () => {
  sandbox = await startSandbox();
  shop = await Shop.open(sandbox);
});
beforeEach(() => {
  count += 1;
  no = `T${count}`;
});
afterAll(async () => {
  await sandbox.close();
  await shop.close();
});

describe('alipay.trade.query', () => {
  it('does not know an order before the buyer scans, and says so with its number and zero amounts', async () => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: no }));
    expect(await shop.call(QUERY, { outTradeNo: no })).toMatchObject({
      code: '40004',
      subCode: 'ACQ.TRADE_NOT_EXIST',
      outTradeNo: no,
      buyerPayAmount: '0.00',
      receiptAmount: '0.00',
    });
  });

  it('tells of a waiting trade, by either number', async () => {
    const { tradeNo } = await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
    const waiting = {
      code: '10000',
      outTradeNo: no,
      tradeNo,
      tradeStatus: 'WAIT_BUYER_PAY',
      totalAmount: '12.30',
    };
    expect(await shop.call(QUERY, { outTradeNo: no })).toMatchObject(waiting);
    expect(await shop.call(QUERY, { tradeNo })).toMatchObject(waiting);
  });

  it('tells of a paid trade, in Beijing time, without any seller', async () => {
    await shop.sell(no);
    const answer = await shop.call(QUERY, { outTradeNo: no });
    expect(answer).toMatchObject({
      tradeStatus: 'TRADE_SUCCESS',
      totalAmount: '12.30',
      receiptAmount: '12.30',
    });
    const { paidAt } = (await sandbox.control.trade(no)) ?? {};
    expect(answer['sendPayDate']).toBe(beijingTime(Date.parse(paidAt ?? '')));
    expect(answer).not.toHaveProperty('sellerId');
  });
});

describe('alipay.trade.close', () => {
  it('has nothing to close before the scan, and the link stays payable', async () => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: no }));
    expect(await shop.call(CLOSE, { outTradeNo: no })).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
    expect(await sandbox.control.pay(no)).toMatchObject({ status: 'TRADE_SUCCESS' });
  });

  it('closes a waiting trade for good', async () => {
    await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
    expect(await shop.call(CLOSE, { outTradeNo: no })).toMatchObject({ code: '10000', outTradeNo: no });
    await expect(sandbox.control.pay(no)).rejects.toThrow('ACQ.TRADE_HAS_CLOSE');
    expect(await shop.call(CLOSE, { outTradeNo: no })).toMatchObject({ subCode: 'ACQ.TRADE_STATUS_ERROR' });
  });

  it('is refused once the buyer has paid', async () => {
    await shop.sell(no);
    expect(await shop.call(CLOSE, { outTradeNo: no })).toMatchObject({ subCode: 'ACQ.TRADE_STATUS_ERROR' });
  });

  it('leaves exactly one winner when it races the buyer, many times over', async () => {
    const numbers = Array.from({ length: 60 }, (_, index) => `${no}_${index}`);
    await Promise.all(numbers.map((outTradeNo) => sandbox.control.scan(shop.payUrl({ outTradeNo }))));
    for (const outTradeNo of numbers) {
      const [closed, paid] = await Promise.all([
        shop.call(CLOSE, { outTradeNo }).then(({ code }) => code === '10000'),
        // Sometimes before the call, sometimes after it.
        shop.call(QUERY, { outTradeNo }).then(() =>
          sandbox.control.pay(outTradeNo).then(
            () => true,
            () => false,
          ),
        ),
      ]);
      expect([closed, paid].filter(Boolean)).toHaveLength(1);
    }
  });
});

describe('time_expire', () => {
  it('closes a waiting trade at its very second, in Beijing time', async () => {
    const end = Math.ceil(Date.now() / 1000) * 1000 + 3000;
    await sandbox.control.scan(shop.payUrl({ outTradeNo: no, timeExpire: beijingTime(end) }));
    expect((await sandbox.control.trade(no))?.expiresAt).toBe(new Date(end).toISOString());
    await new Promise((resolve) => setTimeout(resolve, end - Date.now() + 5));
    expect(await shop.call(QUERY, { outTradeNo: no })).toMatchObject({ tradeStatus: 'TRADE_CLOSED' });
  });

  it('that is past lets no cashier open and no QR code be made', async () => {
    const timeExpire = beijingTime(Date.now() - 1000);
    await expect(sandbox.control.open(shop.payUrl({ outTradeNo: no, timeExpire }))).rejects.toThrow(
      'EXPIRED',
    );
    expect(await shop.call(PRECREATE, shop.biz({ outTradeNo: no, timeExpire }, PRECREATE))).toMatchObject({
      subCode: 'ACQ.INVALID_PARAMETER',
    });
  });

  it.each([
    ['alipay.trade.create', { productCode: 'JSAPI_PAY', opAppId: DEFAULT_APP_ID, buyerId: BUYER.id }],
    ['alipay.trade.pay', { scene: 'bar_code', authCode: '280000000000000000' }],
  ])('that is past lets %s make no trade', async (method, more) => {
    const timeExpire = beijingTime(Date.now() - 1000);
    const asked = { outTradeNo: no, totalAmount: '12.30', subject: 'A book', timeExpire, ...more };
    expect(await shop.call(method, asked)).toMatchObject({
      subCode: 'ACQ.INVALID_PARAMETER',
      subMsg: expect.stringContaining('time_expire') as unknown,
    });
    expect(await sandbox.control.trade(no)).toBeNull();
  });
});

describe('alipay.trade.refund', () => {
  it('moves money once per request, adds up what was refunded, and closes the trade with the last fen', async () => {
    await shop.sell(no);
    const refund = (refundAmount: string, outRequestNo: string) =>
      shop.call(REFUND, { outTradeNo: no, refundAmount, outRequestNo });
    expect(await refund('2.30', 'r1')).toMatchObject({
      code: '10000',
      fundChange: 'Y',
      refundFee: '2.30',
      sendBackFee: '2.30',
    });
    expect(await refund('2.30', 'r1')).toMatchObject({ code: '10000', fundChange: 'N', sendBackFee: '0.00' });
    expect(await shop.call(QUERY, { outTradeNo: no })).toMatchObject({ tradeStatus: 'TRADE_SUCCESS' });
    expect(await refund('10.00', 'r2')).toMatchObject({ fundChange: 'Y', refundFee: '12.30' });
    expect(await shop.call(QUERY, { outTradeNo: no })).toMatchObject({ tradeStatus: 'TRADE_CLOSED' });
    expect(await sandbox.control.ledger()).toContainEqual(
      expect.objectContaining({ outTradeNo: no, paidFen: 1230, refundedFen: 1230, status: 'TRADE_CLOSED' }),
    );
  });

  it.each([
    ['not yet scanned', () => Promise.resolve(), 'ACQ.TRADE_NOT_EXIST'],
    ['not yet paid', () => sandbox.control.scan(no), 'ACQ.TRADE_STATUS_ERROR'],
    [
      'finished',
      () => sandbox.control.pay(no).then(() => sandbox.control.finish(no)),
      'ACQ.TRADE_HAS_FINISHED',
    ],
    [
      'closed unpaid',
      () => sandbox.control.scan(no).then(() => shop.call(CLOSE, { outTradeNo: no })),
      'ACQ.TRADE_HAS_CLOSE',
    ],
  ])('is refused for a trade that is %s', async (_state, act, subCode) => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: no }));
    await act();
    expect(
      await shop.call(REFUND, { outTradeNo: no, refundAmount: '12.30', outRequestNo: 'r1' }),
    ).toMatchObject({
      code: '40004',
      subCode,
    });
  });

  it.each([
    [{ refundAmount: '12.31', outRequestNo: 'r1' }, 'ACQ.REASON_TRADE_REFUND_FEE_ERR'],
    [{ refundAmount: '1.00' }, 'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL'],
    [{ refundAmount: '1.234', outRequestNo: 'r1' }, 'ACQ.INVALID_PARAMETER'],
    [{ refundAmount: '0', outRequestNo: 'r1' }, 'ACQ.INVALID_PARAMETER'],
  ])('of %j is refused', async (asked, subCode) => {
    await shop.sell(no);
    expect(await shop.call(REFUND, { outTradeNo: no, ...asked })).toMatchObject({ subCode });
  });

  it('asks for patience between two refunds of one trade where that is wished', async () => {
    await shop.sell(no);
    await sandbox.control.refunds({ spacingMs: 60_000 });
    await shop.call(REFUND, { outTradeNo: no, refundAmount: '1.00', outRequestNo: 'r1' });
    expect(
      await shop.call(REFUND, { outTradeNo: no, refundAmount: '1.00', outRequestNo: 'r2' }),
    ).toMatchObject({
      subCode: 'ACQ.SYSTEM_ERROR',
    });
    await sandbox.control.refunds({ spacingMs: 0 });
  });
});

describe('alipay.trade.fastpay.refund.query', () => {
  it('proves a refund, and says nothing of one that never was', async () => {
    await shop.sell(no);
    await shop.call(REFUND, { outTradeNo: no, refundAmount: '2.30', outRequestNo: 'r1' });
    expect(await shop.call(REFUND_QUERY, { outTradeNo: no, outRequestNo: 'r1' })).toMatchObject({
      code: '10000',
      refundStatus: 'REFUND_SUCCESS',
      refundAmount: '2.30',
      totalAmount: '12.30',
    });
    const unknown = await shop.call(REFUND_QUERY, { outTradeNo: no, outRequestNo: 'r9' });
    expect(unknown).toMatchObject({ code: '10000' });
    expect(unknown).not.toHaveProperty('refundStatus');
  });

  it('tells when the money went back only where that is asked for', async () => {
    await shop.sell(no);
    await shop.call(REFUND, { outTradeNo: no, refundAmount: '2.30', outRequestNo: 'r1' });
    const ids = { outTradeNo: no, outRequestNo: 'r1' };
    expect(await shop.call(REFUND_QUERY, ids)).not.toHaveProperty('gmtRefundPay');
    const queryOptions = ['gmt_refund_pay'];
    expect(await shop.sdk.exec(REFUND_QUERY, { bizContent: { ...ids, queryOptions } })).toHaveProperty(
      'gmtRefundPay',
      expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    );
  });

  it('finds a whole refund made without a request number under the order number', async () => {
    await shop.sell(no);
    await shop.call(REFUND, { outTradeNo: no, refundAmount: '12.30' });
    expect(await shop.call(REFUND_QUERY, { outTradeNo: no, outRequestNo: no })).toMatchObject({
      refundStatus: 'REFUND_SUCCESS',
    });
    const tradeNo = (await sandbox.control.trade(no))?.tradeNo ?? '';
    expect(await shop.call(REFUND_QUERY, { outTradeNo: no, outRequestNo: tradeNo })).not.toHaveProperty(
      'refundStatus',
    );
  });

  it('may see a refund late', async () => {
    await shop.sell(no);
    await sandbox.control.refunds({ visibleAfterMs: 60_000 });
    await shop.call(REFUND, { outTradeNo: no, refundAmount: '2.30', outRequestNo: 'r1' });
    const late = () => shop.call(REFUND_QUERY, { outTradeNo: no, outRequestNo: 'r1' });
    expect(await late()).not.toHaveProperty('refundStatus');
    await sandbox.control.refunds({ visibleAfterMs: 0 });
    expect(await late()).toHaveProperty('refundStatus', 'REFUND_SUCCESS');
  });
});

describe('alipay.trade.precreate', () => {
  it('gives a QR code whose page can be paid, and the same one when asked again', async () => {
    const first = await shop.call(PRECREATE, shop.biz({ outTradeNo: no }, PRECREATE));
    const second = await shop.call(PRECREATE, shop.biz({ outTradeNo: no }, PRECREATE));
    expect(first).toMatchObject({ code: '10000', outTradeNo: no });
    expect(second['qrCode']).toBe(first['qrCode']);
    expect(await sandbox.control.open(String(first['qrCode']))).toBe(no);
    expect(await shop.call(QUERY, { outTradeNo: no })).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
    expect(await sandbox.control.pay(no)).toMatchObject({ status: 'TRADE_SUCCESS', product: 'precreate' });
  });

  it('is refused with another amount, and after the payment', async () => {
    const ask = (totalAmount: string) =>
      shop.call(PRECREATE, shop.biz({ outTradeNo: no, totalAmount }, PRECREATE));
    await ask('12.30');
    expect(await ask('12.31')).toMatchObject({ subCode: 'ACQ.CONTEXT_INCONSISTENT' });
    await sandbox.control.pay(no);
    expect(await ask('12.30')).toMatchObject({ subCode: 'ACQ.TRADE_HAS_SUCCESS' });
  });
});

describe('a pay request', () => {
  it.each(['0.01', '1', '1.5', '100000000.00'])('for %s yuan is taken', async (totalAmount) => {
    await expect(sandbox.control.open(shop.payUrl({ outTradeNo: no, totalAmount }))).resolves.toBe(no);
  });

  it('opens from the POST form of the official SDK as well', async () => {
    const bizContent = shop.biz({ outTradeNo: no, subject: 'A "quoted" book 书' });
    const form = shop.sdk.pageExecute('alipay.trade.page.pay', 'POST', {
      bizContent,
      notifyUrl: shop.notifyUrl,
    });
    expect(await sandbox.control.open(form)).toBe(no);
    expect(await sandbox.control.pay(no)).toMatchObject({ subject: 'A "quoted" book 书' });
  });

  it('opens from the POST form of the SDKs for Java and Python, which begins otherwise', async () => {
    const form = shop.sdk.pageExecute('alipay.trade.page.pay', 'POST', {
      bizContent: shop.biz({ outTradeNo: no }),
    });
    const [, method, rest] = /\?(method=[^&]+)&([^"]+)"/.exec(form) ?? [];
    const [, inputs] = /(<input [^]*>)\s*<\/form>/.exec(form) ?? [];
    const action = `${sandbox.gateway}?${rest}&${method}`;
    expect(
      await sandbox.control.open(
        `<form name="punchout_form" method="post" action="${action}">\n${inputs}\n</form>`,
      ),
    ).toBe(no);
  });

  it.each<[whose: string, quote: string, escapes: Record<string, string>]>([
    ["Alipay's SDK for PHP", "'", { "'": '&apos;' }],
    [
      'a template that escapes everything',
      '"',
      { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' },
    ],
    ['a template of PHP', "'", { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#039;' }],
  ])('opens from the POST form of %s', async (_whose, quote, escapes) => {
    const asked = { outTradeNo: no, subject: `Anna's <"new"> book`, body: 'tea & cake' };
    const url = new URL(shop.payUrl(asked));
    const quoted = (text: string) =>
      quote + text.replace(/[&<>"']/g, (character) => escapes[character] ?? character) + quote;
    const { charset = '', method = '', ...fields } = Object.fromEntries(url.searchParams);
    const inputs = Object.entries(fields).map(
      ([name, value]) => `<input type=${quote}hidden${quote} name=${quoted(name)} value=${quoted(value)}/>`,
    );
    const action = quoted(`${sandbox.gateway}?charset=${charset}&method=${method}`);
    const form = `<form id=${quote}alipaysubmit${quote} action=${action} method=${quote}POST${quote}>${inputs.join('')}</form>`;
    expect(await sandbox.control.open(form)).toBe(no);
    expect(await sandbox.control.pay(form)).toMatchObject({ subject: asked.subject });
  });

  it('that was tampered with does not open', async () => {
    const url = shop.payUrl({ outTradeNo: no }).replace('12.30', '00.01');
    await expect(sandbox.control.open(url)).rejects.toThrow('isv.invalid-signature');
  });
});

describe('the wire', () => {
  const stranger = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

  it('answers HTTP 200 as text/html, compact, node first, the slash escaped, signed over the exact bytes', async () => {
    const response = await shop.raw(PRECREATE, shop.biz({ outTradeNo: no }, PRECREATE));
    const body = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html;charset=utf-8');
    expect(response.headers.get('trace_id')).toMatch(/^[0-9a-f]{32}$/);
    const [, node = '', sign = ''] =
      /^\{"alipay_trade_precreate_response":(\{.*\}),"sign":"([^"]+)"\}$/.exec(body) ?? [];
    expect(node).toContain('http:\\/\\/127.0.0.1');
    expect(shop.sdk.rsaCheck(node, sign)).toBe(true);
  });

  it('checks the application before the signature, and answers unsigned', async () => {
    const foreign = new AlipaySdk({ ...config(), appId: '2021999999999999', privateKey: pem(stranger()) });
    const answer = await (await fetch(urlOf(foreign))).json();
    expect(answer).toEqual({
      alipay_trade_query_response: expect.objectContaining({ code: '40002', sub_code: 'isv.invalid-app-id' }),
    });
  });

  it('answers a wrong signature signed, echoing the escaped string that it checked', async () => {
    const forged = new AlipaySdk({ ...config(), privateKey: pem(stranger()) });
    const answer = await forged.exec(QUERY, { bizContent: { outTradeNo: no } }, { validateSign: true });
    expect(answer).toMatchObject({ code: '40002', subCode: 'isv.invalid-signature' });
    expect(String(answer['subMsg'])).toContain(`app_id=${sandbox.appId}&amp;biz_content={&quot;out_trade_no`);
  });

  it('takes all parameters in the query, all in the body, or the absolute form of the target', async () => {
    const signed = shop.sdk.sdkExecute(QUERY, { bizContent: { outTradeNo: no } });
    const { hostname, port } = new URL(sandbox.url);
    const absolute = new Promise<string>((resolve, reject) => {
      const path = `${sandbox.gateway}?${signed}`;
      httpRequest(
        { hostname, port, path },
        (response) => void readText(response).then(resolve, reject),
      ).end();
    });
    const bodies = [
      await (await fetch(`${sandbox.gateway}?${signed}`)).text(),
      await (await fetch(`${sandbox.gateway}?${signed}`, { method: 'POST' })).text(),
      await (await fetch(sandbox.gateway, { method: 'POST', body: new URLSearchParams(signed) })).text(),
      await absolute,
    ];
    for (const body of bodies) expect(body).toContain('ACQ.TRADE_NOT_EXIST');
  });

  it('drops empty parameters before it checks: who signed them is refused', async () => {
    const answer = await (await shop.raw(QUERY, { outTradeNo: no }, { notifyUrl: '' })).json();
    expect(answer).toHaveProperty('alipay_trade_query_response.sub_code', 'isv.invalid-signature');
  });

  it('takes a request in GBK, signed over its GBK bytes, and answers in GBK, signed over those bytes', async () => {
    const latin1 = (text: string) => Buffer.from(text, 'latin1');
    const biz = Buffer.concat([
      latin1(`{"out_trade_no":"${no}","operator_id":"`),
      Buffer.from('cae9', 'hex'),
      latin1('"}'),
    ]);
    const head = {
      app_id: sandbox.appId,
      charset: 'GBK',
      method: QUERY,
      sign_type: 'RSA2',
      timestamp: beijingTime(0),
      version: '1.0',
    };
    const before = latin1(`app_id=${head.app_id}&biz_content=`);
    const after = latin1(
      `&charset=GBK&method=${QUERY}&sign_type=RSA2&timestamp=${head.timestamp}&version=1.0`,
    );
    const sign = createSign('RSA-SHA256')
      .update(Buffer.concat([before, biz, after]))
      .sign(sandbox.appPrivateKey, 'base64');
    const escaped = biz.toString('hex').replace(/../g, '%$&');
    const response = await fetch(
      `${sandbox.gateway}?${new URLSearchParams({ ...head, sign }).toString()}&biz_content=${escaped}`,
    );
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(response.headers.get('content-type')).toBe('text/html;charset=GBK');
    const answer = JSON.parse(new TextDecoder('gbk').decode(bytes)) as { sign: string };
    expect(answer).toHaveProperty('alipay_trade_query_response.sub_msg', '交易不存在');
    const latin = bytes.toString('latin1');
    const node = Buffer.from(latin.slice(latin.indexOf(':') + 1, latin.indexOf(',"sign"')), 'latin1');
    expect(verify('RSA-SHA256', node, sandbox.alipayPublicKey, Buffer.from(answer.sign, 'base64'))).toBe(
      true,
    );
    expect((await sandbox.control.journal()).at(-1)).toMatchObject({ bizContent: { operator_id: '书' } });
  });

  it('takes the old RSA as well', async () => {
    const old = new AlipaySdk({ ...config(), signType: 'RSA' });
    const answer = await old.exec(QUERY, { bizContent: { outTradeNo: no } }, { validateSign: true });
    expect(answer).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
  });

  const pem = (key: ReturnType<typeof stranger>) => key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const config = () => ({
    appId: sandbox.appId,
    privateKey: sandbox.appPrivateKey,
    keyType: 'PKCS8' as const,
    alipayPublicKey: sandbox.alipayPublicKey,
    gateway: sandbox.gateway,
  });
  const urlOf = (sdk: AlipaySdk) =>
    `${sandbox.gateway}?${sdk.sdkExecute(QUERY, { bizContent: { outTradeNo: no } })}`;
});

describe('the journal', () => {
  it('holds every call with its question and its answer, newest last', async () => {
    await sandbox.control.clearJournal();
    await shop.sell(no);
    await shop.call(QUERY, { outTradeNo: no });
    expect(await sandbox.control.journal()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: 'buyer', action: 'open', outTradeNo: no }),
        expect.objectContaining({ kind: 'buyer', action: 'pay', outTradeNo: no }),
        expect.objectContaining({
          kind: 'call',
          method: QUERY,
          outTradeNo: no,
          bizContent: { out_trade_no: no },
          code: '10000',
          httpStatus: 200,
        }),
      ]),
    );
  });

  it('forgets the oldest first, never the newest', async () => {
    const small = await startSandbox({ journalLimit: 3 });
    const smallShop = await Shop.open(small);
    for (let index = 0; index < 8; index += 1) await smallShop.call(QUERY, { outTradeNo: `J${index}` });
    const kept = (await small.control.journal()).map((entry) =>
      'outTradeNo' in entry ? entry.outTradeNo : '',
    );
    expect(kept).toEqual(['J5', 'J6', 'J7']);
    await small.close();
    await smallShop.close();
  });
});
