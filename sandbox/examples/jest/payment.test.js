'use strict';

const { AlipaySdk } = require('alipay-sdk');
const { startSandbox } = require('alipay-sandbox');

let sandbox;
let sdk;

beforeAll(async () => {
  sandbox = await startSandbox();
  sdk = new AlipaySdk({
    appId: sandbox.appId,
    gateway: sandbox.gateway,
    privateKey: sandbox.setup.appPrivateKey.pkcs1,
    alipayPublicKey: sandbox.alipayPublicKey,
  });
});
afterAll(() => sandbox.close());
beforeEach(() => sandbox.control.reset());

const query = (outTradeNo) =>
  sdk.exec('alipay.trade.query', { bizContent: { outTradeNo } }, { validateSign: true });

test('a buyer pays', async () => {
  const url = sdk.pageExecute('alipay.trade.page.pay', 'GET', {
    bizContent: {
      outTradeNo: 'A1',
      totalAmount: '8.88',
      subject: '龙井茶',
      productCode: 'FAST_INSTANT_TRADE_PAY',
    },
  });
  expect(await query('A1')).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
  await sandbox.control.pay(url);
  expect(await query('A1')).toMatchObject({ tradeStatus: 'TRADE_SUCCESS', totalAmount: '8.88' });
});

test('an answer that cannot be believed is refused', async () => {
  await sandbox.control.seed({ orders: [{ outTradeNo: 'A1', totalAmount: '8.88' }] });
  await sandbox.control.fault({ mode: 'bad-signature', method: 'alipay.trade.query', times: 1 });
  await expect(query('A1')).rejects.toThrow('验签失败');
  expect(await query('A1')).toMatchObject({ tradeStatus: 'TRADE_SUCCESS' });
});
