import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { connectControl, startSandbox, type Sandbox, type SandboxOptions } from '../../sandbox';
import { CONTROL_ROUTES } from '../../sandbox/control-http';
import { waitFor } from '../../dev/wait-for';
import { Shop } from './sandbox-shop';

// Two RSA pairs take half a second: generated once, kept for the tests that are not about keys.
const sharedKeys = mkdtempSync(join(tmpdir(), 'sandbox-keys-'));
let dir: string;
const running: { close(): Promise<void> }[] = [];

afterAll(() => rmSync(sharedKeys, { recursive: true, force: true }));
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandbox-'));
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.close();
  rmSync(dir, { recursive: true, force: true });
});

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({
    keysDir: sharedKeys,
    stateFile: join(dir, 'state.jsonl'),
    ...options,
  });
  running.push(sandbox);
  return sandbox;
}

async function shopOf(sandbox: Sandbox): Promise<Shop> {
  const shop = await Shop.open(sandbox);
  running.push(shop);
  return shop;
}

describe('the keys', () => {
  const startWithKeys = () => start({ keysDir: join(dir, 'keys') });

  it('are made on the first start, private ones readable by their owner alone, and kept', async () => {
    const first = await startWithKeys();
    expect(readdirSync(join(dir, 'keys')).sort()).toEqual([
      'alipay-private.pem',
      'alipay-public.pem',
      'app-private.pem',
      'app-public.pem',
    ]);
    for (const name of ['alipay-private.pem', 'app-private.pem']) {
      expect(statSync(join(dir, 'keys', name)).mode & 0o777).toBe(0o600);
    }
    expect(first.appPrivateKey).toContain('BEGIN PRIVATE KEY');
    await first.close();
    const second = await startWithKeys();
    expect(second.appPrivateKey).toBe(first.appPrivateKey);
    expect(second.alipayPublicKey).toBe(first.alipayPublicKey);
  });

  it('that are damaged or incomplete are named, not replaced', async () => {
    await (await startWithKeys()).close();
    writeFileSync(join(dir, 'keys', 'app-public.pem'), 'not a key');
    await expect(startWithKeys()).rejects.toThrow('SANDBOX_KEYS');
    rmSync(join(dir, 'keys', 'app-public.pem'));
    await expect(startWithKeys()).rejects.toThrow('app-public.pem');
  });

  it('are another pair in every sandbox that keeps none', async () => {
    const [one, two] = [await startSandbox(), await startSandbox()];
    running.push(one, two);
    expect(one.appPrivateKey).not.toBe(two.appPrivateKey);
  });
});

describe('a restart', () => {
  it('keeps trades, refunds and opened cashiers, and goes on from there', async () => {
    const first = await start();
    const shop = await shopOf(first);
    await shop.sell('S1');
    await first.control.refundByHand('S1', '2.30');
    await first.control.scan(shop.payUrl({ outTradeNo: 'S2' }));
    await first.control.open(shop.payUrl({ outTradeNo: 'S3' }));
    const before = await first.control.trades();
    await first.close();

    const second = await start();
    expect(await second.control.trades()).toEqual(before);
    expect(await second.control.pay('S2')).toMatchObject({ status: 'TRADE_SUCCESS' });
    expect(await second.control.pay('S3')).toMatchObject({ status: 'TRADE_SUCCESS' });
    await expect(second.control.pay('S1')).rejects.toThrow('ACQ.TRADE_HAS_SUCCESS');
  });

  it('goes on with undelivered notifications, with the same notify_id, and not with delivered ones', async () => {
    const first = await start({ notifyScale: 100 });
    const shop = await shopOf(first);
    await shop.sell('S4');
    await waitFor(async () => (await first.control.pendingNotifications()) === 0, {
      what: 'the first to be delivered',
    });
    shop.reply = { status: 500, body: 'fail' };
    await shop.sell('S5');
    await waitFor(() => shop.forms.length === 2, { what: 'the refused delivery' });
    await waitFor(() => readFileSync(join(dir, 'state.jsonl'), 'utf8').includes('"nextAt"'), {
      what: 'its record',
    });
    await first.close();

    shop.reply = { status: 200, body: 'success' };
    const second = await start({ notifyScale: 100 });
    await waitFor(() => shop.forms.length === 3, { what: 'the retry' });
    await waitFor(async () => (await second.control.pendingNotifications()) === 0, {
      what: 'its acceptance',
    });
    const [, refused, retried] = shop.notifications();
    expect(retried?.['notify_id']).toBe(refused?.['notify_id']);
    expect((await second.control.journal()).at(-1)).toMatchObject({
      outTradeNo: 'S5',
      attempt: 2,
      accepted: true,
    });
  });

  it('survives a last line torn by a crash, and writes on cleanly', async () => {
    const first = await start();
    const shop = await shopOf(first);
    await shop.sell('S6');
    await first.close();
    appendFileSync(join(dir, 'state.jsonl'), '{"type":"refunded","at":17955');
    const second = await start();
    expect(await second.control.trade('S6')).toMatchObject({
      status: 'TRADE_SUCCESS',
      refundedAmount: '0.00',
    });
    await second.control.finish('S6');
    await second.close();
    expect(await (await start()).control.trade('S6')).toMatchObject({ status: 'TRADE_FINISHED' });
  });
});

describe('the control API over HTTP', () => {
  it('has a route for every function', async () => {
    const sandbox = await start();
    expect(Object.keys(CONTROL_ROUTES).sort()).toEqual(Object.keys(sandbox.control).sort());
  });

  it('does the same from another process', async () => {
    const sandbox = await start();
    const shop = await shopOf(sandbox);
    const remote = connectControl(sandbox.url);
    expect(await remote.open(shop.payUrl({ outTradeNo: 'X1' }))).toBe('X1');
    expect(await remote.trade('X1')).toBeNull();
    expect(await remote.scan('X1')).toMatchObject({ status: 'WAIT_BUYER_PAY' });
    expect(await remote.pay('X1', { notify: false })).toMatchObject({ status: 'TRADE_SUCCESS' });
    expect(await remote.notify('X1', { body: 'by hand' })).toMatchObject({ accepted: true });
    expect(await remote.forge('bad-signature', 'X1')).toMatchObject({ status: 200 });
    await remote.leave('X1');
    await remote.fault({ mode: '20000', method: 'alipay.trade.query', times: 1 });
    expect(await shop.call('alipay.trade.query', { outTradeNo: 'X1' })).toMatchObject({ code: '20000' });
    await remote.fault({ mode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH' });
    expect(await shop.call('alipay.trade.close', { outTradeNo: 'X1' })).toMatchObject({
      subCode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH',
    });
    await remote.clearFaults();
    await remote.notifier({ drop: 0.5, repeat: { times: 1 }, forge: { kind: 'array-values', chance: 0 } });
    await remote.notifier({});
    await remote.latency(1);
    await remote.refunds({ spacingMs: 0 });
    await remote.down(true);
    await remote.down(false);
    expect(await remote.refundByHand('X1', '2.30')).toMatchObject({ refundedAmount: '2.30' });
    expect(await remote.finish('X1', { notify: false })).toMatchObject({ status: 'TRADE_FINISHED' });
    await waitFor(async () => (await remote.pendingNotifications()) === 0, { what: 'all to be delivered' });
    expect(await remote.trades()).toEqual(await sandbox.control.trades());
    expect(await remote.journal()).toEqual(JSON.parse(JSON.stringify(await sandbox.control.journal())));
    expect(await remote.ledger()).toEqual([
      expect.objectContaining({
        outTradeNo: 'X1',
        paidFen: 1230,
        refundedFen: 230,
        status: 'TRADE_FINISHED',
      }),
    ]);
    await remote.clearJournal();
    expect(await remote.journal()).toEqual([]);
  });

  it('refuses as it does here, with the same code', async () => {
    const sandbox = await start();
    const remote = connectControl(sandbox.url);
    await expect(remote.pay('nobody')).rejects.toMatchObject({ code: 'UNKNOWN_ORDER' });
    await expect(remote.finish('nobody')).rejects.toMatchObject({
      code: 'ACQ.TRADE_NOT_EXIST',
      message: 'ACQ.TRADE_NOT_EXIST: 交易不存在',
    });
  });

  it.each([
    ['pay', { notify: 'perhaps' }],
    ['fault', { mode: 'nonsense' }],
    ['fault', { mode: 'hang', tmies: 1 }],
    ['forge', { kind: 'nonsense', outTradeNo: 'X' }],
    ['refundByHand', { outTradeNo: 'X', amount: '1.234' }],
    ['latency', { ms: -1 }],
  ])('answers 400 to %s %j', async (name, body) => {
    const sandbox = await start();
    const response = await fetch(`${sandbox.url}/control/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('lists itself, each function with what it takes', async () => {
    const sandbox = await start();
    const listing = (await (await fetch(`${sandbox.url}/control`)).json()) as Record<string, unknown>;
    expect(Object.keys(listing)).toEqual(Object.keys(CONTROL_ROUTES).map((name) => `/control/${name}`));
    expect(listing['/control/pay']).toMatchObject({
      properties: { outTradeNo: { type: 'string' }, notify: { type: 'boolean' } },
      required: ['outTradeNo'],
    });
  });

  it('reads by GET', async () => {
    const sandbox = await start();
    for (const name of ['trades', 'journal', 'ledger']) {
      expect(await (await fetch(`${sandbox.url}/control/${name}`)).json()).toEqual([]);
    }
  });
});

describe('npm run sandbox', () => {
  const main = (env: Record<string, string>): ChildProcess =>
    spawn(process.execPath, ['--import', 'tsx', resolve(__dirname, '../../sandbox/main.ts')], {
      env: { ...process.env, SANDBOX_PORT: '0', SANDBOX_DIR: dir, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'prints what an application needs, and ends cleanly on %s',
    async (signal) => {
      const child = main({});
      let output = '';
      child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await waitFor(() => output.includes('ALIPAY_PUBLIC_KEY_FILE='), {
        what: 'the banner',
        timeoutMs: 30_000,
      });
      const setting = (name: string) => new RegExp(`^export ${name}=(.*)$`, 'm').exec(output)?.[1] ?? '';
      expect(setting('ALIPAY_APP_ID')).toBe('2021000000000000');
      expect(setting('ALIPAY_SELLER_ID')).toBe('2088000000000000');
      expect(readFileSync(setting('ALIPAY_PRIVATE_KEY_FILE'), 'utf8')).toContain('PRIVATE KEY');
      expect(readFileSync(setting('ALIPAY_PUBLIC_KEY_FILE'), 'utf8')).toContain('PUBLIC KEY');
      expect((await fetch(setting('ALIPAY_GATEWAY'))).status).toBe(200);
      child.kill(signal);
      expect(await once(child, 'exit')).toEqual([0, null]);
    },
  );

  it.each([
    [{ SANDBOX_PORT: 'many' }, 'SANDBOX_PORT'],
    [{ SANDBOX_NOTIFY_SCALE: '0' }, 'SANDBOX_NOTIFY_SCALE'],
  ])('refuses %j by name', async (env, named) => {
    const child = main(env);
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(complaint).toContain(named);
  });
});
