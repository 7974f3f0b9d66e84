import { createHash, createPublicKey, createSign, createVerify } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { pino } from 'pino';
import { readEvidence } from '../../activities/evidence';
import { AlipayKeys } from '../../activities/alipay/key';
import type { NotificationBody } from '../../activities/alipay/notification';
import {
  MAX_BYTES,
  NOTIFICATION_FAULTS,
  meaningOf,
  notificationOf,
  readNotification,
} from '../../activities/alipay/notification';
import { readSignedFields } from '../../activities/alipay/signed-body';
import type { NotificationDependencies } from '../../client/notifications';
import { handleNotification } from '../../client/notifications';
import type { Observer } from '../../client/observer';
import { alipay, pair, verifier } from '../support/verifying';

const ours = pair();

type Fields = Record<string, string>;

const FIELDS: Fields = {
  notify_time: '2026-11-24 12:00:00',
  notify_type: 'trade_status_sync',
  notify_id: 'n1',
  charset: 'utf-8',
  version: '1.0',
  app_id: verifier.appId,
  seller_id: verifier.sellerId,
  out_trade_no: 'T1',
  trade_no: '2026112422001',
  trade_status: 'TRADE_SUCCESS',
  total_amount: '12.30',
  gmt_payment: '2026-11-24 11:59:59',
  fund_bill_list: '[{"amount":"12.30","fundChannel":"ALIPAYACCOUNT"}]',
  subject: '一壶茶 100% + tea',
};

const canonical = (fields: Fields): string =>
  Object.keys(fields)
    .sort()
    .map((key) => `${key}=${fields[key] ?? ''}`)
    .join('&');

/** Signs as Alipay does; `signed` are the fields that the signature covers. */
function sign(
  fields: Fields,
  {
    by = alipay.privateKey,
    digest = 'RSA-SHA256',
    signed = fields,
    signType = 'RSA2',
    encoding = 'utf8',
  }: { by?: string; digest?: string; signed?: Fields; signType?: string; encoding?: BufferEncoding } = {},
): Fields {
  const bytes = Buffer.from(canonical(signed), encoding);
  return { ...fields, sign_type: signType, sign: createSign(digest).update(bytes).sign(by, 'base64') };
}

const formOf = (fields: Fields): Buffer => Buffer.from(new URLSearchParams(fields).toString());

/** `genuine`, or the code of the refusal. */
function verdict(body: NotificationBody): string {
  const read = readNotification([verifier], body);
  return read.kind === 'refused' ? read.code : read.kind;
}

function genuine(body: NotificationBody) {
  const read = readNotification([verifier], body);
  if (read.kind !== 'genuine') throw new Error(JSON.stringify(read));
  return { ...read, fields: readSignedFields('notification', read.signed.bytes, read.signed.charset) };
}

describe('a signature', () => {
  it('of Alipay is believed, over the form as it comes, decoded once', () => {
    expect(genuine(formOf(sign(FIELDS))).fields).toEqual(FIELDS);
  });

  it('is believed in bytes, as a string and as parsed fields, and says the same in each', () => {
    const form = formOf(sign(FIELDS));
    expect(genuine(form.toString())).toEqual(genuine(form));
    expect(genuine(sign(FIELDS))).toEqual(genuine(form));
  });

  it('covers values that hold percent signs, encoded parameters and pluses', () => {
    const fields = { ...FIELDS, passback_params: 'a%3D1%26b%3D100%', body: '50%+1 & more' };
    expect(genuine(formOf(sign(fields))).fields).toEqual(fields);
  });

  it.each([
    ['with the empty values in what is signed', { ...FIELDS, body: '' }],
    ['without them', FIELDS],
  ])('is believed %s', (_, signed) => {
    const read = genuine(formOf(sign({ ...FIELDS, body: '' }, { signed })));
    expect(read.signed.bytes.toString()).toBe(canonical(signed));
  });

  it.each(Object.keys(FIELDS).filter((name) => name !== 'charset'))('does not survive another %s', (name) => {
    expect(verdict(formOf({ ...sign(FIELDS), [name]: 'another' }))).toBe('NOTIFICATION_FORGED');
  });

  it('does not survive a field more or less', () => {
    const { trade_no: gone, ...less } = sign(FIELDS);
    expect(gone).toBeDefined();
    expect(verdict(formOf(less))).toBe('NOTIFICATION_FORGED');
    expect(verdict(formOf({ ...sign(FIELDS), refund_fee: '12.30' }))).toBe('NOTIFICATION_FORGED');
  });

  it('of anybody else is refused, our own application included', () => {
    expect(verdict(formOf(sign(FIELDS, { by: ours.privateKey })))).toBe('NOTIFICATION_FORGED');
    expect(verdict(formOf(sign(FIELDS, { by: pair().privateKey })))).toBe('NOTIFICATION_FORGED');
  });

  it.each(['RSA', 'rsa2', 'HMAC', '', 'toString'])(
    'named %j is refused: the message cannot choose',
    (signType) => {
      expect(verdict(formOf(sign(FIELDS, { signType })))).toBe('NOTIFICATION_FORGED');
      expect(verdict(formOf(sign(FIELDS, { signType, digest: 'RSA-SHA1' })))).toBe('NOTIFICATION_FORGED');
    },
  );

  it('that is missing, empty or no base64 is refused', () => {
    const { sign_type: gone, ...untyped } = sign(FIELDS);
    expect(gone).toBe('RSA2');
    for (const fields of [
      { ...FIELDS, sign_type: 'RSA2' },
      { ...FIELDS, sign_type: 'RSA2', sign: '' },
      { ...FIELDS, sign_type: 'RSA2', sign: '%%%' },
      untyped,
    ])
      expect(verdict(formOf(fields))).toBe('NOTIFICATION_FORGED');
  });
});

describe('one that leaves out whom it is for', () => {
  const without = (name: string): Buffer => {
    const { [name]: _gone, ...fields } = FIELDS;
    return formOf(sign(fields));
  };

  it('is refused, where that is the application', () => {
    expect(verdict(without('app_id'))).toBe('NOTIFICATION_OF_ANOTHER_APP');
  });

  it('is refused, where that is the seller', () => {
    expect(readNotification([verifier], without('seller_id'))).toEqual({
      ...{ kind: 'refused', code: 'NOTIFICATION_OF_ANOTHER_SELLER', outTradeNo: 'T1' },
      merchant: verifier.merchant,
      paidTo: { merchant: verifier.merchant, sellerId: '' },
    });
  });

  it('is refused, where there is no merchant at all', () => {
    expect(readNotification([], formOf(sign(FIELDS)))).toMatchObject({ code: 'NOTIFICATION_FORGED' });
  });

  it('is forged, not of an unknown certificate, where it names one and the merchant has a key alone', () => {
    const named = { ...sign(FIELDS, { by: ours.privateKey }), alipay_cert_sn: 'a1' };
    expect(verdict(formOf(named))).toBe('NOTIFICATION_FORGED');
  });
});

describe("Alipay's keys", () => {
  it('are a public key or certificates: there is no verifying without', () => {
    expect(() => new AlipayKeys({})).toThrow(TypeError);
  });
});

describe('what a genuine one proves', () => {
  it('is the signed bytes, their signature, and the key that made it', () => {
    const fields = sign(FIELDS);
    const { signed } = genuine(formOf(fields));
    const der = createPublicKey(alipay.publicKey).export({ type: 'spki', format: 'der' });
    expect(signed).toEqual({
      bytes: Buffer.from(canonical(FIELDS)),
      signature: fields['sign'],
      charset: 'utf-8',
      keyFingerprint: createHash('sha256').update(der).digest('hex'),
    });
    const judge = createVerify('RSA-SHA256').update(signed.bytes);
    expect(judge.verify(alipay.publicKey, signed.signature, 'base64')).toBe(true);
  });

  it("is read by Alipay's names, times from Beijing", () => {
    const { notification } = genuine(formOf(sign({ ...FIELDS, refund_fee: '2.30' })));
    expect(notification).toEqual({
      notifyId: 'n1',
      outTradeNo: 'T1',
      tradeNo: '2026112422001',
      tradeStatus: 'TRADE_SUCCESS',
      totalAmount: '12.30',
      refundedAmount: '2.30',
      paidAt: new Date('2026-11-24T03:59:59Z'),
    });
  });

  it('says nothing where it has no fields, and as evidence nothing while the buyer may still pay', () => {
    expect(notificationOf({})).toEqual({
      ...{ notifyId: '', outTradeNo: '', tradeNo: null, tradeStatus: '', totalAmount: '' },
      ...{ refundedAmount: undefined, paidAt: null },
    });
    const bytes = Buffer.from(canonical({ ...FIELDS, trade_status: 'WAIT_BUYER_PAY' }));
    const evidence = { id: '1', kind: 'notification', bytes, charset: 'utf-8', askedBy: null } as const;
    expect(readEvidence(evidence)).toEqual({ kind: 'nothing' });
  });

  it('counts empty fields as absent', () => {
    expect(
      notificationOf({ ...FIELDS, trade_no: '', refund_fee: '', gmt_payment: '', notify_id: '' }),
    ).toMatchObject({ tradeNo: null, refundedAmount: undefined, paidAt: null, notifyId: '' });
  });

  it('can be stored where NUL and lone surrogates cannot', () => {
    expect(genuine(formOf(sign({ ...FIELDS, subject: 'a\0b' }))).fields['subject']).toBe('a\ufffdb');
    const answer = Buffer.from(
      '{"a":"\\ud800 \\u0000 \\ud83c\\udf75","b":1.5,"c":true,"d":null,"e":[1],"f":{}}',
    );
    expect(readSignedFields('answer', answer, 'utf-8')).toEqual({
      a: '\ufffd \ufffd 🍵',
      b: '1.5',
      c: 'true',
    });
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

describe('a charset', () => {
  /** 龙井茶誠; the last byte of 誠 is a backslash. */
  const TEA = Buffer.from('c1fabeaeb2e8d55c', 'hex').toString('latin1');
  const inGbk = sign({ ...FIELDS, charset: 'GBK', subject: TEA }, { encoding: 'latin1' });
  const percentEncoded = (fields: Fields): Buffer =>
    Buffer.from(
      Object.entries(fields)
        .map(([name, value]) => `${name}=${escape(value)}`)
        .join('&')
        .replaceAll('+', '%2B'),
    );
  /** Escapes Latin-1 characters, each one a byte. */
  const escape = (value: string): string =>
    value.replace(/[^A-Za-z0-9_.+-]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

  it('GBK: a Chinese subject, signed over its GBK bytes, is believed and read', () => {
    const { fields, signed } = genuine(percentEncoded(inGbk));
    expect(fields['subject']).toBe('龙井茶誠');
    expect(fields['total_amount']).toBe('12.30');
    expect(signed.charset).toBe('gb18030');
    expect(signed.bytes.toString('latin1')).toContain(`subject=${TEA}&`);
  });

  it('GBK signed over other bytes than those that came is refused', () => {
    expect(verdict(percentEncoded({ ...inGbk, subject: TEA.slice(2) }))).toBe('NOTIFICATION_FORGED');
    expect(verdict(formOf({ ...inGbk, subject: '龙井茶誠' }))).toBe('NOTIFICATION_FORGED');
  });

  it.each(['utf-8', 'UTF-8', 'utf8', 'gbk', 'GB2312', 'gb18030'])('named %s is read', (charset) => {
    expect(verdict(formOf(sign({ ...FIELDS, charset, subject: 'tea' })))).toBe('genuine');
  });

  it('that is missing is UTF-8', () => {
    const { charset: _gone, ...fields } = FIELDS;
    expect(genuine(formOf(sign(fields))).fields['subject']).toBe(FIELDS['subject']);
  });

  it.each(['utf-16le', 'big5', 'latin1', 'toString', '__proto__'])('named %s is refused', (charset) => {
    expect(verdict(formOf(sign({ ...FIELDS, charset })))).toBe('NOTIFICATION_CHARSET_UNKNOWN');
  });

  it('cannot be swapped for another', () => {
    expect(verdict(formOf({ ...sign(FIELDS), charset: 'GBK' }))).toBe('NOTIFICATION_FORGED');
  });
});

describe('a genuine one that is cut anew, its signature still true', () => {
  it('to hide total_amount in subject is refused', () => {
    const fields = { ...FIELDS, subject: 'tea' };
    const { total_amount: amount, ...rest } = sign(fields);
    const cut: Fields = { ...rest, subject: `tea&total_amount=${amount ?? ''}` };
    const { sign: _sign, sign_type: _type, ...signed } = cut;
    expect(canonical(signed)).toBe(canonical(fields));
    expect(verdict(formOf(cut))).toBe('NOTIFICATION_AMBIGUOUS');
    expect(verdict(cut)).toBe('NOTIFICATION_AMBIGUOUS');
  });

  it('to hide gmt_payment in charset is refused', () => {
    const { fund_bill_list: bills, gmt_payment: paidAt, ...rest } = sign(FIELDS);
    const cut: Fields = {
      ...rest,
      charset: `utf-8&fund_bill_list=${bills ?? ''}&gmt_payment=${paidAt ?? ''}`,
    };
    const { sign: _sign, sign_type: _type, ...signed } = cut;
    expect(canonical(signed)).toBe(canonical(FIELDS));
    expect(verdict(formOf(cut))).toBe('NOTIFICATION_AMBIGUOUS');
  });

  it('to hide a value in a name is refused', () => {
    const { trade_status: status, ...rest } = sign(FIELDS);
    const { trade_no: tradeNo, ...others } = rest;
    const cut: Fields = { ...others, [`trade_no=${tradeNo ?? ''}&trade_status`]: status ?? '' };
    const { sign: _sign, sign_type: _type, ...signed } = cut;
    expect(canonical(signed)).toBe(canonical(FIELDS));
    expect(verdict(formOf(cut))).toBe('NOTIFICATION_MALFORMED');
  });

  it.each(['a&refund_fee=1', 'a&X1=', '&_=b'])('is refused for a value like %j, signed or not', (value) => {
    expect(verdict(formOf(sign({ ...FIELDS, body: value })))).toBe('NOTIFICATION_AMBIGUOUS');
  });

  it.each(['a & b = c', '&', '=', 'a&=b', '&茶=1', 'a=b'])('is believed for a value like %j', (value) => {
    expect(genuine(formOf(sign({ ...FIELDS, body: value }))).fields['body']).toBe(value);
  });
});

describe("what Alipay sends to an app's gateway", () => {
  const CHECK: Fields = {
    service: 'alipay.service.check',
    charset: 'GBK',
    biz_content: '<XML><AppId><![CDATA[2021000000000000]]></AppId><EventType>verifygw</EventType></XML>',
  };
  const MESSAGE: Fields = {
    msg_method: 'alipay.trade.refund.depositback.completed',
    notify_id: 'n2',
    utc_timestamp: '1796000000000',
    charset: 'utf-8',
    version: '1.1',
    app_id: verifier.appId,
    biz_content: '{"dback_status":"S","dback_amount":"12.30","out_trade_no":"T1"}',
  };

  it.each([
    ['the check of its address', 'alipay.service.check', sign(CHECK)],
    ['a message', 'alipay.trade.refund.depositback.completed', sign(MESSAGE)],
    [
      'a message whose sign_type is signed too',
      'alipay.trade.refund.depositback.completed',
      sign(MESSAGE, { signed: { ...MESSAGE, sign_type: 'RSA2' } }),
    ],
  ])('is known for %s, and for no forgery', (_, what, fields) => {
    expect(readNotification([verifier], formOf(fields))).toEqual({ kind: 'other', what });
    expect(verdict(formOf({ ...fields, biz_content: 'another' }))).toBe('NOTIFICATION_FORGED');
  });

  it('is refused for another app', () => {
    expect(verdict(formOf(sign({ ...MESSAGE, app_id: 'another' })))).toBe('NOTIFICATION_OF_ANOTHER_APP');
  });

  it('never hides a payment', () => {
    expect(verdict(formOf(sign({ ...FIELDS, service: 'alipay.service.check' })))).toBe('genuine');
  });
});

/** CPU ms of one call, in the cheapest of ten batches: other work on the machine makes the others more expensive. */
function cheapest(call: () => void): number {
  const batches = Array.from({ length: 10 }, () => {
    const startedAt = process.cpuUsage();
    for (let i = 0; i < 20; i += 1) call();
    const { user, system } = process.cpuUsage(startedAt);
    return (user + system) / 1_000 / 20;
  });
  return Math.min(...batches);
}

describe('a body', () => {
  it.each([
    ['a key that stands twice', 'out_trade_no=1&b=2&out_trade_no=1'],
    ['a key that stands twice, once encoded', 'out_trade_no=1&out%5Ftrade_no=2'],
    ['a list', { out_trade_no: ['1', '2'] }],
    ['an object', { out_trade_no: { $ne: '' } }],
    ['a number', { out_trade_no: 'T', total_amount: 12.3 }],
    ['null', { out_trade_no: null }],
    ['a name with brackets', 'out_trade_no[]=1'],
    ['no name', 'out_trade_no=1&=2'],
    ['no out_trade_no', 'trade_no=1'],
    ['no form at all', '{"out_trade_no":"1"}'],
  ])('with %s is malformed', (_, body) => {
    expect(verdict(body)).toBe('NOTIFICATION_MALFORMED');
  });

  it.each<[string, unknown]>([
    ['undefined, since no parser knows its type', undefined],
    ['null', null],
    ['parsed into no fields, as Express 4 does with the type that Alipay sends', {}],
    ['a number', 7],
    ['a list', []],
    ['a parsed query', new URLSearchParams('out_trade_no=T')],
  ])('that is %s was not handed over raw', (_, body) => {
    expect(verdict(body as NotificationBody)).toBe('NOTIFICATION_NOT_RAW');
  });

  it.each([
    [
      'a view of some bytes',
      (form: Buffer) => new Uint8Array(Buffer.concat([Buffer.from('xx'), form])).subarray(2),
    ],
    ['what a Request of the web platform gives', (form: Buffer) => new Uint8Array(form).buffer],
  ])('is believed as %s', (_, as) => {
    const form = formOf(sign(FIELDS));
    expect(genuine(as(form))).toEqual(genuine(form));
  });

  it.each([
    ['an empty string', ''],
    ['no bytes', Buffer.alloc(0)],
    ['nothing but separators', '&&&'],
  ])('that is %s is empty, which is no TypeError', (_, body) => {
    expect(verdict(body)).toBe('NOTIFICATION_EMPTY');
  });

  it('has no fields but its own', () => {
    expect(verdict('out_trade_no=T&__proto__=x&constructor=y')).toBe('NOTIFICATION_FORGED');
    const { fields } = genuine(formOf(sign({ ...FIELDS, constructor: 'y' })));
    expect(Object.keys(fields)).toEqual([...Object.keys(FIELDS), 'constructor'].sort());
    expect('toString' in fields).toBe(false);
  });

  const many = (count: number): string => `out_trade_no=1${'&a=1'.repeat(count - 1)}`;

  it.each([
    ['32 KB and a byte', `out_trade_no=${'1'.repeat(32 * 1024)}`],
    ['101 fields', many(101)],
    ['101 fields, most of them empty', `out_trade_no=1${'&'.repeat(100)}`],
    ['64 KB in 16,000 fields', many(16_000)],
  ])('of %s is too large, however it comes', (_, body) => {
    expect(verdict(Buffer.from(body))).toBe('NOTIFICATION_TOO_LARGE');
    expect(verdict(body)).toBe('NOTIFICATION_TOO_LARGE');
  });

  it('of too many or too long parsed fields is too large', () => {
    const fields = Object.fromEntries(Array.from({ length: 101 }, (_, i) => [`a_${i}`, '']));
    expect(verdict(fields)).toBe('NOTIFICATION_TOO_LARGE');
    expect(verdict({ out_trade_no: 'T', body: 'a'.repeat(32 * 1024) })).toBe('NOTIFICATION_TOO_LARGE');
  });

  it('of the longest texts that Alipay takes, and of many vouchers, is read', () => {
    const voucher = {
      amount: '1.00',
      merchantContribute: '0.00',
      name: '新客立减优惠券',
      type: 'ALIPAY_FIX_VOUCHER',
    };
    const fields = {
      ...FIELDS,
      subject: '茶'.repeat(256),
      body: '茶'.repeat(400),
      passback_params: '%E8'.repeat(170),
      voucher_detail_list: JSON.stringify(Array.from({ length: 20 }, () => voucher)),
    };
    const form = formOf(sign(fields));
    expect(form.length).toBeGreaterThan(11_000);
    expect(verdict(form)).toBe('genuine');
    expect(verdict(form.toString())).toBe('genuine');
  });

  it('of 100 fields in 32 KB is read', () => {
    const fields = { ...FIELDS };
    for (let i = Object.keys(FIELDS).length + 2; i < 100; i += 1) fields[`extra_${i}`] = 'x';
    expect(Object.keys(sign(fields))).toHaveLength(100);
    expect(verdict(formOf(sign(fields)))).toBe('genuine');
  });

  it('of 32 KB that is all escapes costs little more than its signature', () => {
    const body = Buffer.from(`out_trade_no=1&sign_type=RSA2&sign=AAAA&body=`.padEnd(MAX_BYTES - 2, '%26'));
    expect(verdict(body)).toBe('NOTIFICATION_FORGED');
    // With a regular expression, each took 4.7 ms.
    expect(cheapest(() => verdict(body))).toBeLessThan(2);
  });

  it('that is too large costs next to nothing', () => {
    const body = Buffer.from(many(16_000));
    // Parsed first, each took 23 ms.
    expect(cheapest(() => verdict(body))).toBeLessThan(2);
  });
});

describe('a notification that is truly signed', () => {
  it.each([
    ['of another application', { app_id: '2021999999999999' }, 'NOTIFICATION_OF_ANOTHER_APP'],
    ['for another seller', { seller_id: '2088999999999999' }, 'NOTIFICATION_OF_ANOTHER_SELLER'],
    ['without notify_id', { notify_id: '' }, 'NOTIFICATION_INCOMPLETE'],
    ['of a payment without total_amount', { total_amount: '' }, 'NOTIFICATION_INCOMPLETE'],
    ['of a payment of no amount', { total_amount: 'much' }, 'NOTIFICATION_INCOMPLETE'],
    ['of a payment of half a fen', { total_amount: '12.305' }, 'NOTIFICATION_INCOMPLETE'],
    [
      'of a finished payment without total_amount',
      { trade_status: 'TRADE_FINISHED', total_amount: '' },
      'NOTIFICATION_INCOMPLETE',
    ],
    ['of a closed trade without total_amount', { trade_status: 'TRADE_CLOSED', total_amount: '' }, 'genuine'],
  ])('%s', (_, changes, expected) => {
    const fields = Object.entries({ ...FIELDS, ...changes } as Fields).filter(([, value]) => value !== '');
    expect(verdict(formOf(sign(Object.fromEntries(fields))))).toBe(expected);
  });
});

describe('a refused one', () => {
  const lines: Array<Record<string, unknown>> = [];
  const counted: string[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const observer: Observer = {
    notification: (outcome, { code = '', merchant = '' } = {}) =>
      void counted.push([outcome, code, merchant].join(' ').trim()),
    checkout: () => undefined,
  };
  // Neither Postgres nor Temporal: using either would throw.
  const deps = { alipay: { verifiers: [verifier] }, log: pino({}, { write }), observer } as object;

  it.each([
    ['its number', { ...sign(FIELDS), subject: 'Anna 138 0013 8000', buyer_id: '2088buyer' }, 'T1'],
    ['no number that is none', { ...FIELDS, out_trade_no: 'T1\u001b[31m' }, undefined],
    ['no number that is too long', { ...FIELDS, out_trade_no: 'T'.repeat(65) }, undefined],
  ])('is answered fail, and logged by its code and %s', async (_, body, outTradeNo) => {
    lines.length = counted.length = 0;
    expect(await handleNotification(deps as NotificationDependencies, body)).toBe('fail');
    expect(counted).toEqual(['refused NOTIFICATION_FORGED default']);
    const { level, time, pid, hostname, ...said } = lines[0] ?? {};
    expect([level, typeof time, typeof pid, typeof hostname]).toEqual([40, 'number', 'number', 'string']);
    expect(said).toEqual({
      code: 'NOTIFICATION_FORGED',
      ...(outTradeNo && { outTradeNo }),
      msg: 'notification refused',
    });
    expect(lines).toHaveLength(1);
  });

  it.each([
    ['of the application, whatever the seller', { seller_id: '2088000000000999' }, 'default'],
    ['of another application: of none, or a stranger would choose the label', { app_id: 'x' }, ''],
  ])('counts for the merchant that it claims: %s', async (_, changes, merchant) => {
    counted.length = 0;
    await handleNotification(deps as NotificationDependencies, { ...FIELDS, ...changes });
    expect(counted).toEqual([`refused NOTIFICATION_FORGED ${merchant}`.trim()]);
  });

  it('is told from what Alipay sends to an app gateway: that is answered success, and counted by itself', async () => {
    counted.length = 0;
    const check = sign({ service: 'alipay.service.check', charset: 'GBK', biz_content: '<XML></XML>' });
    expect(await handleNotification(deps as NotificationDependencies, formOf(check))).toBe('success');
    expect(counted).toEqual(['other']);
  });

  it('has a code of the closed set', () => {
    expect(NOTIFICATION_FAULTS).toContain(verdict(undefined));
    expect(new Set(NOTIFICATION_FAULTS).size).toBe(NOTIFICATION_FAULTS.length);
  });
});
