import { execFile } from 'node:child_process';
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { AlipaySdk } from 'alipay-sdk';
import { connectControl, startSandbox, type Sandbox, type SandboxOptions } from '../../sandbox';
import { controlOpenApi, controlTable } from '../../sandbox/control-description';
import { generated } from '../../sandbox/generate';
import { waitFor } from '../../dev/wait-for';
import { Shop } from './sandbox-shop';

// What makes the sandbox its own package: its command, what it tells a client, its clock, seeds, incidents, its guard.

const QUERY = 'alipay.trade.query';
const HOUR_MS = 3_600_000;

let dir: string;
const open: { close: () => Promise<void> }[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'alipay-sandbox-'));
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox(options);
  open.push(sandbox);
  return sandbox;
}

async function startWithShop(options: SandboxOptions = {}): Promise<[Sandbox, Shop]> {
  const sandbox = await start(options);
  const shop = await Shop.open(sandbox);
  open.push(shop);
  return [sandbox, shop];
}

function never(): never {
  throw new Error('the sandbox has no private key');
}

describe('the files that are generated', () => {
  it.each(generated())(
    '%s is current: run `npm run generate --workspace alipay-sandbox`',
    (_name, path, text) => {
      expect(readFileSync(path, 'utf8')).toBe(text);
    },
  );

  it('tell of every function of the control API', async () => {
    const sandbox = await start();
    const paths = Object.keys(controlOpenApi('0').paths as object);
    expect(paths.sort()).toEqual(
      Object.keys(sandbox.control)
        .map((name) => `/control/${name}`)
        .sort(),
    );
    for (const path of paths) expect(controlTable()).toContain(path);
  });
});

it('the control API takes arguments from the body alone, and the README says so', async () => {
  const { url, control } = await start();
  const { now } = await control.clock();
  for (const [method, path] of [
    ['GET', 'clock?advanceMs=86400000'],
    ['POST', 'clock?advanceMs=86400000'],
    ['GET', 'journal?outTradeNo=A1'],
  ] as const) {
    const response = await fetch(`${url}/control/${path}`, { method });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'INVALID_INPUT' });
  }
  expect(Date.parse((await control.clock()).now) - Date.parse(now)).toBeLessThan(HOUR_MS);
  expect((await fetch(`${url}/control/clock`)).status).toBe(200);
  expect(controlTable()).not.toMatch(/GET[^|]*\|[^|]*`/);
});

describe('the setup', () => {
  it('has the key in four forms that are one key', async () => {
    const { setup } = await start();
    const { pkcs1, pkcs8, barePkcs1, barePkcs8 } = setup.appPrivateKey ?? never();
    const der = (base64: string, type: 'pkcs1' | 'pkcs8') =>
      createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type });
    const keys = [pkcs1, pkcs8].map((pem) => createPrivateKey(pem));
    for (const key of [...keys, der(barePkcs1, 'pkcs1'), der(barePkcs8, 'pkcs8')])
      expect(key.equals(keys[0] ?? key)).toBe(true);
    expect(createPublicKey(setup.alipayPublicKey.pem).asymmetricKeyType).toBe('rsa');
  });

  it('is served as text and as JSON, and each snippet alone with this gateway and this key in it', async () => {
    const { url, setup } = await start();
    const text = await (await fetch(`${url}/setup`)).text();
    const json = await (await fetch(`${url}/setup`, { headers: { accept: 'application/json' } })).json();
    expect(json).toEqual(setup);
    const ids = [
      'node',
      'java',
      'python',
      'python-alipay-sdk',
      'go-smartwalle',
      'go-gopay',
      'php',
      'php-yansongda',
    ];
    expect(setup.snippets.map(({ id }) => id)).toEqual(ids);
    for (const { id, code } of setup.snippets) {
      expect(await (await fetch(`${url}/setup/${id}`)).text()).toBe(code);
      expect(code).toContain(setup.appId);
      expect(text).toContain(code.trim());
    }
    expect((await fetch(`${url}/setup/cobol`)).status).toBe(404);
  });

  it('names the public address, and so does a QR code', async () => {
    const [sandbox, shop] = await startWithShop({ publicUrl: 'http://192.168.1.20:4000/' });
    expect(sandbox.setup.gateway).toBe('http://192.168.1.20:4000/gateway.do');
    const answer = await shop.call(
      'alipay.trade.precreate',
      shop.biz({ outTradeNo: 'P1' }, 'alipay.trade.precreate'),
    );
    expect(answer['qrCode']).toMatch(/^http:\/\/192\.168\.1\.20:4000\/cashier\//);
  });

  it.each(['spki', 'pkcs1'] as const)(
    "takes the shop's own public key (%s), and knows no private one",
    async (type) => {
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = publicKey.export({ type, format: 'pem' }).toString();
      const sandbox = await start({ merchantPublicKey: pem });
      expect(sandbox.setup.appPrivateKey).toBeUndefined();
      const sdk = new AlipaySdk({
        appId: sandbox.appId,
        privateKey: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(),
        alipayPublicKey: sandbox.alipayPublicKey,
        gateway: sandbox.gateway,
      });
      const answer = await sdk.exec(QUERY, { bizContent: { outTradeNo: 'none' } }, { validateSign: true });
      expect(answer).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
      await expect(startSandbox({ merchantPublicKey: 'garbage' })).rejects.toThrow('SANDBOX_KEYS');
    },
  );
});

describe('the wire', () => {
  it('carries a notification in the charset and sign type of its trade', async () => {
    const [sandbox, shop] = await startWithShop();
    const fields: Record<string, string> = {
      app_id: sandbox.appId,
      method: 'alipay.trade.page.pay',
      charset: 'utf-8',
      sign_type: 'RSA',
      timestamp: '2026-01-01 00:00:00',
      version: '1.0',
      notify_url: shop.notifyUrl,
      biz_content: JSON.stringify({
        out_trade_no: 'W1',
        total_amount: '1.00',
        subject: 'tea',
        product_code: 'FAST_INSTANT_TRADE_PAY',
      }),
    };
    fields['charset'] = 'GBK';
    const text = Object.keys(fields)
      .sort()
      .map((name) => `${name}=${fields[name] ?? ''}`)
      .join('&');
    const signature = sign('RSA-SHA1', Buffer.from(text), sandbox.appPrivateKey).toString('base64');
    await sandbox.control.pay(
      `${sandbox.gateway}?${new URLSearchParams({ ...fields, sign: signature }).toString()}`,
    );
    await waitFor(() => shop.forms.length > 0, { what: 'the notification' });
    expect(shop.notifications()[0]).toMatchObject({ charset: 'GBK', sign_type: 'RSA', out_trade_no: 'W1' });
  });
});

describe('a bar code', () => {
  const PAY = 'alipay.trade.pay';
  const ask = (outTradeNo: string, authCode = '280000000000000000') => ({
    outTradeNo,
    totalAmount: '12.30',
    subject: 'tea',
    scene: 'bar_code',
    authCode,
  });

  it('is paid at once, or waits for a password', async () => {
    const [sandbox, shop] = await startWithShop();
    expect(await shop.call(PAY, ask('B1'))).toMatchObject({ code: '10000', totalAmount: '12.30' });
    expect(await shop.call(PAY, ask('B1'))).toMatchObject({ subCode: 'ACQ.TRADE_HAS_SUCCESS' });
    await sandbox.control.barCode('password');
    expect(await shop.call(PAY, ask('B2'))).toMatchObject({ code: '10003' });
    expect(await shop.call(QUERY, { outTradeNo: 'B2' })).toMatchObject({ tradeStatus: 'WAIT_BUYER_PAY' });
    await sandbox.control.pay('B2');
    expect(await shop.call(QUERY, { outTradeNo: 'B2' })).toMatchObject({ tradeStatus: 'TRADE_SUCCESS' });
    expect(await shop.call(PAY, ask('B3', '12'))).toMatchObject({ subCode: 'ACQ.PAYMENT_AUTH_CODE_INVALID' });
  });

  it('can be cancelled: closed while unpaid, refunded once paid, nothing where there is no trade', async () => {
    const [sandbox, shop] = await startWithShop();
    const cancel = (outTradeNo: string) => shop.call('alipay.trade.cancel', { outTradeNo });
    await sandbox.control.barCode('password');
    await shop.call(PAY, ask('C1'));
    expect(await cancel('C1')).toMatchObject({ code: '10000', action: 'close' });
    await shop.call(PAY, ask('C2'));
    await sandbox.control.pay('C2');
    expect(await cancel('C2')).toMatchObject({ code: '10000', action: 'refund' });
    expect(await cancel('C2')).toMatchObject({ code: '10000', action: 'refund' });
    expect(await sandbox.control.trade('C2')).toMatchObject({
      status: 'TRADE_CLOSED',
      refundedAmount: '12.30',
    });
    expect(await cancel('C3')).not.toHaveProperty('action');
    await shop.call(PAY, ask('C4'));
    await sandbox.control.pay('C4');
    await sandbox.control.clock({ advanceMs: 25 * HOUR_MS });
    expect(await cancel('C4')).toMatchObject({ subCode: 'ACQ.TRADE_CANCEL_TIME_OUT' });
  });
});

it('tells of buyers by open_id where the application asks for that', async () => {
  const [sandbox, shop] = await startWithShop({ openIds: true });
  await shop.sell('O1');
  const answer = await shop.call(QUERY, { outTradeNo: 'O1' });
  expect(answer).toHaveProperty('buyerOpenId');
  expect(answer).not.toHaveProperty('buyerUserId');
  await sandbox.control.notify('O1');
  expect(shop.notifications().at(-1)).toHaveProperty('buyer_open_id');
  expect(shop.notifications().at(-1)).not.toHaveProperty('buyer_id');
});

describe('the clock', () => {
  it('jumps: a trade expires, and what is repeated is repeated', async () => {
    const [sandbox, shop] = await startWithShop();
    const { control } = sandbox;
    await control.scan(shop.payUrl({ outTradeNo: 'T1', timeoutExpress: '30m' }));
    await control.clock({ advanceMs: HOUR_MS });
    expect(await control.trade('T1')).toMatchObject({ status: 'TRADE_CLOSED' });
    shop.reply = { status: 500, body: 'no' };
    await shop.sell('T2');
    // Each with its response, which is processed before time jumps again.
    const attempts = (wanted: number) =>
      waitFor(
        async () => (await control.journal()).filter(({ kind }) => kind === 'notification').length >= wanted,
        { what: `${wanted} attempts`, everyMs: 20 },
      );
    await attempts(1);
    await control.clock({ advanceMs: 4 * 60_000 });
    await attempts(2);
    await control.clock({ scale: 100_000 });
    await attempts(8);
    expect(shop.forms).toHaveLength(8);
    expect((await control.clock()).scale).toBe(100_000);
  });

  it('stays where it is over a restart', async () => {
    const stateFile = join(dir, 'state.jsonl');
    const first = await startSandbox({ stateFile });
    await first.control.clock({ advanceMs: 24 * HOUR_MS });
    await first.close();
    const { now } = await (await start({ stateFile })).control.clock();
    expect(Date.parse(now) - Date.now()).toBeGreaterThan(23 * HOUR_MS);
  });
});

describe('a seed', () => {
  const orders = [
    { outTradeNo: 'S1', totalAmount: '5.00', status: 'opened' as const },
    { outTradeNo: 'S2', totalAmount: '5.00', refunds: [{ outRequestNo: 'R', amount: '2.00' }] },
    { outTradeNo: 'S3', totalAmount: '5.00', status: 'TRADE_CLOSED' as const, product: 'wap' as const },
    { outTradeNo: 'S4', totalAmount: '5.00', status: 'TRADE_FINISHED' as const },
  ];

  it('is there from the start and after a reset, and nobody is told of it', async () => {
    const shop = await Shop.open(await start());
    open.push(shop);
    const seed = { orders: orders.map((order) => ({ ...order, notifyUrl: shop.notifyUrl })) };
    const { control } = await start({ seed, stateFile: join(dir, 'state.jsonl') });
    await control.pay('S1', { notify: false });
    await control.fault({ mode: 'hang' });
    await control.clock({ advanceMs: HOUR_MS });
    await control.reset();
    expect(await control.trade('S1')).toBeNull();
    expect(await control.trade('S2')).toMatchObject({ status: 'TRADE_SUCCESS', refundedAmount: '2.00' });
    expect(await control.trade('S3')).toMatchObject({ status: 'TRADE_CLOSED' });
    expect(await control.trade('S4')).toMatchObject({ status: 'TRADE_FINISHED' });
    expect(await control.journal()).toEqual([]);
    expect(Math.abs(Date.parse((await control.clock()).now) - Date.now())).toBeLessThan(HOUR_MS / 2);
    expect(await control.pendingNotifications()).toBe(0);
    expect(shop.forms).toEqual([]);
    expect(await control.seed(seed)).toBe(0);
  });
});

it('a reset puts the first certificate and key back', async () => {
  const seed = { orders: [{ outTradeNo: 'S1', totalAmount: '5.00' }] };
  const [sandbox, shop] = await startWithShop({ certificates: true, seed });
  const { control, certificates } = sandbox;
  await control.rotateCertificate({ newKey: true });
  expect(sandbox.certificates).not.toEqual(certificates);
  const isVerified = async () => {
    await control.notify('S1', {}, shop.notifyUrl);
    return shop.sdk.checkNotifySign(shop.notifications().at(-1));
  };
  expect(await isVerified()).toBe(false);
  await control.reset();
  expect(sandbox.certificates).toEqual(certificates);
  expect(await isVerified()).toBe(true);
});

describe('an incident', () => {
  it('is exported without people and numbers, and happens again elsewhere', async () => {
    const [sandbox, shop] = await startWithShop();
    const { control } = sandbox;
    await control.fault({ mode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH', method: 'alipay.trade.refund', times: 1 });
    await control.pay(shop.payUrl({ outTradeNo: 'SECRET_1', subject: 'Zhang San', body: 'his address' }));
    const refund = { outTradeNo: 'SECRET_1', refundAmount: '2.00', outRequestNo: 'SECRET_2' };
    for (const amount of ['2.00', '2.00', '3.00'])
      await shop.call('alipay.trade.refund', { ...refund, refundAmount: amount });
    await shop.raw(QUERY, { outTradeNo: 'SECRET_1' }, { app_auth_token: 'x' });
    const incident = await control.exportIncident();
    expect(JSON.stringify(incident)).not.toMatch(/SECRET|Zhang|address|sbx|2088102|127\.0\.0\.1/);

    const other = await start();
    const replay = await connectControl(other.url).replayIncident(incident);
    expect(replay).toEqual({ steps: 5, differences: [] });
    expect(await other.control.trade('order_1')).toMatchObject({ refundedAmount: '2.00' });
    expect(await other.control.replayIncident(incident)).toMatchObject({
      differences: expect.arrayContaining([expect.objectContaining({ got: 'ACQ.TRADE_HAS_SUCCESS' })]),
    });
  });
});

describe('the guard', () => {
  const get = (url: string, headers: Record<string, string> = {}) =>
    fetch(url, { headers, redirect: 'manual' }).then(({ status }) => status);

  it('refuses pages of other sites, and takes its own', async () => {
    const { url } = await start();
    for (const path of ['/control/trades', '/setup', '/%63ontrol/trades', '/%73etup']) {
      expect(await get(url + path)).toBe(200);
      expect(await get(url + path, { origin: url })).toBe(200);
      expect(await get(url + path, { origin: 'https://evil.example' })).toBe(403);
      expect(await get(url + path, { origin: 'null' })).toBe(403);
    }
  });

  it('refuses a name that was bent to this machine', async () => {
    const { url } = await start();
    const { stdout } = await promisify(execFile)('curl', [
      ...[
        '-s',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '-H',
        'Host: evil.example:80',
        `${url}/control/trades`,
      ],
    ]).catch(() => ({ stdout: '403' }));
    expect(stdout).toBe('403');
  });

  it('asks for a token off loopback, in the header or once in the address', async () => {
    const { url, controlToken = '', gateway } = await start({ host: '0.0.0.0' });
    expect(await get(`${url}/control/trades`)).toBe(401);
    for (const path of ['/setup', '/%63ontrol/trades', '/%73etup/json', '/setup/%6eode'])
      expect(await get(url + path)).toBe(401);
    expect(await get(`${url}/control/trades`, { authorization: 'Bearer wrong' })).toBe(401);
    expect(await get(`${url}/control/trades`, { authorization: `Bearer ${controlToken}` })).toBe(200);
    const welcome = await fetch(`${url}/setup?token=${controlToken}`, { redirect: 'manual' });
    expect(welcome.headers.get('location')).toBe('/setup');
    expect(
      await get(`${url}/setup`, { cookie: (welcome.headers.get('set-cookie') ?? '').split(';')[0] ?? '' }),
    ).toBe(200);
    expect(await connectControl(url, controlToken).trades()).toEqual([]);
    expect(await get(gateway)).toBe(200);
  });

  it.each([
    ['http://192.168.1.20:4000', 401],
    ['https://pay.example/', 401],
    ['http://localhost:8080', 200],
    ['http://[::1]:8080', 200],
  ])('on loopback, with the public address %s, answers a stranger by %i', async (publicUrl, status) => {
    const { url } = await start({ publicUrl });
    for (const path of ['/control/trades', '/setup']) expect(await get(url + path)).toBe(status);
  });
});
