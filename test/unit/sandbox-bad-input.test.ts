import { createSign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readSeed, startSandbox, type CallEntry, type Sandbox } from '../../sandbox';
import { beijingTime } from '../../sandbox/beijing';
import { flawSentence } from '../../sandbox/flaw-words';
import { freePorts } from '../support/free-ports';

// Only bad input: what Alipay answers, and what journal and console tell the developer.

const DAY_MS = 86_400_000;
const QUERY = 'alipay.trade.query';

const dir = mkdtempSync(join(tmpdir(), 'sandbox-bad-input-'));
let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox({ keysDir: join(dir, 'keys'), maxClockSkewMs: DAY_MS });
});
afterAll(async () => {
  await sandbox.close();
  rmSync(dir, { recursive: true, force: true });
});

type Fields = Record<string, string>;

/** A request that is right except for `changes`; signed over what is sent, unless they include a signature. */
function request(changes: Fields): Fields {
  const fields: Fields = {
    app_id: sandbox.appId,
    method: QUERY,
    charset: 'utf-8',
    sign_type: 'RSA2',
    timestamp: beijingTime(Date.now()),
    version: '1.0',
    biz_content: '{"out_trade_no":"A1"}',
    ...changes,
  };
  const text = Object.keys(fields)
    .filter((name) => fields[name] !== '')
    .sort()
    .map((name) => `${name}=${fields[name] ?? ''}`)
    .join('&');
  return { sign: createSign('RSA-SHA256').update(text).sign(sandbox.appPrivateKey, 'base64'), ...fields };
}

/** A pay request with something wrong in its content. */
const order = (changes: Record<string, unknown>): Fields => ({
  method: 'alipay.trade.precreate',
  biz_content: JSON.stringify({ out_trade_no: 'A1', total_amount: '12.30', subject: 'A book', ...changes }),
});

interface Said {
  /** The name of the node. Default: the method's. */
  name?: string;
  code: string;
  subCode: string;
  /** Alipay's early errors are not signed. */
  signed?: boolean;
  /** What the journal says of the request's signature. */
  signature?: CallEntry['signature'];
}

/** The console shows only the answer's own words. */
const REFUSED = '';

const unsigned = (code: string, subCode: string, name?: string): Said => ({
  name,
  code,
  subCode,
  signed: false,
});
const signed = (code: string, subCode: string): Said => ({
  code,
  subCode,
  signed: true,
  signature: 'genuine',
});
const invalidParameter = signed('40004', 'ACQ.INVALID_PARAMETER');
const invalidTime = unsigned('40002', 'isv.invalid-timestamp');

describe('bad input', () => {
  it.each<[what: string, changes: Fields, says: Said, flaw: string]>([
    [
      'no method',
      { method: '' },
      unsigned('40001', 'isv.missing-method', 'error_response'),
      'method is missing.',
    ],
    [
      'an unknown method',
      { method: 'trade.nothing' },
      unsigned('40002', 'isv.invalid-method', 'error_response'),
      'method is not valid.',
    ],
    [
      'half a method',
      { method: 'alipay.x' },
      unsigned('40002', 'isv.invalid-method', 'error_response'),
      'method is not valid.',
    ],
    [
      'a misspelt method',
      { method: 'alipayy.trade.query' },
      unsigned('40002', 'isv.invalid-method', 'error_response'),
      'method is not valid.',
    ],
    [
      'a method that is not emulated',
      { method: 'alipay.fund.trans.uni.transfer' },
      signed('40004', 'sandbox.not-emulated'),
      REFUSED,
    ],
    ['no application', { app_id: '' }, unsigned('40001', 'isv.missing-app-id'), 'app_id is missing.'],
    [
      'another application',
      { app_id: '2021' },
      unsigned('40002', 'isv.invalid-app-id'),
      'app_id is not the one of this sandbox.',
    ],
    [
      'a token that nobody gave',
      { app_auth_token: 'x' },
      unsigned('20001', 'aop.invalid-app-auth-token'),
      'app_auth_token is not the one of this sandbox.',
    ],
    [
      'a certificate in key mode',
      { app_cert_sn: 'x' },
      unsigned('40002', 'isv.app-cert-not-exist'),
      'app_cert_sn is not the one of this sandbox.',
    ],
    ['no signature', { sign: '' }, unsigned('40001', 'isv.missing-signature'), 'sign is missing.'],
    [
      'no signature at all',
      { sign: 'rubbish' },
      { ...signed('40002', 'isv.invalid-signature'), signature: 'false' },
      'The signature was made with a different private key, or is not a signature at all.',
    ],
    [
      'no signature type',
      { sign_type: '' },
      unsigned('40001', 'isv.missing-signature-type'),
      'sign_type is missing.',
    ],
    [
      'an unknown signature type',
      { sign_type: 'MD5' },
      unsigned('40002', 'isv.invalid-signature-type'),
      'sign_type is not valid.',
    ],
    [
      'a charset that nobody reads',
      { charset: 'klingon' },
      unsigned('40002', 'isv.invalid-charset'),
      'charset is not valid.',
    ],
    [
      'a charset that no header can carry',
      { charset: 'utf-8\r\n编码' },
      unsigned('40002', 'isv.invalid-charset'),
      'charset is not valid.',
    ],
    ['no time', { timestamp: '' }, unsigned('40001', 'isv.missing-timestamp'), 'timestamp is missing.'],
    ['a time that is none', { timestamp: 'now' }, invalidTime, 'timestamp is not valid.'],
    ['a time in another form', { timestamp: '2026-11-24T12:00:00' }, invalidTime, 'timestamp is not valid.'],
    [
      'a day that is none',
      { timestamp: '2026-02-30 12:00:00' },
      invalidTime,
      'timestamp is too far from the current time in Beijing.',
    ],
    [
      'a clock that is off',
      { timestamp: beijingTime(Date.now() - 2 * DAY_MS) },
      invalidTime,
      'timestamp is too far from the current time in Beijing.',
    ],
    ['no version', { version: '' }, unsigned('40001', 'isv.missing-version'), 'version is missing.'],
    [
      'another version',
      { version: '2.0' },
      unsigned('40002', 'isv.invalid-version'),
      'version is not valid.',
    ],
    [
      'no content',
      { biz_content: '' },
      signed('40001', 'isv.missing-biz-content'),
      'biz_content is missing.',
    ],
    [
      'content that is cut off',
      { biz_content: '{' },
      signed('40002', 'isv.invalid-parameter'),
      'biz_content is not a JSON object.',
    ],
    [
      'content that is a list',
      { biz_content: '[1]' },
      signed('40002', 'isv.invalid-parameter'),
      'biz_content is not a JSON object.',
    ],
    ['neither of the two numbers', { biz_content: '{}' }, invalidParameter, REFUSED],
    [
      'a number that is an object',
      { biz_content: '{"trade_no":{}}' },
      invalidParameter,
      'biz_content.trade_no is not valid.',
    ],
    [
      'a dash in out_trade_no',
      order({ out_trade_no: 'has-a-dash' }),
      invalidParameter,
      'biz_content.out_trade_no is not valid.',
    ],
    [
      '65 characters of out_trade_no',
      order({ out_trade_no: 'x'.repeat(65) }),
      invalidParameter,
      'biz_content.out_trade_no is not valid.',
    ],
    ...['0', '0.001', '-1', '1e3', '100000000.01', '', 'much'].map(
      (amount): [string, Fields, Said, string] => [
        `an amount of ${JSON.stringify(amount)}`,
        order({ total_amount: amount }),
        invalidParameter,
        'biz_content.total_amount is not valid.',
      ],
    ),
    ...['a/b', 'a=b', 'a&b', 'x'.repeat(257), ''].map((subject): [string, Fields, Said, string] => [
      `a subject of ${JSON.stringify(subject.slice(0, 5))}`,
      order({ subject }),
      invalidParameter,
      'biz_content.subject is not valid.',
    ]),
    [
      'a day that is none in time_expire',
      order({ time_expire: '2026-13-01 00:00:00' }),
      invalidParameter,
      'biz_content.time_expire is not valid.',
    ],
    [
      'too many days to pay',
      order({ timeout_express: '16d' }),
      invalidParameter,
      'biz_content.timeout_express is not valid.',
    ],
    [
      "another product's code",
      order({ product_code: 'QUICK_WAP_WAY' }),
      invalidParameter,
      'biz_content.product_code is not valid.',
    ],
    [
      'a notify_url that is none',
      { ...order({}), notify_url: 'shop/notify' },
      invalidParameter,
      'biz_content.notify_url is not valid.',
    ],
  ])('%s: Alipay refuses it, and the journal says why', async (_what, changes, says, flaw) => {
    const { method = QUERY } = changes;
    const { code, subCode, signature, name = `${method.replaceAll('.', '_')}_response` } = says;
    const response = await fetch(sandbox.gateway, {
      method: 'POST',
      body: new URLSearchParams(request(changes)),
      signal: AbortSignal.timeout(5_000),
    });
    expect(response.status).toBe(200);
    const answer = (await response.json()) as Record<string, unknown>;
    expect(answer[name]).toMatchObject({ code, sub_code: subCode });
    expect('sign' in answer).toBe(says.signed);
    // Alipay names the wrong field of the content.
    const [, field] = /^biz_content\.(\w+)/.exec(flaw) ?? [];
    if (field !== undefined) expect(answer[name]).toHaveProperty('sub_msg', `参数无效：${field}`);
    const entry = (await sandbox.control.journal()).at(-1) as CallEntry;
    expect(entry).toMatchObject({ kind: 'call', method, code, subCode });
    expect(entry.signature).toBe(signature);
    expect(entry.flaw?.kind === 'refused' ? REFUSED : entry.flaw && flawSentence(entry.flaw, 'en')).toBe(
      flaw,
    );
  });

  it('a biz_content of 1 MB: the web server in front of Alipay refuses it unread, and the journal says why', async () => {
    const body = new URLSearchParams(request({ biz_content: `{"memo":"${'x'.repeat(1 << 20)}"}` }));
    expect((await fetch(sandbox.gateway, { method: 'POST', body })).status).toBe(413);
    const entry = (await sandbox.control.journal()).at(-1) as CallEntry;
    expect(entry).toMatchObject({ httpStatus: 413, flaw: { kind: 'too-large' } });
    expect(entry.flaw && flawSentence(entry.flaw, 'en')).toBe(
      'The request is larger than 1 MB: it was not read.',
    );
  });

  const inFile = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const seeded = (text: string) => async () => startSandbox({ seed: readSeed(inFile('seed.json', text)) });
  const withState = (text: string) => () => startSandbox({ stateFile: inFile('state.jsonl', text) });

  it.each<[what: string, act: () => Promise<unknown>, words: RegExp]>([
    ['a seed that is no JSON', seeded('{'), /^SANDBOX_SEED: .*seed\.json cannot be used: SyntaxError/],
    [
      'a wrong order in a seed',
      seeded('{"orders":[{"outTradeNo":"a-b","totalAmount":"1"}]}'),
      /^SANDBOX_SEED: .*orders\[0\]\.outTradeNo/s,
    ],
    [
      'a wrong account in a seed',
      seeded('{"accounts":[{"sellerId":"me"}],"orders":[]}'),
      /^SANDBOX_SEED: .*accounts\[0\]\.sellerId/s,
    ],
    ['an unknown field in a seed', seeded('{"orders":[],"colour":"red"}'), /^SANDBOX_SEED: .*colour/s],
    [
      'a wrong amount in a seed',
      seeded('{"orders":[{"outTradeNo":"A1","totalAmount":"1e3"}]}'),
      /order A1 of the seed: .*total_amount/,
    ],
    [
      'a state file of another version',
      withState('{"type":"version","version":3}\n'),
      /^SANDBOX_STATE: .*state\.jsonl is of version 3, but this sandbox reads 2/,
    ],
    [
      'a damaged state file',
      withState('garbage\n{}\n'),
      /^SANDBOX_STATE: line 1 of .*state\.jsonl cannot be read/,
    ],
    [
      'a busy port',
      () => startSandbox({ port: Number(new URL(sandbox.url).port) }),
      /^PORT_BUSY: port \d+ on 127\.0\.0\.1 is in use/,
    ],
    [
      'a public key that is none',
      () => startSandbox({ merchantPublicKey: 'garbage' }),
      /^SANDBOX_KEYS: the merchant public key/,
    ],
  ])('%s: the sandbox does not start, and says why', async (_what, act, words) => {
    await expect(act()).rejects.toMatchObject({ message: expect.stringMatching(words) });
  });

  it('a wrong seed leaves the port to the next try', async () => {
    const [port = 0] = await freePorts(1);
    const seed = { orders: [{ outTradeNo: 'A1', totalAmount: '1e3' }] };
    await expect(startSandbox({ port, seed })).rejects.toThrow('INVALID_INPUT');
    await (await startSandbox({ port })).close();
  });
});
