import { execFile } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { fromBeijing, toBeijing } from '../../activities/alipay/beijing';
import { AlipayError } from '../../activities/alipay/errors';
import type { ObserveCall } from '../../activities/alipay/gateway';
import { AlipayGateway } from '../../activities/alipay/gateway';
import type { CallEntry, FaultMode, Sandbox } from '../../sandbox';
import { FAULT_MODES, startSandbox } from '../../sandbox';
import { parsePrivateKey } from '../../worker/keys';
import { waitFor } from '../../sandbox/dev/wait-for';

/** Far below `drip`, which takes a byte every 100 ms. */
const DEADLINE_MS = 400;

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
  told: { takePlace?: () => Promise<number | undefined>; observe?: ObserveCall } = {},
) {
  return new AlipayGateway(
    {
      gateway: sandbox.gateway,
      appId: sandbox.appId,
      privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
      publicKey: sandbox.alipayPublicKey,
      sellerId: sandbox.sellerId,
      notifyUrl: 'http://127.0.0.1:9/alipay/notify',
      timeoutMs: DEADLINE_MS,
      ...settings,
    },
    told,
  );
}

/** A trade that the buyer has scanned, or paid too. */
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
      alipay.refund({ outTradeNo: no, amount: '12.30', outRequestNo: `LATE_${no}`, reason: 'late' }),
  },
  'alipay.trade.fastpay.refund.query': {
    paid: true,
    make: (no: string) => alipay.refundQuery({ outTradeNo: no, amount: '12.30', outRequestNo: `LATE_${no}` }),
  },
} as const;

type Method = keyof typeof CALLS;
const METHODS = Object.keys(CALLS) as Method[];

/** What a call brings: an answer, or the kind of error with its marks. */
async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    const answer = await call;
    return JSON.stringify(typeof answer === 'object' ? (answer as { answer: string }).answer : answer);
  } catch (error) {
    if (!(error instanceof AlipayError)) throw error;
    const marks = [error.outage && 'outage', error.throttled && 'throttled'].filter(Boolean);
    return [error.kind, ...marks].join(' ');
  }
}

/** What each fault is taken for, whatever was called. */
const TAKEN_FOR: Partial<Record<FaultMode, string>> = {
  '20000': 'unknown outage',
  SYSTEM_ERROR: 'unknown',
  '40001': 'misconfigured',
  '40002': 'misconfigured',
  '40005': 'unknown throttled',
  '40006': 'misconfigured',
  'http-500': 'unknown outage',
  'http-429': 'unknown throttled',
  html: 'unknown outage',
  hang: 'unknown outage',
  drip: 'unknown outage',
  reset: 'unknown outage',
  truncated: 'unknown outage',
  'no-signature': 'unknown',
  'bad-signature': 'unknown',
  'other-order': 'unknown',
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

      const startedAt = Date.now();
      expect(await outcomeOf(make(outTradeNo))).toBe(expected);
      expect(Date.now() - startedAt).toBeLessThan(DEADLINE_MS + 1_000);
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
      'alipay.trade.fastpay.refund.query': 'false',
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
  /** What it would mean were it believed, and what Alipay says. */
  const FORGED: Record<Method, { node: object; paid: boolean; truth: string }> = {
    'alipay.trade.query': { node: { trade_status: 'TRADE_SUCCESS' }, paid: false, truth: '"waiting"' },
    'alipay.trade.close': { node: {}, paid: true, truth: '"ask-again"' },
    'alipay.trade.refund': { node: { fund_change: 'Y' }, paid: true, truth: 'false' },
    'alipay.trade.fastpay.refund.query': {
      node: { refund_status: 'REFUND_SUCCESS', refund_amount: '12.30' },
      paid: true,
      truth: 'false',
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
    try {
      expect([truth, 'unknown']).toContain(await outcomeOf(CALLS[method].make(outTradeNo)));
      expect(between.altered()).toBe(1);
    } finally {
      await between.close();
    }
  });

  it('and a code that is none reaches no message', async () => {
    const between = await relay(() =>
      JSON.stringify({ alipay_trade_query_response: { code: 40004, sub_code: '<b>call 138 0013 8000</b>' } }),
    );
    try {
      const asked = gateway({ gateway: between.gateway }).query('T');
      await expect(asked).rejects.toMatchObject({ kind: 'unknown', code: undefined, subCode: undefined });
    } finally {
      await between.close();
    }
  });
});

/** Somebody on the way to Alipay, who passes everything on and changes the answers. */
async function relay(change: (answer: string) => string) {
  let altered = 0;
  const server = createServer((request, response) => {
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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    gateway: `http://127.0.0.1:${port}${new URL(sandbox.gateway).pathname}`,
    altered: () => altered,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
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
    expect(await alipay.refundQuery(asked)).toBe(false);
    expect(await make(outTradeNo)).toBe(true);
    expect(await make(outTradeNo)).toBe(false);
    expect(await alipay.refundQuery(asked)).toBe(true);
    expect((await sandbox.control.trade(outTradeNo))?.refundedAmount).toBe('12.30');
  });

  it('of another amount is not proven by its query', async () => {
    const outTradeNo = await trade({ paid: true });
    const asked = { outTradeNo, amount: '12.30', outRequestNo: `LATE_${outTradeNo}` };
    expect(await alipay.refund({ ...asked, amount: '1.00', reason: 'a part' })).toBe(true);
    expect(await alipay.refundQuery(asked)).toBe(false);
    expect(await alipay.refundQuery({ ...asked, amount: '1' })).toBe(true);

    await sandbox.control.fault({
      mode: 'wrong-amount',
      method: 'alipay.trade.fastpay.refund.query',
      times: 1,
    });
    expect(await alipay.refundQuery({ ...asked, amount: '1.00' })).toBe(false);
  });

  it.each([
    ['names the trade and the amount', true, { out_trade_no: 'T', refund_amount: '12.30' }],
    ['names the trade and no amount', true, { out_trade_no: 'T' }],
    ['names no trade', false, { refund_amount: '12.30' }],
    ['names an amount that is none', false, { out_trade_no: 'T', refund_amount: 'all' }],
  ])('whose query %s: proven is %s', async (_, proven, said) => {
    const node = JSON.stringify({ code: '10000', msg: 'Success', refund_status: 'REFUND_SUCCESS', ...said });
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const signature = sign('RSA-SHA256', Buffer.from(node), privateKey).toString('base64');
    const other = await relay(
      () => `{"alipay_trade_fastpay_refund_query_response":${node},"sign":"${signature}"}`,
    );
    try {
      const asked = gateway({
        gateway: other.gateway,
        publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
      }).refundQuery({ outTradeNo: 'T', amount: '12.30', outRequestNo: 'LATE_T' });
      expect(await asked).toBe(proven);
    } finally {
      await other.close();
    }
  });

  it('under another number is not ours', async () => {
    const outTradeNo = await trade({ paid: true });
    await sandbox.control.refundByHand(outTradeNo, '12.30');
    expect(await CALLS['alipay.trade.fastpay.refund.query'].make(outTradeNo)).toBe(false);
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
      expect(await outcomeOf(wrong.query(await trade({ paid: true })))).toBe('unknown');
    } finally {
      await other.close();
    }
  });

  it('an unknown application is misconfigured, though Alipay says so unsigned', async () => {
    expect(await outcomeOf(gateway({ appId: '2021999999999999' }).query('T'))).toBe('misconfigured');
  });
});

describe('an error', () => {
  it('carries codes and ids, never a body, a key or a buyer', async () => {
    const outTradeNo = await trade({ paid: true });
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

describe('the circuit breaker', () => {
  const open = async (mode: FaultMode): Promise<boolean> => {
    await sandbox.control.fault({ mode });
    for (let i = 0; i < 12; i += 1) await alipay.query(`T_${i}`).catch(() => undefined);
    return alipay.isDown;
  };

  it.each(['20000', 'http-500', 'html', 'reset', 'truncated'] as const)('opens on %s', async (mode) => {
    expect(await open(mode)).toBe(true);
    expect(await calls()).toHaveLength(10);
    expect(await outcomeOf(alipay.query('T'))).toBe('down');
    expect(await calls()).toHaveLength(10);
  });

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
    for (let i = 0; i < 10; i += 1) expect(await outcomeOf(alipay.query('T'))).toBe('unknown outage');
    expect(alipay.isDown).toBe(true);
  });

  it('is not opened by the quota', async () => {
    alipay = gateway({}, { takePlace: () => Promise.resolve(undefined) });
    for (let i = 0; i < 12; i += 1) expect(await outcomeOf(alipay.query('T'))).toBe('no-quota');
    expect(alipay.isDown).toBe(false);
    expect(await calls()).toHaveLength(0);
  });
});

describe('a caller that waits less than ALIPAY_TIMEOUT', () => {
  /** Far below {@link SLOW_MS}, which is far below {@link DEADLINE_MS}. */
  const IMPATIENT = { deadlineMs: 50 };
  const SLOW_MS = 200;
  const askImpatiently = (outTradeNo: string): Promise<string> =>
    outcomeOf(alipay.query(outTradeNo, IMPATIENT));

  const fail = async (times: number): Promise<void> => {
    await sandbox.control.fault({ mode: 'reset', times });
    for (let i = 0; i < times; i += 1) expect(await outcomeOf(alipay.query('T'))).toBe('unknown outage');
  };

  /** Opens the breaker and lets its pause go by. */
  const openAndWait = async (): Promise<void> => {
    await fail(10);
    expect(await outcomeOf(alipay.query('T'))).toBe('down');
    const later = Date.now() + 10_001;
    jest.spyOn(Date, 'now').mockReturnValue(later);
  };

  afterEach(async () => {
    jest.restoreAllMocks();
    await sandbox.control.latency(0);
  });

  it('never opens the breaker of a gateway that is slow', async () => {
    const outTradeNo = await trade({ paid: true });
    await sandbox.control.latency(SLOW_MS);
    const asks = Array.from({ length: 12 }, () => askImpatiently(outTradeNo));
    expect(new Set(await Promise.all(asks))).toEqual(new Set(['unknown']));
    expect(await outcomeOf(alipay.query(outTradeNo))).toBe('"paid"');
    expect(await calls()).toHaveLength(13);
  });

  it('opens it where the gateway hangs, once ALIPAY_TIMEOUT is over', async () => {
    await sandbox.control.fault({ mode: 'hang' });
    const asks = Array.from({ length: 10 }, () => askImpatiently('T'));
    expect(new Set(await Promise.all(asks))).toEqual(new Set(['unknown']));
    expect(alipay.isDown).toBe(false);
    await waitFor(() => Promise.resolve(alipay.isDown), { what: 'the breaker to open' });
    expect(await askImpatiently('T')).toBe('down');
    expect(await calls()).toHaveLength(10);
  });

  it('makes no failure before it forgotten', async () => {
    await fail(9);
    await sandbox.control.fault({ mode: 'hang', times: 1 });
    expect(await askImpatiently('T')).toBe('unknown');
    expect(alipay.isDown).toBe(false);
    await fail(1);
    expect(alipay.isDown).toBe(true);
  });

  it('does not close the breaker by going away from its one question, the answer does', async () => {
    await openAndWait();
    await sandbox.control.latency(SLOW_MS);
    await sandbox.control.clearJournal();
    const [first, second] = [askImpatiently('first'), askImpatiently('second')];
    expect(await first).toBe('unknown');
    expect(await second).toBe('down');
    expect(await outcomeOf(alipay.query('third'))).toBe('"not-exist"');
    expect((await calls()).map(({ outTradeNo }) => outTradeNo)).toEqual(['first', 'third']);
  });

  it('leaves the breaker open where its one question finds the gateway hanging', async () => {
    await openAndWait();
    await sandbox.control.fault({ mode: 'hang' });
    expect(await askImpatiently('first')).toBe('unknown');
    expect(await outcomeOf(alipay.query('second'))).toBe('down');
    expect(alipay.isDown).toBe(true);
  });

  it('is told of as one call, when that is over, with the time that the gateway took', async () => {
    const seen: Parameters<ObserveCall>[0][] = [];
    alipay = gateway({}, { observe: (call) => seen.push(call) });
    await sandbox.control.latency(SLOW_MS);
    expect(await askImpatiently('T')).toBe('unknown');
    expect(seen).toEqual([]);
    await waitFor(() => Promise.resolve(seen.length > 0), { what: 'the call to be over' });
    expect(seen).toMatchObject([{ outcome: 'answered', code: 'ACQ.TRADE_NOT_EXIST' }]);
    expect(seen[0]?.ms).toBeGreaterThanOrEqual(SLOW_MS - 5);
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
          gateway: sandbox.gateway, appId: sandbox.appId, sellerId: sandbox.sellerId, notifyUrl: 'http://127.0.0.1:9/alipay/notify', timeoutMs: 2000,
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
