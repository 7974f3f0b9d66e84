import { execFile } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createServer as createTlsServer } from 'node:tls';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { fromBeijing, toBeijing } from '../../activities/alipay/beijing';
import type { AcquireSlot, ObserveCall, QuotaLine } from '../../activities/alipay/caller';
import { AlipayError } from '../../activities/alipay/errors';
import { AlipayGateway, PROBE_OUT_TRADE_NO } from '../../activities/alipay/gateway';
import { AlipayGateways } from '../../activities/alipay/gateways';
import { readSignedFields } from '../../activities/alipay/signed-body';
import type { CallEntry, FaultMode, Sandbox } from '../../sandbox';
import { FAULT_MODES, startSandbox } from '../../sandbox';
import { encodeGbk } from '../../sandbox/gbk';
import { parsePrivateKey } from '../../worker/keys';
import { waitFor } from '../../dev/wait-for';

/** For a response that never comes: far below `drip`, which takes 100 ms per byte. */
const DEADLINE_MS = 1_000;
/** For a response that comes, however busy the machine is. */
const PATIENCE_MS = 20_000;
/** The sandbox would drip for half a minute, and hang forever. */
const MUCH_LATER_MS = 15_000;

let sandbox: Sandbox;
let alipay: AlipayGateway;
let trades = 0;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(() => sandbox.close());

beforeEach(async () => {
  await sandbox.control.clearFaults();
  await sandbox.control.clearJournal();
  alipay = gateway();
});

function gateway(
  settings: Partial<AlipayGateway['settings']> = {},
  told: { acquireSlot?: AcquireSlot; observe?: ObserveCall } = {},
) {
  return new AlipayGateway(
    {
      name: 'default',
      gateway: sandbox.gateway,
      appId: sandbox.appId,
      privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
      publicKey: sandbox.alipayPublicKey,
      sellerId: sandbox.sellerId,
      notifyUrl: 'http://127.0.0.1:9/alipay/notify',
      timeoutMs: PATIENCE_MS,
      ...settings,
    },
    told,
  );
}

/** A trade that the buyer has scanned, and optionally paid. */
async function trade({ paid = false } = {}): Promise<string> {
  trades += 1;
  const outTradeNo = `T${trades}`;
  const url = await alipay.payUrl({
    outTradeNo,
    subject: 'tea',
    totalAmount: '12.30',
    product: 'page',
    timeExpire: new Date(Date.now() + 3_600_000),
  });
  await sandbox.control.open(url);
  await (paid ? sandbox.control.pay(outTradeNo, { notify: false }) : sandbox.control.scan(outTradeNo));
  return outTradeNo;
}

const calls = async (): Promise<CallEntry[]> =>
  (await sandbox.control.journal()).filter((entry) => entry.kind === 'call');

const CALLS = {
  'alipay.trade.query': { paid: true, make: (no: string) => alipay.query(no) },
  'alipay.trade.close': { paid: false, make: (no: string) => alipay.close(no) },
  'alipay.trade.refund': {
    paid: true,
    make: (no: string) =>
      alipay
        .refund({ outTradeNo: no, amount: '12.30', outRequestNo: `LATE_${no}`, reason: 'late' })
        .then(({ hasMoved }) => hasMoved),
  },
  'alipay.trade.fastpay.refund.query': {
    paid: true,
    make: (no: string) => alipay.refundQuery({ outTradeNo: no, amount: '12.30', outRequestNo: `LATE_${no}` }),
  },
} as const;

type Method = keyof typeof CALLS;
const METHODS = Object.keys(CALLS) as Method[];

/** The outcome of a call: an answer, or the kind of error with its marks. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    const answer = await call;
    return JSON.stringify(typeof answer === 'object' ? (answer as { answer: string }).answer : answer);
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    const marks = [
      error.outage && 'outage',
      error.throttled && 'throttled',
      error.untrusted && 'untrusted',
    ].filter(Boolean);
    return [error.kind, ...marks].join(' ');
  }
}

/** How each fault is classified, whichever method was called. */
const TAKEN_FOR: Partial<Record<FaultMode, string>> = {
  '20000': 'unknown outage',
  '20000-unsigned': 'unknown outage',
  '20000-gbk': 'unknown outage',
  SYSTEM_ERROR: 'unknown',
  '40001': 'misconfigured',
  '40002': 'misconfigured',
  '40005': 'unknown throttled',
  '40005-unsigned': 'unknown throttled',
  '40005-gbk': 'unknown throttled',
  '40006': 'misconfigured',
  'http-500': 'unknown outage',
  'http-429': 'unknown throttled',
  html: 'unknown outage',
  hang: 'unknown outage',
  drip: 'unknown outage',
  reset: 'unknown outage',
  truncated: 'unknown outage',
  'no-signature': 'unknown untrusted',
  'bad-signature': 'unknown untrusted',
  'other-order': 'unknown untrusted',
};

describe('every fault, in every call', () => {
  const cases = METHODS.flatMap((method) =>
    Object.entries(TAKEN_FOR).map(
      ([mode, expected]) => [mode, method, expected] as [FaultMode, Method, string],
    ),
  );

  it('is in the table, but for the two lies that are told apart elsewhere', () => {
    const undelivered = FAULT_MODES.filter((mode) => !(mode in TAKEN_FOR));
    expect(undelivered).toEqual(['stale', 'wrong-amount']);
  });

  it.each(cases)(
    '%s on %s is %s, after one request and within the deadline',
    async (mode, method, expected) => {
      const { paid, make } = CALLS[method];
      const outTradeNo = await trade({ paid });
      await trade({ paid: true });
      await sandbox.control.fault({ mode, method, times: 1 });
      if (mode === 'hang' || mode === 'drip') alipay = gateway({ timeoutMs: DEADLINE_MS });

      const startedAt = Date.now();
      expect(await outcomeOf(make(outTradeNo))).toBe(expected);
      expect(Date.now() - startedAt).toBeLessThan(MUCH_LATER_MS);
      expect(await calls()).toHaveLength(1);
    },
  );

  it.each(METHODS)('a fault after %s took effect is unknown too, and asking again tells', async (method) => {
    const { paid, make } = CALLS[method];
    const outTradeNo = await trade({ paid });
    await sandbox.control.fault({ mode: 'reset', method, when: 'after', times: 1 });
    expect(await outcomeOf(make(outTradeNo))).toBe('unknown outage');

    const again = await outcomeOf(make(outTradeNo));
    const expected = {
      'alipay.trade.query': '"paid"',
      'alipay.trade.close': '"ask-again"',
      'alipay.trade.refund': 'false',
      'alipay.trade.fastpay.refund.query': undefined,
    };
    expect(again).toBe(expected[method]);
  });
});

describe('a lie that is truly signed', () => {
  it('an old answer to the same order is believed only for what it says', async () => {
    const outTradeNo = await trade();
    expect((await alipay.query(outTradeNo)).answer).toBe('waiting');
    await sandbox.control.pay(outTradeNo, { notify: false });
    await sandbox.control.fault({ mode: 'stale', method: 'alipay.trade.query', times: 1 });
    expect((await alipay.query(outTradeNo)).answer).toBe('waiting');
    expect((await alipay.query(outTradeNo)).answer).toBe('paid');
  });

  it('another amount comes through, for the ledger to compare', async () => {
    const outTradeNo = await trade({ paid: true });
    await sandbox.control.fault({ mode: 'wrong-amount', method: 'alipay.trade.query', times: 1 });
    expect(await alipay.query(outTradeNo)).toMatchObject({ answer: 'paid', totalAmount: '12.31' });
  });
});

describe('a forged node beside a genuine, signed one', () => {
  const told = {
    code: '10000',
    msg: 'Success',
    trade_no: '2026',
    total_amount: '12.30',
    refund_fee: '12.30',
  };
  /** What it would mean if it were believed, and what Alipay says. */
  const FORGED: Record<Method, { node: object; paid: boolean; truth: string | undefined }> = {
    'alipay.trade.query': { node: { trade_status: 'TRADE_SUCCESS' }, paid: false, truth: '"waiting"' },
    'alipay.trade.close': { node: {}, paid: true, truth: '"ask-again"' },
    'alipay.trade.refund': { node: { fund_change: 'Y' }, paid: true, truth: 'false' },
    'alipay.trade.fastpay.refund.query': {
      node: { refund_status: 'REFUND_SUCCESS', refund_amount: '12.30' },
      paid: true,
      truth: undefined,
    },
  };
  const PLACES: [string, (answer: string, name: string, forged: string) => string][] = [
    ['behind', (answer, name, forged) => answer.replace(/}\s*$/, `,"${name}":${forged}}`)],
    [
      'behind, its name in other letters',
      (answer, name, forged) => answer.replace(/}\s*$/, `,"${name.replace(/e$/, '\\u0065')}":${forged}}`),
    ],
    ['before', (answer, name, forged) => answer.replace('{', `{"${name}":${forged},`)],
    [
      'in its place, the genuine one under another name',
      (answer, name, forged) =>
        answer.replace(`"${name}"`, `"error_response"`).replace('{', `{"${name}":${forged},`),
    ],
  ];
  const cases = METHODS.flatMap((method) =>
    PLACES.map(([place, put]): [string, Method, (typeof PLACES)[number][1]] => [place, method, put]),
  );

  it.each(cases)('%s %s is never believed', async (_place, method, put) => {
    const { node, paid, truth } = FORGED[method];
    const outTradeNo = await trade({ paid });
    if (method === 'alipay.trade.refund')
      expect(await outcomeOf(CALLS[method].make(outTradeNo))).toBe('true');
    const forged = JSON.stringify({ ...told, out_trade_no: outTradeNo, ...node });
    const name = `${method.replaceAll('.', '_')}_response`;
    const between = await relay((answer) => put(answer, name, forged));
    alipay = gateway({ gateway: between.gateway });
    expect([truth, 'unknown untrusted']).toContain(await outcomeOf(CALLS[method].make(outTradeNo)));
    expect(between.altered()).toBe(1);
  });

  it.each(['{}', '[]', '1', 'null', '{"alipay_trade_query_response":"paid"}'])(
    'and %s has no node to believe',
    async (answer) => {
      const between = await relay(() => answer);
      const asked = gateway({ gateway: between.gateway }).query('T');
      await expect(asked).rejects.toMatchObject({ kind: 'unknown', outage: true });
      await expect(asked).rejects.toThrow('answer without a response node');
    },
  );

  it('and a code that is none reaches no message', async () => {
    const between = await relay(() =>
      JSON.stringify({ alipay_trade_query_response: { code: 40004, sub_code: '<b>call 138 0013 8000</b>' } }),
    );
    const asked = gateway({ gateway: between.gateway }).query('T');
    await expect(asked).rejects.toMatchObject({ kind: 'unknown', code: undefined, subCode: undefined });
  });
});

const endings: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

/** The address of a server that is not the sandbox, until the test ends. */
async function listening(server: Server, scheme = 'http'): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return `${scheme}://127.0.0.1:${port}${new URL(sandbox.gateway).pathname}`;
}

const served = (listener: RequestListener): Promise<string> => listening(createServer(listener));

/** A man in the middle on the way to Alipay, who passes everything on and changes the answers. */
async function relay(change: (answer: string) => string | Buffer) {
  let altered = 0;
  const address = await served((request, response) => {
    void (async () => {
      const answer = await fetch(new URL(request.url ?? '', sandbox.gateway), {
        method: 'POST',
        headers: { 'content-type': request.headers['content-type'] ?? '' },
        body: await text(request),
      });
      altered += 1;
      response.end(change(await answer.text()));
    })();
  });
  return { gateway: address, altered: () => altered };
}

const another = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** Another Alipay with its own key, which returns the same signed node for every call. */
async function signing(node: string | Buffer, { method = 'alipay.trade.query' } = {}) {
  const { privateKey, publicKey } = another;
  const bytes = Buffer.from(node);
  const signature = sign('RSA-SHA256', bytes, privateKey).toString('base64');
  const name = `${method.replaceAll('.', '_')}_response`;
  const address = await served((_request, response) =>
    response.end(Buffer.concat([Buffer.from(`{"${name}":`), bytes, Buffer.from(`,"sign":"${signature}"}`)])),
  );
  const key = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return { gateway: address, alipay: gateway({ gateway: address, publicKey: key }) };
}

describe('a query', () => {
  it('tells not-exist, waiting, paid, finished and closed apart', async () => {
    expect((await alipay.query('never_scanned')).answer).toBe('not-exist');
    const outTradeNo = await trade();
    expect(await alipay.query(outTradeNo)).toMatchObject({ answer: 'waiting', paidAt: null });
    await sandbox.control.pay(outTradeNo, { notify: false });
    expect(await alipay.query(outTradeNo)).toMatchObject({
      answer: 'paid',
      tradeStatus: 'TRADE_SUCCESS',
      totalAmount: '12.30',
      paidAt: expect.any(Date) as unknown,
    });
    await sandbox.control.finish(outTradeNo, { notify: false });
    expect(await alipay.query(outTradeNo)).toMatchObject({ answer: 'paid', tradeStatus: 'TRADE_FINISHED' });
    const unpaid = await trade();
    expect(await alipay.close(unpaid)).toBe('closed');
    expect(await alipay.query(unpaid)).toMatchObject({ answer: 'closed', paidAt: null });
    const refunded = await trade({ paid: true });
    await sandbox.control.refundByHand(refunded, '12.30');
    expect(await alipay.query(refunded)).toMatchObject({
      answer: 'closed',
      paidAt: expect.any(Date) as unknown,
    });
  });

  it.each(['ACQ.SYSTEM_ERROR', 'ACQ.SOME_SYSTEM_ERROR'] as const)('%s is unknown', async (mode) => {
    await sandbox.control.fault({ mode });
    expect(await outcomeOf(alipay.query('T'))).toBe('unknown');
  });

  it.each([
    ['ACQ.ACCESS_FORBIDDEN', 'misconfigured'],
    ['ACQ.INVALID_PARAMETER', 'misconfigured'],
    ['ACQ.SOMETHING_NEW', 'refused'],
  ] as const)('%s is %s, never an answer', async (mode, expected) => {
    await sandbox.control.fault({ mode });
    expect(await outcomeOf(alipay.query('T'))).toBe(expected);
  });
});

describe('a genuine answer that says less than it should', () => {
  const CODE_ALONE = JSON.stringify({ code: '40004' });

  it('a query whose trade_status is new is unknown', async () => {
    const node = { code: '10000', out_trade_no: 'T', trade_status: 'TRADE_FROZEN' };
    const other = await signing(JSON.stringify(node));
    await expect(other.alipay.query('T')).rejects.toMatchObject({ kind: 'unknown', outage: false });
  });

  it.each(METHODS)('%s that is refused without a sub_code is unknown', async (method) => {
    const other = await signing(CODE_ALONE, { method });
    alipay = other.alipay;
    await expect(CALLS[method].make('T')).rejects.toMatchObject({ kind: 'unknown', code: '40004' });
  });

  it('a refund query that names no amount proves none where none was asked for', async () => {
    const node = JSON.stringify({ code: '10000', refund_status: 'REFUND_SUCCESS', out_trade_no: 'T' });
    const other = await signing(node, { method: 'alipay.trade.fastpay.refund.query' });
    expect(await other.alipay.refundQuery({ outTradeNo: 'T', outRequestNo: 'R' })).toBeUndefined();
  });

  it.each([
    ['an address', { bill_download_url: 'https://bills.example/1' }, { url: 'https://bills.example/1' }],
    ['that nothing moved', { bill_file_code: 'EMPTY_DATA_WITH_BILL_FILE' }, 'empty'],
    ['that there is none', { code: '40004', sub_code: 'isp.bill_not_exist' }, 'none'],
  ])('a bill: it says %s', async (_what, said, expected) => {
    const node = JSON.stringify({ code: '10000', ...said });
    const other = await signing(node, { method: 'alipay.data.dataservice.bill.downloadurl.query' });
    expect(await other.alipay.billAddress('2026-11-24')).toEqual(expected);
  });

  it.each([
    ['no address', { code: '10000' }, 'unknown', false],
    ['a refusal without a sub_code', { code: '40004' }, 'unknown', false],
    ['a refusal that says nothing of bills', { code: '40004', sub_code: 'isp.no_right' }, 'refused', false],
    ['that it was asked too often', { code: '40004', sub_code: 'isp.BILL_RATE_LIMIT' }, 'unknown', true],
  ])('a bill: %s is no answer', async (_what, said, kind, throttled) => {
    const method = 'alipay.data.dataservice.bill.downloadurl.query';
    const other = await signing(JSON.stringify(said), { method });
    await expect(other.alipay.billAddress('2026-11-24')).rejects.toMatchObject({ kind, throttled });
  });
});

describe('a close', () => {
  it.each([
    'ACQ.TRADE_STATUS_ERROR',
    'ACQ.REASON_TRADE_STATUS_INVALID',
    'ACQ.REASON_ILLEGAL_STATUS',
    'ACQ.TRADE_HAS_CLOSE',
  ] as const)('%s means ask again, never "closed"', async (mode) => {
    await sandbox.control.fault({ mode });
    expect(await alipay.close('T')).toBe('ask-again');
  });

  it('of a paid trade means ask again, of none not-exist', async () => {
    expect(await alipay.close(await trade({ paid: true }))).toBe('ask-again');
    expect(await alipay.close('never_scanned')).toBe('not-exist');
  });
});

describe('a refund', () => {
  it('is proven by fund_change=Y once, afterwards by the refund query alone', async () => {
    const outTradeNo = await trade({ paid: true });
    const { make } = CALLS['alipay.trade.refund'];
    const asked = { outTradeNo, amount: '12.30', outRequestNo: `LATE_${outTradeNo}` };
    expect(await alipay.refundQuery(asked)).toBeUndefined();
    expect(await make(outTradeNo)).toBe(true);
    expect(await make(outTradeNo)).toBe(false);
    expect(await alipay.refundQuery(asked)).toMatchObject({ amount: '12.30' });
    expect((await sandbox.control.trade(outTradeNo))?.refundedAmount).toBe('12.30');
  });

  const OF_T = { out_trade_no: 'T', refund_amount: '12.30' };

  it('of another amount is not proven by its query', async () => {
    const outTradeNo = await trade({ paid: true });
    const asked = { outTradeNo, amount: '12.30', outRequestNo: `LATE_${outTradeNo}` };
    expect(await alipay.refund({ ...asked, amount: '1.00', reason: 'a part' })).toMatchObject({
      hasMoved: true,
      cumulative: '1.00',
    });
    expect(await alipay.refundQuery(asked)).toBeUndefined();
    expect(await alipay.refundQuery({ ...asked, amount: '1' })).toMatchObject({ amount: '1.00' });
    // For a refund made in the merchant portal, the amount is what Alipay says.
    expect(await alipay.refundQuery({ ...asked, amount: null })).toMatchObject({ amount: '1.00' });

    await sandbox.control.fault({
      mode: 'wrong-amount',
      method: 'alipay.trade.fastpay.refund.query',
      times: 1,
    });
    expect(await alipay.refundQuery({ ...asked, amount: '1.00' })).toBeUndefined();
  });

  it.each([
    ['names the trade and the amount', true, OF_T],
    ['names the trade and no amount', false, { out_trade_no: 'T' }],
    ['names its own number, too', true, { ...OF_T, out_request_no: 'LATE_T' }],
    ['names another number', false, { ...OF_T, out_request_no: 'LATE2_T' }],
    ['names no trade', false, { refund_amount: '12.30' }],
    ['names an amount that is none', false, { out_trade_no: 'T', refund_amount: 'all' }],
  ])('whose query %s: proven is %s', async (_, proven, said) => {
    const node = JSON.stringify({ code: '10000', msg: 'Success', refund_status: 'REFUND_SUCCESS', ...said });
    const other = await signing(node, { method: 'alipay.trade.fastpay.refund.query' });
    const asked = { outTradeNo: 'T', amount: '12.30', outRequestNo: 'LATE_T' };
    expect((await other.alipay.refundQuery(asked))?.amount).toBe(proven ? '12.30' : undefined);
  });

  it('under another number is not ours', async () => {
    const outTradeNo = await trade({ paid: true });
    await sandbox.control.refundByHand(outTradeNo, '12.30');
    expect(await CALLS['alipay.trade.fastpay.refund.query'].make(outTradeNo)).toBeUndefined();
    await expect(CALLS['alipay.trade.refund'].make(outTradeNo)).rejects.toMatchObject({
      kind: 'refused',
      subCode: 'ACQ.TRADE_HAS_CLOSE',
    });
  });
});

describe('wrong keys', () => {
  it('of our own: a signature that Alipay refuses is misconfigured', async () => {
    const other = await startSandbox();
    try {
      const wrong = gateway({ privateKey: parsePrivateKey(other.appPrivateKey).pkcs1 });
      expect(await outcomeOf(wrong.query('T'))).toBe('misconfigured');
    } finally {
      await other.close();
    }
  });

  it('of Alipay: no answer verifies, so every one is unknown', async () => {
    const other = await startSandbox();
    try {
      const wrong = gateway({ publicKey: other.alipayPublicKey });
      expect(await outcomeOf(wrong.query(await trade({ paid: true })))).toBe('unknown untrusted');
    } finally {
      await other.close();
    }
  });

  it('an unknown application is misconfigured, though Alipay says so unsigned', async () => {
    expect(await outcomeOf(gateway({ appId: '2021999999999999' }).query('T'))).toBe('misconfigured');
  });
});

describe('the token of a merchant who lets us act for it', () => {
  it('goes with each call', async () => {
    const tokens: unknown[] = [];
    const address = await served((request, response) => {
      tokens.push(new URL(request.url ?? '', 'http://alipay').searchParams.get('app_auth_token'));
      response.end();
    });
    alipay = gateway({ gateway: address, appAuthToken: 'token-1' });
    for (const method of METHODS) expect(await outcomeOf(CALLS[method].make('T'))).toBe('unknown outage');
    expect(tokens).toEqual(METHODS.map(() => 'token-1'));
  });
});

describe('an error', () => {
  it('carries codes and ids, never a body, a key or a buyer', async () => {
    const outTradeNo = await trade({ paid: true });
    alipay = gateway({ timeoutMs: DEADLINE_MS });
    for (const mode of FAULT_MODES) {
      await sandbox.control.fault({ mode, times: 1 });
      const error: unknown = await alipay.query(outTradeNo).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error instanceof Error) expect(error.message).not.toMatch(/buyer|sandbox\.com|BEGIN|<html|系统/);
    }
  });
});

describe('an answer', () => {
  it('is kept as the very bytes that Alipay signed', async () => {
    const outTradeNo = await trade({ paid: true });
    const { signed, content } = await alipay.query(outTradeNo);
    const key = createPublicKey(sandbox.alipayPublicKey);
    expect(verify('RSA-SHA256', signed.bytes, key, Buffer.from(signed.signature, 'base64'))).toBe(true);
    expect(signed.keyFingerprint).toBe(
      createHash('sha256')
        .update(key.export({ type: 'spki', format: 'der' }))
        .digest('hex'),
    );
    expect(readSignedFields('answer', signed.bytes, signed.charset)).toEqual(content);
    expect(content).toMatchObject({ trade_status: 'TRADE_SUCCESS', out_trade_no: outTradeNo });
  });

  it.each(['alipay.trade.close', 'alipay.trade.refund', 'alipay.trade.fastpay.refund.query'] as const)(
    'to %s that carries trade_status is unknown: a query answers so',
    async (method) => {
      const query = JSON.stringify({ code: '10000', out_trade_no: 'T', trade_status: 'TRADE_SUCCESS' });
      const other = await signing(query, { method });
      alipay = other.alipay;
      const call = CALLS[method].make('T');
      await expect(call).rejects.toMatchObject({ kind: 'unknown', outage: false });
      await expect(call).rejects.toThrow('answer of another method');
    },
  );

  const GBK = encodeGbk(
    '{"code":"CODE","msg":"错","sub_msg":"系统繁忙","out_trade_no":"T","trade_status":"TRADE_SUCCESS"}',
  );
  const inGbk = (code: string) => Buffer.from(GBK.toString('latin1').replace('CODE', code), 'latin1');

  it.each([
    ['20000', 'unknown outage'],
    ['40005', 'unknown throttled'],
    ['40006', 'misconfigured'],
    // Only codes are read from such an answer.
    ['10000', 'unknown'],
  ])('in GBK, signed, of code %s is %s', async (code, expected) => {
    const other = await signing(inGbk(code));
    expect(await outcomeOf(other.alipay.query('T'))).toBe(expected);
  });

  it.each([
    ['20000', 'unknown outage'],
    ['40005', 'unknown throttled'],
    ['40006', 'unknown untrusted'],
    ['10000', 'unknown untrusted'],
  ])('in GBK, badly signed, of code %s is %s', async (code, expected) => {
    const other = await signing(inGbk(code));
    expect(await outcomeOf(gateway({ gateway: other.gateway }).query('T'))).toBe(expected);
  });

  it('that is no UTF-8 in a value nobody reads is still no answer', async () => {
    const paid = '{"code":"10000","out_trade_no":"T","trade_status":"TRADE_SUCCESS","total_amount":"1.00"';
    const other = await signing(Buffer.from(`${paid},"buyer_user_name":"\xc1\xfa"}`, 'latin1'));
    await expect(other.alipay.query('T')).rejects.toThrow('answer in GBK');
  });

  it('of more than a megabyte is unknown, and not read to its end', async () => {
    let sent = 0;
    const endless = await served((_request, response) => {
      const piece = Buffer.alloc(100_000, ' ');
      const more = (): void => {
        sent += piece.length;
        response.write(piece, (error) => {
          if (!error) setImmediate(more);
        });
      };
      more();
      response.on('error', () => undefined);
    });
    expect(await outcomeOf(gateway({ gateway: endless, timeoutMs: 10_000 }).query('T'))).toBe(
      'unknown outage',
    );
    expect(sent).toBeLessThan(50_000_000);
  });

  it('that is a redirect is not followed', async () => {
    const asked: string[] = [];
    const elsewhere = await served((request, response) => {
      asked.push(request.url?.split('?')[0] ?? '');
      response.writeHead(302, { location: '/elsewhere' }).end();
    });
    expect(await outcomeOf(gateway({ gateway: elsewhere }).query('T'))).toBe('unknown outage');
    expect(asked).toEqual([new URL(sandbox.gateway).pathname]);
  });
});

describe('ALIPAY_TIMEOUT is a hard deadline', () => {
  setFlagsFromString('--expose_gc');
  const collectGarbage = runInNewContext('gc') as () => void;

  it.each(METHODS)('for an answer to %s that drips while garbage is collected', async (method) => {
    const { paid, make } = CALLS[method];
    const outTradeNo = await trade({ paid });
    await sandbox.control.fault({ mode: 'drip', method, times: 1 });
    alipay = gateway({ timeoutMs: DEADLINE_MS });
    const collecting = setInterval(collectGarbage, 20);
    const startedAt = Date.now();
    try {
      await expect(make(outTradeNo)).rejects.toMatchObject({ kind: 'unknown', outage: true });
    } finally {
      clearInterval(collecting);
    }
    const took = Date.now() - startedAt;
    expect(took).toBeGreaterThanOrEqual(DEADLINE_MS - 5);
    expect(took).toBeLessThan(MUCH_LATER_MS);
  });

  it('and the connection of such an answer is closed', async () => {
    let closed = false;
    const dripping = await served((_request, response) => {
      response.writeHead(200, { 'content-length': 1_000 });
      const dripped = setInterval(() => response.write(' '), 50);
      response.on('close', () => {
        clearInterval(dripped);
        closed = true;
      });
    });
    const impatient = gateway({ gateway: dripping, timeoutMs: DEADLINE_MS });
    expect(await outcomeOf(impatient.query('T'))).toBe('unknown outage');
    await waitFor(() => Promise.resolve(closed), { what: 'the connection to be closed' });
  });
});

describe('a call whose connection cannot be made', () => {
  const silent = () => createTcpServer(() => undefined);
  const hangingUp = () => createTcpServer((socket) => socket.destroy());

  it.each([
    ['a port where nobody listens', 'http://127.0.0.1:9/gateway.do', 'no connection (ECONNREFUSED)'],
    ['a host that has no address', 'http://no-such-host.invalid/gateway.do', 'no connection'],
  ])('to %s was not asked: down, never unknown', async (_, address, words) => {
    const call = gateway({ gateway: address, timeoutMs: DEADLINE_MS }).query('T');
    await expect(call).rejects.toMatchObject({ kind: 'down', outage: true });
    await expect(call).rejects.toThrow(`not asked: ${words}`);
  });

  it.each([
    ['is broken off', hangingUp],
    ['fails', () => createTlsServer()],
    ['never ends', silent],
  ])('because its TLS handshake %s was not asked', async (_, server) => {
    const address = await listening(server(), 'https');
    const call = gateway({ gateway: address, timeoutMs: DEADLINE_MS }).query('T');
    await expect(call).rejects.toMatchObject({ kind: 'down', outage: true });
    await expect(call).rejects.toThrow('not asked: no connection');
  });

  it('is told of as down', async () => {
    const seen: Parameters<ObserveCall>[0][] = [];
    const call = gateway({ gateway: 'http://127.0.0.1:9/' }, { observe: (one) => seen.push(one) }).query('T');
    await expect(call).rejects.toThrow('ECONNREFUSED');
    expect(seen).toMatchObject([{ method: 'alipay.trade.query', outcome: 'down', code: '' }]);
  });

  it.each([
    ['is broken off at once', hangingUp],
    ['is never answered', silent],
  ])('but one that was made and %s may have been asked: unknown', async (_, server) => {
    const address = await listening(server());
    const impatient = gateway({ gateway: address, timeoutMs: DEADLINE_MS });
    expect(await outcomeOf(impatient.query('T'))).toBe('unknown outage');
  });
});

describe('the circuit breaker', () => {
  const open = async (mode: FaultMode): Promise<boolean> => {
    await sandbox.control.fault({ mode });
    for (let i = 0; i < 12; i += 1) await alipay.query(`T_${i}`).catch(() => undefined);
    return alipay.circuit.isOpen;
  };
  /** Lets the pause of an open circuit elapse. */
  const pass = (): void => {
    const later = alipay.circuit.probeAt ?? Number.NaN;
    jest.spyOn(performance, 'now').mockReturnValue(later);
  };
  afterEach(async () => {
    jest.restoreAllMocks();
    await sandbox.control.latency(0);
  });

  it.each(['20000', '20000-unsigned', 'http-500', 'html', 'reset', 'truncated'] as const)(
    'opens on %s',
    async (mode) => {
      expect(await open(mode)).toBe(true);
      expect(await calls()).toHaveLength(10);
      expect(await outcomeOf(alipay.query('T'))).toBe('down');
      expect(await calls()).toHaveLength(10);
    },
  );

  it.each([
    'SYSTEM_ERROR',
    'ACQ.TRADE_NOT_EXIST',
    'ACQ.INVALID_PARAMETER',
    '40001',
    '40005',
    'http-429',
    'no-signature',
    'bad-signature',
  ] as const)('stays closed on %s', async (mode) => {
    expect(await open(mode)).toBe(false);
    expect(await calls()).toHaveLength(12);
  });

  it('opens on a gateway that refuses connections', async () => {
    alipay = gateway({ gateway: 'http://127.0.0.1:9/gateway.do' });
    for (let i = 0; i < 10; i += 1) expect(await outcomeOf(alipay.query('T'))).toBe('down outage');
    expect(alipay.circuit.isOpen).toBe(true);
    expect(await outcomeOf(alipay.query('T'))).toBe('down');
  });

  it('opens on a gateway that hangs', async () => {
    await sandbox.control.fault({ mode: 'hang' });
    alipay = gateway({ timeoutMs: DEADLINE_MS });
    const asks = Array.from({ length: 10 }, () => outcomeOf(alipay.query('T')));
    expect(new Set(await Promise.all(asks))).toEqual(new Set(['unknown outage']));
    expect(alipay.circuit.isOpen).toBe(true);
  });

  it('is not opened by a gateway that is slow', async () => {
    const outTradeNo = await trade({ paid: true });
    await sandbox.control.latency(200);
    const asks = Array.from({ length: 12 }, () => outcomeOf(alipay.query(outTradeNo)));
    expect(new Set(await Promise.all(asks))).toEqual(new Set(['"paid"']));
    expect(alipay.circuit.isOpen).toBe(false);
  });

  it('is not opened by the quota', async () => {
    alipay = gateway({}, { acquireSlot: () => Promise.resolve(undefined) });
    for (let i = 0; i < 12; i += 1) expect(await outcomeOf(alipay.query('T'))).toBe('no-quota');
    expect(alipay.circuit.isOpen).toBe(false);
    expect(await calls()).toHaveLength(0);
  });

  it('tells when one call is let through again, which closes it', async () => {
    expect(alipay.circuit).toMatchObject({ isOpen: false, probeAt: undefined });
    const before = performance.now();
    await open('reset');
    const { probeAt = 0 } = alipay.circuit;
    expect(probeAt).toBeGreaterThanOrEqual(before + 10_000);
    expect(probeAt).toBeLessThanOrEqual(performance.now() + 10_000);

    await sandbox.control.clearFaults();
    jest.spyOn(performance, 'now').mockReturnValue(probeAt - 10);
    expect(await outcomeOf(alipay.query('T'))).toBe('down');
    pass();
    expect(await outcomeOf(alipay.query('T'))).toBe('"not-exist"');
    expect(alipay.circuit).toMatchObject({ isOpen: false, probeAt: undefined });
  });

  it('lets one probe through alone: who comes meanwhile waits for its end', async () => {
    await open('reset');
    await sandbox.control.clearFaults();
    await sandbox.control.clearJournal();
    await sandbox.control.latency(200);
    pass();
    const first = outcomeOf(alipay.query('first'));
    expect(alipay.circuit).toMatchObject({ isOpen: true, probeAt: undefined });
    const second = outcomeOf(alipay.query('second'));
    await waitFor(async () => (await calls()).length > 0, { what: 'the probe', everyMs: 5 });
    expect((await calls()).map(({ outTradeNo }) => outTradeNo)).toEqual(['first']);
    expect([await first, await second]).toEqual(['"not-exist"', '"not-exist"']);
    expect(alipay.circuit.isOpen).toBe(false);
  });

  it('lets one call through though the clock has been set back meanwhile', async () => {
    await open('reset');
    await sandbox.control.clearFaults();
    const { probeAt = 0 } = alipay.circuit;
    jest.spyOn(Date, 'now').mockReturnValue(Date.now() - 8 * 3_600_000);
    jest.spyOn(performance, 'now').mockReturnValue(probeAt);
    expect(await outcomeOf(alipay.query('T'))).toBe('"not-exist"');
  });

  it('stays open, with a later probe, where the probe fails', async () => {
    await open('reset');
    const { probeAt: first = 0 } = alipay.circuit;
    pass();
    expect(await outcomeOf(alipay.query('T'))).toBe('unknown outage');
    expect(alipay.circuit).toMatchObject({ isOpen: true, probeAt: first + 10_000 });
  });
});

describe('the common circuit of two merchants, one of them cut off', () => {
  let other: AlipayGateway;
  let both: AlipayGateways;
  beforeEach(() => {
    alipay = gateway({ gateway: 'http://127.0.0.1:9/gateway.do' });
    other = gateway({ name: 'other', sellerId: '2088000000000009' });
    both = new AlipayGateways([alipay, other]);
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });

  const cutOff = async (): Promise<void> => {
    for (let i = 0; i < 10; i += 1) await alipay.query('T').catch(() => undefined);
    expect(alipay.circuit.isOpen).toBe(true);
  };
  const asked = async (times: number): Promise<void> => {
    await waitFor(async () => (await calls()).length === times, { what: 'the other to be asked' });
  };

  it('is open until the other answers: this process may have no network', async () => {
    await sandbox.control.fault({ mode: 'reset' });
    await cutOff();
    await asked(1);
    expect(other.circuit.isOpen).toBe(false);
    expect(both.circuit).toMatchObject({ isOpen: true, probeAt: alipay.circuit.probeAt });
    expect(both.reachableIds).toEqual(both.ids);
  });

  it('is closed soon though nobody called the other for a while: it is asked, once for each probe in vain', async () => {
    await cutOff();
    await waitFor(() => !both.circuit.isOpen, { what: 'the answer of the other' });
    expect(await calls()).toMatchObject([{ outTradeNo: PROBE_OUT_TRADE_NO }]);

    let now = (alipay.circuit.probeAt ?? 0) + 1;
    jest.spyOn(performance, 'now').mockImplementation(() => now);
    expect(await outcomeOf(alipay.query('T'))).toBe('down outage');
    expect(await calls()).toHaveLength(1);
    now += 60_000;
    expect(both.circuit.isOpen).toBe(true);
    expect(await outcomeOf(alipay.query('T'))).toBe('down outage');
    await waitFor(() => !both.circuit.isOpen, { what: 'the answer of the other' });
    expect(await calls()).toHaveLength(2);
  });

  it('is closed soon where the first of the others cannot be reached either: all are asked', async () => {
    const unreachable = (no: string) =>
      gateway({ name: no, sellerId: `208800000000000${no}`, gateway: 'http://127.0.0.1:9/gateway.do' });
    const own = unreachable('7');
    const all = new AlipayGateways([own, unreachable('8'), gateway({ name: '9' })]);
    for (let i = 0; i < 10; i += 1) await own.query('T').catch(() => undefined);
    await waitFor(() => !all.circuit.isOpen, { what: 'the answer of the other' });
    expect(all.reachableIds).toEqual([all.ids[1], all.ids[2]]);
  });

  it.each([
    ['an answer', undefined, '"not-exist"'],
    ['a refusal', '40006', 'misconfigured'],
  ] as const)('is closed for a minute after %s of the other', async (_what, mode, outcome) => {
    if (mode) await sandbox.control.fault({ mode });
    expect(await outcomeOf(other.query('T'))).toBe(outcome);
    await cutOff();
    await asked(1);
    const answeredAt = performance.now();
    expect(both.circuit.isOpen).toBe(false);
    expect(both.reachableIds).toEqual([both.ids[1]]);

    jest.spyOn(performance, 'now').mockReturnValue(answeredAt + 60_000);
    expect(both.circuit).toMatchObject({ isOpen: true, probeAt: alipay.circuit.probeAt });
    expect(both.reachableIds).toEqual(both.ids);
  });
});

describe('the common circuit of two merchants', () => {
  const onOpen = (): void => undefined;
  const PROBING = { isOpen: true, probeAt: undefined, hasJustAnswered: false, onOpen };
  const ANSWERED = { isOpen: false, probeAt: undefined, hasJustAnswered: true, onOpen };
  const gatewayWith = (no: string, circuit: AlipayGateway['circuit']) =>
    Object.assign(gateway({ name: no, sellerId: `208800000000000${no}` }), { circuit });

  it('has no probe to wait for while both are closed', () => {
    const both = new AlipayGateways([gatewayWith('1', ANSWERED), gatewayWith('2', ANSWERED)]);
    expect(both.circuit).toMatchObject({ isOpen: false, probeAt: undefined });
    expect(both.reachableIds).toEqual(both.ids);
  });

  it('leaves out the one whose probe is under way', () => {
    const both = new AlipayGateways([gatewayWith('1', PROBING), gatewayWith('2', ANSWERED)]);
    expect(both.reachableIds).toEqual([both.ids[1]]);
  });
});

describe('a slot under the quota', () => {
  it.each([
    ['a call', {}, [['main', 30_000]]],
    ['an impatient call', { maxWaitMs: 100 }, [['main', 100]]],
    [
      'a call in the background',
      { background: true, maxWaitMs: 1_000 },
      [
        ['background', 1_000],
        ['main', 1_000],
      ],
    ],
  ])('is taken by %s in its line before it goes out', async (_, options, expected) => {
    const taken: Array<[QuotaLine, number]> = [];
    alipay = gateway(
      {},
      {
        acquireSlot: async (...slot) => {
          taken.push(slot);
          expect(await calls()).toEqual([]);
          return 1;
        },
      },
    );
    expect(await outcomeOf(alipay.query('T', options))).toBe('"not-exist"');
    expect(taken).toEqual(expected);
  });

  it.each(['background', 'main'] as const)('that is too far ahead in the %s line: no-quota', async (full) => {
    alipay = gateway({}, { acquireSlot: (line) => Promise.resolve(line === full ? undefined : 0) });
    expect(await outcomeOf(alipay.query('T', { background: true }))).toBe('no-quota');
    expect(await calls()).toEqual([]);
  });

  it('is held before the last word before sending; where that is no, nothing is sent, and the circuit unmoved', async () => {
    const steps: string[] = [];
    alipay = gateway({}, { acquireSlot: () => Promise.resolve(steps.push('slot') && 0) });
    const beforeSending = async (): Promise<void> => {
      steps.push('last word');
      expect(await calls()).toEqual([]);
    };
    expect(await outcomeOf(alipay.query('T', { beforeSending }))).toBe('"not-exist"');
    expect(steps).toEqual(['slot', 'last word']);
    await sandbox.control.clearJournal();

    const no = new Error('no');
    alipay = gateway();
    await expect(alipay.query('T', { beforeSending: () => Promise.reject(no) })).rejects.toBe(no);
    expect(await calls()).toEqual([]);
    expect(alipay.circuit.hasJustAnswered).toBe(false);
  });

  it('is not taken while the circuit is open', async () => {
    let taken = 0;
    alipay = gateway(
      { gateway: 'http://127.0.0.1:9/gateway.do' },
      { acquireSlot: () => Promise.resolve((taken += 1) && 0) },
    );
    for (let i = 0; i < 15; i += 1) await alipay.query('T').catch(() => undefined);
    expect(taken).toBe(10);
  });
});

describe('Beijing time', () => {
  const { TZ } = process.env;
  afterEach(() => {
    if (TZ === undefined) delete process.env['TZ'];
    else process.env['TZ'] = TZ;
  });

  it('has no daylight saving, and reads what it writes', () => {
    for (const at of ['2026-01-01T00:00:00Z', '2026-07-01T16:00:00Z', '2026-11-01T05:30:00Z']) {
      expect(fromBeijing(toBeijing(new Date(at)))).toEqual(new Date(at));
    }
    expect(toBeijing(new Date('2026-07-01T16:00:00Z'))).toBe('2026-07-02 00:00:00');
    expect(fromBeijing('2026-07-02 00:00:00.123')).toEqual(new Date('2026-07-01T16:00:00.123Z'));
  });

  it.each([undefined, '', '2026-07-02', '2026-07-02T00:00:00', '2026-13-02 00:00:00', 'now'])(
    '%j is no time',
    (text) => {
      expect(fromBeijing(text)).toBeNull();
    },
  );

  it.each(['America/New_York', 'UTC', 'Asia/Kathmandu'])(
    'is on the wire in a process in %s',
    async (zone) => {
      const root = join(__dirname, '..', '..');
      const script = `
      const { AlipayGateway } = require('./activities/alipay/gateway.ts');
      const { startSandbox } = require('./sandbox/index.ts');
      const { parsePrivateKey } = require('./worker/keys.ts');
      (async () => {
        const sandbox = await startSandbox({ maxClockSkewMs: 5000 });
        const alipay = new AlipayGateway({
          name: 'default', gateway: sandbox.gateway, appId: sandbox.appId, sellerId: sandbox.sellerId, notifyUrl: 'http://127.0.0.1:9/alipay/notify', timeoutMs: 2000,
          privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1, publicKey: sandbox.alipayPublicKey,
        });
        const timeExpire = new Date(Date.now() + 3600000);
        const url = await alipay.payUrl({ outTradeNo: 'T', subject: 'tea', totalAmount: '1.00', product: 'page', timeExpire });
        await sandbox.control.open(url);
        await sandbox.control.pay('T', { notify: false });
        const { answer, paidAt } = await alipay.query('T');
        const { expiresAt } = await sandbox.control.trade('T');
        const near = (a, b) => Math.abs(a - b) < 5000;
        console.log(JSON.stringify({
          zone: new Date().getTimezoneOffset() !== 0 || process.env.TZ === 'UTC',
          answer, paidNow: near(paidAt, Date.now()), expiry: near(Date.parse(expiresAt), timeExpire),
        }));
        await sandbox.close();
      })();`;
      const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', '-e', script], {
        cwd: root,
        env: { ...process.env, TZ: zone, NODE_OPTIONS: '' },
      });
      expect(JSON.parse(stdout)).toEqual({ zone: true, answer: 'paid', paidNow: true, expiry: true });
    },
  );
});
