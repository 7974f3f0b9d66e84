import { createVerify } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FAULT_MODES, connectControl, startSandbox } from '../../sandbox';
import type { FaultMode, JournalEntry, Sandbox } from '../../sandbox';
import { waitFor } from '../../dev/wait-for';
import { Shop } from './sandbox-shop';

const QUERY = 'alipay.trade.query';
const CLOSE = 'alipay.trade.close';
const REFUND = 'alipay.trade.refund';

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
  no = `F${count}`;
});
afterEach(() => sandbox.control.clearFaults());
afterAll(async () => {
  await sandbox.close();
  await shop.close();
});

interface Answer {
  status: number;
  body: string;
  node: Record<string, string>;
  sign?: string;
  genuine: boolean;
}

async function ask(signal?: AbortSignal, method = QUERY): Promise<Answer> {
  const response = await shop.raw(method, { outTradeNo: no }, {}, signal);
  const body = await response.text();
  const [, node = '{}', , sign] = /^\{"\w+":(\{.*\})(,"sign":"([^"]+)")?\}$/.exec(body) ?? [];
  const genuine = sign !== undefined && shop.sdk.rsaCheck(node, sign);
  return { status: response.status, body, node: JSON.parse(node) as Record<string, string>, sign, genuine };
}

/** Calls, and gives up once the call has arrived: some faults never respond. @returns what the journal says of it */
async function askInVain(method = QUERY): Promise<JournalEntry> {
  await sandbox.control.clearJournal();
  const patience = new AbortController();
  const asking = ask(patience.signal, method).catch(() => undefined);
  const arrived = await waitFor(
    async () => (await sandbox.control.journal()).find(({ kind }) => kind === 'call'),
    { what: 'the call to arrive', everyMs: 5 },
  );
  patience.abort();
  await asking;
  return arrived;
}

describe('a query struck by', () => {
  beforeEach(() => shop.sell(no));
  const strike = (mode: FaultMode) => sandbox.control.fault({ mode, method: QUERY, outTradeNo: no });

  it.each([
    ['20000', { code: '20000', sub_code: 'aop.unknow-error' }, true],
    ['SYSTEM_ERROR', { code: '40004', sub_code: 'ACQ.SYSTEM_ERROR' }, true],
    ['ACQ.ACCESS_FORBIDDEN', { code: '40004', sub_code: 'ACQ.ACCESS_FORBIDDEN' }, true],
    ['40005', { code: '40005', sub_code: 'isv.app-call-limited' }, true],
    ['20000-unsigned', { code: '20000', sub_code: 'aop.unknow-error' }, false],
    ['40005-unsigned', { code: '40005', sub_code: 'isv.app-call-limited' }, false],
    ['40006', { code: '40006', sub_code: 'isv.insufficient-isv-permissions' }, true],
    ['40001', { code: '40001', sub_code: 'isv.missing-app-id' }, false],
    ['40002', { code: '40002', sub_code: 'isv.invalid-app-id' }, false],
  ] as const)('%s gets that answer, signed as Alipay does it', async (mode, node, signed) => {
    await strike(mode);
    expect(await ask()).toMatchObject({ status: 200, node, genuine: signed });
  });

  it.each([
    ['20000-gbk', '系统繁忙'],
    ['40005-gbk', '应用调用次数超限'],
  ] as const)('%s gets that answer in GBK, signed over its GBK bytes', async (mode, words) => {
    await strike(mode);
    const response = await shop.raw(QUERY, { outTradeNo: no });
    const bytes = Buffer.from(await response.arrayBuffer());
    expect(new TextDecoder('gbk').decode(bytes)).toContain(words);
    const [, node = '', sign = ''] = /:(\{.*\}),"sign":"([^"]+)"/s.exec(bytes.toString('latin1')) ?? [];
    const judge = createVerify('RSA-SHA256').update(node, 'latin1');
    expect(judge.verify(sandbox.alipayPublicKey, sign, 'base64')).toBe(true);
  });

  it.each([
    ['http-500', 500],
    ['http-429', 429],
    ['html', 200],
  ] as const)('%s gets a page that is no JSON', async (mode, status) => {
    await strike(mode);
    const answer = await ask();
    expect(answer.status).toBe(status);
    expect(answer.body).toContain('<html');
    expect(() => JSON.parse(answer.body) as unknown).toThrow(SyntaxError);
  });

  it('hang gets nothing until it gives up', async () => {
    await strike('hang');
    await expect(ask(AbortSignal.timeout(300))).rejects.toThrow('timeout');
  });

  it('drip gets its headers and then hardly anything', async () => {
    await strike('drip');
    const response = await shop.raw(QUERY, { outTradeNo: no }, {}, AbortSignal.timeout(2_000));
    expect(response.status).toBe(200);
    const reader = response.body?.getReader();
    const { value } = (await reader?.read()) as { value: Uint8Array };
    expect(value.length).toBeLessThan(5);
    await expect(
      (async () => {
        while (!((await reader?.read()) as { done: boolean }).done);
      })(),
    ).rejects.toThrow('timeout');
  });

  it('reset gets its connection broken', async () => {
    await strike('reset');
    await expect(ask()).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
  });

  it('truncated gets the first half of the answer', async () => {
    await strike('truncated');
    const { body } = await ask();
    expect(body).toMatch(/^\{"alipay_trade_query_response":\{/);
    expect(() => JSON.parse(body) as unknown).toThrow(SyntaxError);
  });

  it('no-signature gets the true answer, unsigned', async () => {
    await strike('no-signature');
    const answer = await ask();
    expect(answer.node).toMatchObject({ code: '10000', trade_status: 'TRADE_SUCCESS' });
    expect(answer.sign).toBeUndefined();
  });

  it('bad-signature gets the true answer with a signature over something else', async () => {
    await strike('bad-signature');
    const answer = await ask();
    expect(answer.node).toMatchObject({ code: '10000', trade_status: 'TRADE_SUCCESS' });
    expect(answer).toMatchObject({ sign: expect.any(String), genuine: false });
  });

  it('wrong-amount gets a fen more, truly signed', async () => {
    await strike('wrong-amount');
    expect(await ask()).toMatchObject({ node: { total_amount: '12.31' }, genuine: true });
  });

  it('other-order gets the success of another order, truly signed', async () => {
    await shop.sell(`${no}_other`);
    await strike('other-order');
    const { node, genuine } = await ask();
    expect(node).toMatchObject({ code: '10000', trade_status: 'TRADE_SUCCESS' });
    expect(node['out_trade_no']).not.toBe(no);
    expect(genuine).toBe(true);
  });

  it.each(FAULT_MODES)('%s is in the journal as %s', async (mode) => {
    await strike(mode);
    expect(await askInVain()).toMatchObject({
      method: QUERY,
      outTradeNo: no,
      fault: { mode, when: 'before' },
    });
  });
});

describe('stale', () => {
  it('answers with the first answer to this order, truly signed', async () => {
    await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
    const first = await ask();
    await sandbox.control.pay(no);
    expect((await ask()).node).toMatchObject({ trade_status: 'TRADE_SUCCESS' });
    await sandbox.control.fault({ mode: 'stale', method: QUERY });
    expect((await ask()).body).toBe(first.body);
  });

  it('answers not-exist where there was no answer yet', async () => {
    await shop.sell(no);
    await sandbox.control.fault({ mode: 'stale', method: QUERY });
    expect(await ask()).toMatchObject({
      node: { sub_code: 'ACQ.TRADE_NOT_EXIST', out_trade_no: no },
      genuine: true,
    });
  });
});

it('an injected ACQ.TRADE_NOT_EXIST carries what an honest one does', async () => {
  const honest = (await ask()).node;
  await sandbox.control.fault({ mode: 'ACQ.TRADE_NOT_EXIST', method: QUERY });
  expect((await ask()).node).toEqual(honest);
});

it('the HTTP control API takes a business error of every family, and nothing else', async () => {
  const control = connectControl(sandbox.url);
  for (const mode of [
    ...(['aop.ACQ.SYSTEM_ERROR', 'AQC.SYSTEM_ERROR', 'isp.bill_not_exist'] as const),
    ...(['isv.invalid_arguments', 'isp.unknow-error'] as const),
  ]) {
    await control.fault({ mode, method: QUERY, times: 1 });
    expect((await ask()).node).toMatchObject({ code: '40004', sub_code: mode });
  }
  for (const mode of ['ACQ.', 'aop.unknow', 'isv.', '20009'])
    await expect(control.fault({ mode: mode as FaultMode })).rejects.toThrow('INVALID_INPUT');
});

describe('a fault', () => {
  const closed = async () => (await sandbox.control.trade(no))?.status === 'TRADE_CLOSED';

  it.each(FAULT_MODES)('%s before the effect leaves the trade open, after it closed', async (mode) => {
    await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
    await sandbox.control.fault({ mode, method: CLOSE, when: 'before', times: 1 });
    await sandbox.control.fault({ mode, method: CLOSE, when: 'after', times: 1 });
    await askInVain(CLOSE);
    expect(await closed()).toBe(false);
    await askInVain(CLOSE);
    expect(await closed()).toBe(true);
  });

  it('after a refund moved the money hides it, and the same request again moves no more', async () => {
    await shop.sell(no);
    await sandbox.control.fault({ mode: 'reset', method: REFUND, when: 'after', times: 1 });
    const refund = { outTradeNo: no, refundAmount: '12.30', outRequestNo: 'r1' };
    await expect(shop.raw(REFUND, refund)).rejects.toThrow();
    expect(await shop.call(REFUND, refund)).toMatchObject({
      code: '10000',
      fundChange: 'N',
      refundFee: '12.30',
    });
  });

  it('strikes only its method, its order, and so many times', async () => {
    await shop.sell(no);
    await shop.sell(`${no}_b`);
    await sandbox.control.fault({ mode: '20000', method: QUERY, outTradeNo: no, times: 2 });
    const codes = async (outTradeNo: string, method = QUERY) =>
      (await shop.call(method, { outTradeNo }))['code'];
    expect(await codes(`${no}_b`)).toBe('10000');
    expect(await codes(no, CLOSE)).toBe('40004');
    expect([await codes(no), await codes(no), await codes(no)]).toEqual(['20000', '20000', '10000']);
  });

  it('without a method strikes every server call, but no cashier page', async () => {
    await sandbox.control.fault({ mode: 'http-500' });
    expect((await fetch(shop.payUrl({ outTradeNo: no }))).status).toBe(200);
    expect((await ask()).status).toBe(500);
  });

  it('that names a page strikes the page', async () => {
    await sandbox.control.fault({ mode: 'SYSTEM_ERROR', method: 'alipay.trade.page.pay' });
    const response = await fetch(shop.payUrl({ outTradeNo: no }));
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('SYSTEM_ERROR');
  });

  it('comes as often as its probability says', async () => {
    let dice = 0;
    const loaded = await startSandbox({ random: () => (dice = (dice + 1) % 4) / 4 });
    const loadedShop = await Shop.open(loaded);
    await loaded.control.fault({ mode: '40005', probability: 0.5 });
    const codes = [];
    for (let index = 0; index < 8; index += 1) {
      codes.push((await loadedShop.call(QUERY, { outTradeNo: no }))['code']);
    }
    expect(codes.filter((code) => code === '40005')).toHaveLength(4);
    await loaded.close();
    await loadedShop.close();
  });
});

it('latency makes every answer late, not its effect', async () => {
  await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
  await sandbox.control.latency(400);
  const before = Date.now();
  let isAnswered = false;
  const answer = ask(undefined, CLOSE).finally(() => (isAnswered = true));
  await waitFor(async () => (await sandbox.control.trade(no))?.status === 'TRADE_CLOSED', {
    what: 'the trade to be closed',
    everyMs: 5,
  });
  expect(isAnswered).toBe(false);
  await answer;
  expect(Date.now() - before).toBeGreaterThanOrEqual(395);
  await sandbox.control.latency(0);
});

it('latency makes the refusal of a charset that no header can carry late, too', async () => {
  await sandbox.control.latency(10);
  const response = await fetch(sandbox.gateway, {
    method: 'POST',
    body: new URLSearchParams({ app_id: sandbox.appId, method: QUERY, charset: '编码' }),
    signal: AbortSignal.timeout(5_000),
  });
  expect(response.headers.get('content-type')).toBe('text/html;charset=utf-8');
  expect(await response.json()).toMatchObject({ alipay_trade_query_response: { code: '40001' } });
  await sandbox.control.latency(0);
});

it('down answers 502 or breaks connections, and up is as before', async () => {
  await sandbox.control.down(true);
  expect((await ask()).status).toBe(502);
  await sandbox.control.down(true, 'reset');
  await expect(ask()).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
  await sandbox.control.down(false);
  expect((await ask()).node).toMatchObject({ sub_code: 'ACQ.TRADE_NOT_EXIST' });
});

it('closing ends hanging, dripping and late answers at once', async () => {
  const busy = await startSandbox();
  const busyShop = await Shop.open(busy);
  await busy.control.fault({ mode: 'hang', times: 1 });
  await busy.control.fault({ mode: 'drip', times: 1 });
  const call = () => busyShop.raw(QUERY, { outTradeNo: no }).then((response) => response.text());
  const waiting = [call(), call()];
  await waitFor(async () => (await busy.control.journal()).length === 2, { what: 'both calls to arrive' });
  await busy.control.latency(60_000);
  waiting.push(call());
  const ended = Promise.allSettled(waiting);
  await waitFor(async () => (await busy.control.journal()).length === 3, { what: 'the late call to arrive' });
  await busy.close();
  expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await expect(fetch(busy.url)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  await busyShop.close();
});
