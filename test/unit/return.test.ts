import { createSign } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { readReturn } from '../../activities/alipay/return';
import { parseCheckoutInput } from '../../client/input';
import { alipay, pair, verifier } from '../support/verifying';

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
  { by = alipay.privateKey, own = [] }: { by?: string; own?: [string, string][] } = {},
): string {
  const fields: Record<string, string> = { ...FIELDS, ...changes };
  const names = Object.keys(fields).sort();
  const signed = names.map((name) => `${name}=${fields[name]}`).join('&');
  const sign = createSign('RSA-SHA256').update(signed).sign(by, 'base64');
  return new URLSearchParams([...own, ...Object.entries({ ...fields, sign_type: 'RSA2', sign })]).toString();
}

const read = (query: string): string | undefined => readReturn([verifier], query);

describe('the address that a buyer returns to', () => {
  it('names its payment, where Alipay has signed it', () => {
    expect(read(returning())).toBe('T1');
  });

  it("may hold the shop's own parameters, which Alipay does not sign", () => {
    const own: [string, string][] = [
      ['lang', 'zh'],
      ['order-id', 'A-1'],
      ['order[id]', '1'],
      ['utm.source', 'alipay'],
      ['tag', 'a'],
      ['tag', 'b'],
    ];
    expect(read(returning({}, { own }))).toBe('T1');
    expect(read(`${returning()}&order-id=A-1&tag=a&tag=b&&=`)).toBe('T1');
  });

  it.each([
    ['that somebody else has signed', returning({}, { by: pair().privateKey })],
    ['whose payment was exchanged', returning().replace('out_trade_no=T1', 'out_trade_no=T2')],
    ['of another application', returning({ app_id: '2021000000000009' })],
    ['of another seller', returning({ seller_id: '2088000000000009' })],
    ['that names no payment', returning({ out_trade_no: '' })],
    ['without a query', ''],
    ['that names a parameter twice', `${returning()}&out_trade_no=T2`],
    ['that names one twice, encoded', `out%5Ftrade_no=T2&${returning()}`],
    ["that has the shop's parameters only", 'order-id=A-1'],
  ])('%s names none', (_what, query) => {
    expect(read(query)).toBeUndefined();
  });
});

describe('the address that a checkout gives', () => {
  const checkout = { orderId: 'A-1', subject: 'A pot of tea', totalAmount: '12.30' };

  it('may have parameters of any other names than those that Alipay adds', () => {
    const returnUrl = 'https://shop.example/back?order-id=A-1&order[id]=1&tag=a&tag=b';
    expect(parseCheckoutInput({ ...checkout, returnUrl })).toMatchObject({ returnUrl });
  });

  it.each(['method=fast', 'lang=zh&timestamp=1', 'out%5Ftrade_no=T1', 'sign'])(
    'is refused with ?%s: nobody could tell that from what Alipay adds',
    (query) => {
      expect(() => parseCheckoutInput({ ...checkout, returnUrl: `https://shop.example/?${query}` })).toThrow(
        expect.objectContaining({ code: 'INVALID_INPUT' }),
      );
    },
  );
});
