import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { startSandbox, type CallEntry, type Sandbox } from '../../sandbox';
import { beijingTime } from '../../sandbox/beijing';
import { Shop } from './sandbox-shop';

// What the journal says about a refused request: the developer reads which parameter was wrong.

const DAY_MS = 86_400_000;
const QUERY = 'alipay.trade.query';

let sandbox: Sandbox;
let shop: Shop;
let count = 0;
let no: string;
/** One per test: two requests made one after the other would sometimes have different seconds. */
let timestamp: string;

beforeAll(async () => {
  sandbox = await startSandbox({ maxClockSkewMs: DAY_MS });
  shop = await Shop.open(sandbox);
});
beforeEach(() => {
  count += 1;
  no = `F${count}`;
  timestamp = beijingTime(Date.now());
});
afterAll(async () => {
  await sandbox.close();
  await shop.close();
});

type Fields = Record<string, string>;

const head = (): Fields => ({
  app_id: sandbox.appId,
  method: QUERY,
  charset: 'utf-8',
  sign_type: 'RSA2',
  timestamp,
  version: '1.0',
  biz_content: JSON.stringify({ out_trade_no: no }),
});

const sorted = (fields: Fields): string =>
  Object.keys(fields)
    .sort()
    .map((name) => `${name}=${fields[name] ?? ''}`)
    .join('&');

const signed = (text: string | Buffer, key = sandbox.appPrivateKey, hash = 'RSA-SHA256'): string =>
  createSign(hash).update(text).sign(key, 'base64');

/** What the journal says about the last call; a notification of an earlier payment may follow it. */
async function lastCall(): Promise<CallEntry> {
  const calls = (await sandbox.control.journal()).filter((entry) => entry.kind === 'call');
  const last = calls.at(-1);
  if (!last) throw new Error('no call in the journal');
  return last;
}

/** Sends fields as they are. @returns what the journal says */
async function send(fields: Fields): Promise<CallEntry> {
  await fetch(sandbox.gateway, { method: 'POST', body: new URLSearchParams(fields) });
  return lastCall();
}

/** Signs `text`, sends `fields`. */
const sendSigned = (fields: Fields, text: string | Buffer): Promise<CallEntry> =>
  send({ ...fields, sign: signed(text) });

describe('a genuine call', () => {
  it('is called genuine, with its answer and without a flaw', async () => {
    const entry = await sendSigned(head(), sorted(head()));
    expect(entry).toMatchObject({ signature: 'genuine', answer: { code: '40004' } });
    expect(entry.flaw).toEqual({ kind: 'refused' });
    await shop.sell(no);
    const paid = await sendSigned(head(), sorted(head()));
    expect(paid).toMatchObject({ signature: 'genuine', answer: { trade_status: 'TRADE_SUCCESS' } });
    expect(paid.flaw).toBeUndefined();
  });
});

describe('a flaw of the content', () => {
  it('names the field of a pay page, and the page does too', async () => {
    const response = await fetch(shop.payUrl({ outTradeNo: no, totalAmount: '1e3' }));
    expect(await response.text()).toContain('biz_content.total_amount is not valid.');
    expect(await lastCall()).toMatchObject({
      signature: 'genuine',
      flaw: { kind: 'invalid', field: 'biz_content.total_amount' },
    });
  });
});

describe('a false signature', () => {
  const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();

  it('by another key is told from a changed text', async () => {
    const entry = await send({ ...head(), sign: signed(sorted(head()), stranger) });
    expect(entry).toMatchObject({ signature: 'false', flaw: { kind: 'key', field: 'sign' } });
    expect((await send({ ...head(), sign: 'rubbish' })).flaw).toEqual({ kind: 'key', field: 'sign' });
    const request = head();
    const changed = await sendSigned(request, `${sorted(request)} `);
    expect(changed).toMatchObject({ signature: 'false', flaw: { kind: 'altered', got: sorted(request) } });
  });

  it('names what was changed in a request that it has seen', async () => {
    const url = new URL(shop.payUrl({ outTradeNo: no }));
    await fetch(url);
    const biz = url.searchParams.get('biz_content') ?? '';
    url.searchParams.set('biz_content', biz.replace('12.30', '0.01'));
    const response = await fetch(url);
    expect(await response.text()).toContain('biz_content.total_amount was changed after signing.');
    expect(await lastCall()).toMatchObject({
      signature: 'false',
      flaw: { kind: 'changed', field: 'biz_content.total_amount', expected: '12.30', got: '0.01' },
    });
  });

  it('names a parameter that came in after signing', async () => {
    const entry = await sendSigned({ ...head(), notify_url: 'http://x' }, sorted(head()));
    expect(entry.flaw).toEqual({ kind: 'unsigned', field: 'notify_url', got: 'http://x' });
    const { sign_type, ...unsigned } = head();
    expect(sign_type).toBe('RSA2');
    expect((await sendSigned(head(), sorted(unsigned))).flaw).toMatchObject({ field: 'sign_type' });
  });

  it.each<[string, (fields: Fields) => string | Buffer, Fields, Record<string, unknown>]>([
    [
      'a percent-encoded value',
      (fields) => sorted({ ...fields, timestamp: encodeURIComponent(fields['timestamp'] ?? '') }),
      {},
      { kind: 'encoding', field: 'timestamp' },
    ],
    [
      'content that was printed anew',
      (fields) => sorted({ ...fields, biz_content: (fields['biz_content'] ?? '').replace(':', ': ') }),
      {},
      { kind: 'encoding', field: 'biz_content' },
    ],
    [
      'all values percent-encoded',
      (fields) =>
        sorted(
          Object.fromEntries(
            Object.entries(fields).map(([name, value]) => [name, encodeURIComponent(value)]),
          ),
        ),
      {},
      { kind: 'encoding' },
    ],
    ['empty parameters', sorted, { notify_url: '' }, { kind: 'empty', field: 'notify_url' }],
    [
      'parameters as they came',
      (fields) =>
        Object.entries(fields)
          .map(([name, value]) => `${name}=${value}`)
          .join('&'),
      {},
      { kind: 'order' },
    ],
    [
      'GBK bytes',
      (fields) => {
        const [before = '', after = ''] = sorted(fields).split('书');
        return Buffer.concat([Buffer.from(before), Buffer.from([0xca, 0xe9]), Buffer.from(after)]);
      },
      { biz_content: '{"out_trade_no":"书"}' },
      { kind: 'charset', field: 'charset' },
    ],
  ])('finds that the client signed %s', async (_, text, change, flaw) => {
    const fields = { ...head(), ...change };
    expect((await sendSigned(fields, text(fields))).flaw).toMatchObject(flaw);
  });

  it('finds a hash that sign_type does not name, and a plus that became a space', async () => {
    const sha1 = await send({ ...head(), sign: signed(sorted(head()), undefined, 'RSA-SHA1') });
    expect(sha1.flaw).toEqual({ kind: 'sign-type', field: 'sign_type', expected: 'RSA', got: 'RSA2' });

    let fields = head();
    while (!signed(sorted(fields)).includes('+')) fields = { ...fields, prod_code: `${Math.random()}` };
    const spaced = await send({ ...fields, sign: signed(sorted(fields)).replaceAll('+', ' ') });
    expect(spaced.flaw).toEqual({ kind: 'plus', field: 'sign' });
  });

  it('costs little however long the request is', async () => {
    const fields = {
      ...head(),
      biz_content: JSON.stringify({ out_trade_no: no, memo: 'x'.repeat(900_000) }),
    };
    expect((await sendSigned(fields, 'another text')).flaw).toEqual({ kind: 'altered' });
  });
});
