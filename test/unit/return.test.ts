import { createSign, generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { AlipayKeys } from '../../activities/alipay/key';
import { readReturn } from '../../activities/alipay/return';

const pair = () =>
  generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
const alipay = pair();
const verifier = {
  merchant: 'A/1',
  appId: '2021000000000000',
  sellerId: '2088000000000000',
  keys: new AlipayKeys({ publicKey: alipay.publicKey }),
};

const FIELDS = {
  app_id: verifier.appId,
  auth_app_id: verifier.appId,
  charset: 'utf-8',
  method: 'alipay.trade.page.pay.return',
  out_trade_no: 'T1',
  seller_id: verifier.sellerId,
  timestamp: '2026-11-24 12:00:00',
  total_amount: '12.30',
  trade_no: '2026112422001',
  version: '1.0',
};

/** The query of a return URL; `own`: the shop's parameters in it, which Alipay does not sign. */
function returning(
  changes: Partial<typeof FIELDS> = {},
  { by = alipay.privateKey, own = {} }: { by?: string; own?: Record<string, string> } = {},
): string {
  const fields: Record<string, string> = { ...FIELDS, ...changes };
  const names = Object.keys(fields).sort();
  const signed = names.map((name) => `${name}=${fields[name]}`).join('&');
  const sign = createSign('RSA-SHA256').update(signed).sign(by, 'base64');
  return new URLSearchParams({ ...own, ...fields, sign_type: 'RSA2', sign }).toString();
}

const read = (query: string): string | undefined => readReturn([verifier], query);

describe('the address that a buyer returns to', () => {
  it('names its payment, where Alipay has signed it', () => {
    expect(read(returning())).toBe('T1');
  });

  it("may hold the shop's own parameters, which Alipay does not sign", () => {
    expect(read(returning({}, { own: { lang: 'zh', order: 'A-1' } }))).toBe('T1');
  });

  it.each([
    ['that somebody else has signed', returning({}, { by: pair().privateKey })],
    ['whose payment was exchanged', returning().replace('out_trade_no=T1', 'out_trade_no=T2')],
    ['of another application', returning({ app_id: '2021000000000009' })],
    ['of another seller', returning({ seller_id: '2088000000000009' })],
    ['that names no payment', returning({ out_trade_no: '' })],
    ['without a query', ''],
    ['that names a parameter twice', `${returning()}&out_trade_no=T2`],
  ])('%s names none', (_what, query) => {
    expect(read(query)).toBeUndefined();
  });
});
