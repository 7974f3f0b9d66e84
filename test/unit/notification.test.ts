import { createSign, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { AlipaySdk } from 'alipay-sdk';
import {
  meaningOf,
  parseNotification,
  readNotification,
  verifiesNotification,
} from '../../activities/alipay/notification';

const pair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
const alipay = pair();
const ours = pair();
const sdk = new AlipaySdk({
  appId: '2021000000000000',
  privateKey: ours.privateKey,
  alipayPublicKey: alipay.publicKey,
});

const FIELDS: Record<string, string> = {
  notify_time: '2026-11-24 12:00:00',
  notify_type: 'trade_status_sync',
  notify_id: 'n1',
  charset: 'utf-8',
  version: '1.0',
  app_id: '2021000000000000',
  out_trade_no: 'T1',
  trade_no: '2026112422001',
  trade_status: 'TRADE_SUCCESS',
  total_amount: '12.30',
  gmt_payment: '2026-11-24 11:59:59',
  fund_bill_list: '[{"amount":"12.30","fundChannel":"ALIPAYACCOUNT"}]',
  subject: '一壶茶 100% + tea',
};

/** Signs as Alipay does; `signed` are the fields that the signature covers. */
function sign(
  fields: Record<string, string>,
  { by = alipay.privateKey, digest = 'RSA-SHA256', signed = fields, signType = 'RSA2' } = {},
): Record<string, string> {
  const text = Object.keys(signed)
    .sort()
    .map((key) => `${key}=${signed[key] ?? ''}`)
    .join('&');
  const signature = createSign(digest).update(text, 'utf8').sign(by, 'base64');
  return { ...fields, sign_type: signType, sign: signature };
}

const verifies = (fields: Record<string, string>) => verifiesNotification(sdk, fields);

describe('a signature', () => {
  it('of Alipay is believed, over the form as it comes, decoded once', () => {
    const body = new URLSearchParams(sign(FIELDS)).toString();
    const fields = parseNotification(body);
    expect(fields).toBeDefined();
    expect(verifies(fields ?? {})).toBe(true);
  });

  it('covers values that hold percent signs, encoded parameters and pluses', () => {
    const fields = parseNotification(
      new URLSearchParams(sign({ ...FIELDS, passback_params: 'a%3D1%26b%3D100%', body: '50%+1' })).toString(),
    );
    expect(verifies(fields ?? {})).toBe(true);
    expect(fields?.['passback_params']).toBe('a%3D1%26b%3D100%');
  });

  it.each([
    ['with the empty values in what is signed', { ...FIELDS, body: '' }],
    ['without them', FIELDS],
  ])('is believed %s', (_, signed) => {
    expect(verifies(sign({ ...FIELDS, body: '' }, { signed }))).toBe(true);
  });

  it.each(Object.keys(FIELDS))('does not survive another %s', (name) => {
    expect(verifies({ ...sign(FIELDS), [name]: 'another' })).toBe(false);
  });

  it('does not survive a field more or less', () => {
    const { trade_no: gone, ...less } = sign(FIELDS);
    expect(gone).toBeDefined();
    expect(verifies(less)).toBe(false);
    expect(verifies({ ...sign(FIELDS), refund_fee: '12.30' })).toBe(false);
  });

  it('of anybody else is refused, our own application included', () => {
    expect(verifies(sign(FIELDS, { by: ours.privateKey }))).toBe(false);
    expect(verifies(sign(FIELDS, { by: pair().privateKey }))).toBe(false);
  });

  it.each(['RSA', 'rsa2', 'HMAC', '', 'toString'])(
    'named %j is refused: the message cannot choose',
    (signType) => {
      expect(verifies(sign(FIELDS, { signType }))).toBe(false);
      expect(verifies(sign(FIELDS, { signType, digest: 'RSA-SHA1' }))).toBe(false);
    },
  );

  it('that is missing, empty or no base64 is refused', () => {
    expect(verifies({ ...FIELDS, sign_type: 'RSA2' })).toBe(false);
    expect(verifies({ ...FIELDS, sign_type: 'RSA2', sign: '' })).toBe(false);
    expect(verifies({ ...FIELDS, sign_type: 'RSA2', sign: '%%%' })).toBe(false);
    const { sign_type: gone, ...untyped } = sign(FIELDS);
    expect(gone).toBe('RSA2');
    expect(verifies(untyped)).toBe(false);
  });
});

describe('a form', () => {
  it.each([
    ['a key that stands twice', 'a=1&b=2&a=1'],
    ['a key that stands twice, once encoded', 'out_trade_no=1&out%5Ftrade_no=2'],
  ])('with %s cannot be read', (_, body) => {
    expect(parseNotification(body)).toBeUndefined();
  });

  it.each([
    ['a list', { out_trade_no: ['1', '2'] }],
    ['an object', { out_trade_no: { $ne: '' } }],
    ['a number', { total_amount: 12.3 }],
    ['null', { total_amount: null }],
  ])('that was parsed to %s cannot be read', (_, body) => {
    expect(parseNotification(body)).toBeUndefined();
  });

  it('has no fields but its own', () => {
    const fields = parseNotification('__proto__=x&constructor=y') ?? {};
    expect(Object.keys(fields)).toEqual(['__proto__', 'constructor']);
    expect(parseNotification('')).toEqual(Object.create(null));
    expect(verifies(parseNotification('') ?? {})).toBe(false);
  });
});

describe('what it says', () => {
  it("is read by Alipay's names, times from Beijing", () => {
    expect(readNotification({ ...FIELDS, refund_fee: '2.30' })).toEqual({
      notifyId: 'n1',
      outTradeNo: 'T1',
      tradeNo: '2026112422001',
      tradeStatus: 'TRADE_SUCCESS',
      totalAmount: '12.30',
      refundedAmount: '2.30',
      paidAt: new Date('2026-11-24T03:59:59Z'),
    });
  });

  it('empty fields count as absent', () => {
    expect(
      readNotification({ ...FIELDS, trade_no: '', refund_fee: '', gmt_payment: '', notify_id: '' }),
    ).toMatchObject({ tradeNo: null, refundedAmount: undefined, paidAt: null, notifyId: '' });
  });

  it.each([
    ['TRADE_SUCCESS', 'paid'],
    ['TRADE_FINISHED', 'paid'],
    ['TRADE_CLOSED', 'closed'],
    ['WAIT_BUYER_PAY', 'nothing'],
    ['trade_success', 'nothing'],
    ['', 'nothing'],
  ])('%j means %s', (tradeStatus, meaning) => {
    expect(meaningOf({ tradeStatus })).toBe(meaning);
  });
});
