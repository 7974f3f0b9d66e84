import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { connectControl, readSeed, serialOf, startSandbox } from '../../sandbox';
import type { CallEntry, Sandbox, SandboxOptions } from '../../sandbox';
import { runCli } from '../../sandbox/cli';
import { waitFor } from '../../dev/wait-for';
import { unzipped } from '../support/unzip';
import { Shop } from './sandbox-shop';

// One sandbox for several applications with their sellers, and for several sellers of one ISV.

const QUERY = 'alipay.trade.query';
const CLOSE = 'alipay.trade.close';
const REFUND = 'alipay.trade.refund';
const BILL = 'alipay.data.dataservice.bill.downloadurl.query';

const [APP_1, SELLER_1] = ['2021000000000000', '2088000000000000'];
const [APP_2, SELLER_2] = ['2021000000000002', '2088000000000002'];
const SELLERS = [
  { sellerId: '2088000000000003', appAuthToken: 'T3', authAppId: '2021000000000003' },
  { sellerId: '2088000000000004', appAuthToken: 'T4', authAppId: '2021000000000004' },
];

// Keys take most of the time: generated once.
const keysDir = mkdtempSync(join(tmpdir(), 'sandbox-keys-'));
let dir: string;
const open: { close: () => Promise<void> }[] = [];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandbox-accounts-'));
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
  rmSync(dir, { recursive: true, force: true });
});
afterAll(() => rmSync(keysDir, { recursive: true, force: true }));

async function start(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ keysDir, ...options });
  open.push(sandbox);
  return sandbox;
}

/** The shop of one account, which knows nothing of the others. */
async function shopOf(sandbox: Sandbox, account: number): Promise<Shop> {
  const { appId = '', sellerId = '', appPrivateKey = '' } = sandbox.accounts[account] ?? {};
  const shop = await Shop.open({ ...sandbox, appId, sellerId, appPrivateKey });
  open.push(shop);
  return shop;
}

const startTwo = async (options: SandboxOptions = {}): Promise<[Sandbox, Shop, Shop]> => {
  const sandbox = await start({ accounts: [{ appId: APP_2, sellerId: SELLER_2 }], ...options });
  return [sandbox, await shopOf(sandbox, 0), await shopOf(sandbox, 1)];
};

/** A payment of `amount` to each of two sellers under one number. @returns the two shops */
async function sellBoth(no: string, options: SandboxOptions = {}): Promise<[Sandbox, Shop, Shop]> {
  const [sandbox, one, two] = await startTwo(options);
  await one.sell(no, { totalAmount: '1.00' });
  await two.sell(no, { totalAmount: '2.00' });
  return [sandbox, one, two];
}

const arrived = (shop: Shop, many = 1) =>
  waitFor(() => shop.forms.length >= many, { what: `${many} notifications`, everyMs: 5 });

const lastCall = async (sandbox: Sandbox) => (await sandbox.control.journal()).at(-1) as CallEntry;

describe('two sellers', () => {
  it('may each have an order of the same number: paid, refunded and closed apart', async () => {
    const [sandbox, one, two] = await sellBoth('A1');
    expect(await one.call(QUERY, { outTradeNo: 'A1' })).toMatchObject({ totalAmount: '1.00' });
    expect(await two.call(QUERY, { outTradeNo: 'A1' })).toMatchObject({ totalAmount: '2.00' });

    await two.call(REFUND, { outTradeNo: 'A1', refundAmount: '2.00' });
    expect(await one.call(QUERY, { outTradeNo: 'A1' })).toMatchObject({ tradeStatus: 'TRADE_SUCCESS' });
    expect(await two.call(QUERY, { outTradeNo: 'A1' })).toMatchObject({ tradeStatus: 'TRADE_CLOSED' });

    for (const shop of [one, two]) await sandbox.control.scan(shop.payUrl({ outTradeNo: 'A2' }));
    expect(await one.call(CLOSE, { outTradeNo: 'A2' })).toMatchObject({ code: '10000' });
    expect(await two.call(QUERY, { outTradeNo: 'A2' })).toMatchObject({ tradeStatus: 'WAIT_BUYER_PAY' });

    expect(await sandbox.control.ledger()).toEqual([
      expect.objectContaining({ sellerId: SELLER_1, outTradeNo: 'A1', paidFen: 100, refundedFen: 0 }),
      expect.objectContaining({ sellerId: SELLER_2, outTradeNo: 'A1', paidFen: 200, refundedFen: 200 }),
      expect.objectContaining({ sellerId: SELLER_1, outTradeNo: 'A2', status: 'TRADE_CLOSED' }),
      expect.objectContaining({ sellerId: SELLER_2, outTradeNo: 'A2', status: 'WAIT_BUYER_PAY' }),
    ]);
  });

  it("know nothing of each other's trades, by neither number", async () => {
    const [sandbox, one, two] = await startTwo();
    await one.sell('B1');
    const { tradeNo = '' } = (await sandbox.control.trade('B1')) ?? {};
    for (const ids of [{ outTradeNo: 'B1' }, { tradeNo }] as Record<string, string>[]) {
      for (const method of [QUERY, CLOSE, 'alipay.trade.fastpay.refund.query'])
        expect(await two.call(method, { ...ids, outRequestNo: 'r' })).toMatchObject({
          subCode: 'ACQ.TRADE_NOT_EXIST',
        });
      expect(await two.call(REFUND, { ...ids, refundAmount: '12.30' })).toMatchObject({
        subCode: 'ACQ.TRADE_NOT_EXIST',
      });
    }
    // Cancelling what does not exist succeeds without an action.
    expect(await two.call('alipay.trade.cancel', { outTradeNo: 'B1' })).not.toHaveProperty('action');
    expect(await sandbox.control.trade('B1')).toMatchObject({
      ...{ status: 'TRADE_SUCCESS', refundedAmount: '0.00', sellerId: SELLER_1, appId: APP_1 },
    });
  });

  it('are each told of their own, by app_id and seller_id, signed by the one key of Alipay', async () => {
    const [sandbox, one, two] = await sellBoth('C1');
    await arrived(one);
    await arrived(two);
    for (const [shop, amount] of [
      [one, '1.00'],
      [two, '2.00'],
    ] as const) {
      const [told = {}, ...more] = shop.notifications();
      expect(more).toEqual([]);
      const { appId, sellerId } = shop.sandbox;
      const ids = { app_id: appId, auth_app_id: appId, seller_id: sellerId };
      expect(told).toMatchObject({ ...ids, out_trade_no: 'C1', total_amount: amount });
      expect(shop.sdk.checkNotifySignV2(told)).toBe(true);
    }
    await sandbox.control.refundByHand('C1', '0.50', { sellerId: SELLER_2 });
    await arrived(two, 2);
    expect(two.notifications()[1]).toMatchObject({ app_id: APP_2, seller_id: SELLER_2, refund_fee: '0.50' });
    const told = (await sandbox.control.journal()).filter(({ kind }) => kind === 'notification');
    expect(new Set(told.map(({ sellerId }) => sellerId))).toEqual(new Set([SELLER_1, SELLER_2]));
  });

  it('each open their own cashier, which returns with their ids', async () => {
    const [sandbox, , two] = await startTwo();
    const page = await (await fetch(two.payUrl({ outTradeNo: 'D1' }))).text();
    const [, path = ''] = /formaction="([^"]+\/pay)"/.exec(page) ?? [];
    const paid = await (await fetch(sandbox.url + path, { method: 'POST' })).text();
    expect(paid).toContain(`seller_id=${SELLER_2}`);
    expect(paid).toContain(`app_id=${APP_2}`);
    expect(await sandbox.control.trade('D1')).toMatchObject({ sellerId: SELLER_2, status: 'TRADE_SUCCESS' });
  });

  it('each get their own bill', async () => {
    const [sandbox, one, two] = await sellBoth('E1');
    await two.sell('E2');
    await sandbox.control.bills({ anyDay: true });
    for (const [shop, numbers] of [
      [one, ['E1']],
      [two, ['E1', 'E2']],
    ] as const) {
      const answer = await shop.call(BILL, { billType: 'trade', billDate: '2026-01-01' });
      const zip = join(dir, `${shop.sandbox.sellerId}.zip`);
      const archive = await (await fetch(String(answer['billDownloadUrl']))).arrayBuffer();
      writeFileSync(zip, Buffer.from(archive));
      const [detail] = [...(await unzipped(zip)).values()];
      const text = new TextDecoder('gbk').decode(detail);
      expect(text).toContain(`#账号：[${shop.sandbox.sellerId}0156]`);
      expect([...text.matchAll(/^\d+\t,(\w+)\t,/gm)].map(([, no]) => no)).toEqual(numbers);
    }
  });

  it('have each a balance and faults of their own', async () => {
    const [sandbox, one, two] = await sellBoth('F1');
    await sandbox.control.refunds({ balance: '0.50', sellerId: SELLER_2 });
    const refund = { outTradeNo: 'F1', refundAmount: '1.00', outRequestNo: 'r' };
    expect(await one.call(REFUND, refund)).toMatchObject({ code: '10000' });
    expect(await two.call(REFUND, refund)).toMatchObject({ subCode: 'ACQ.SELLER_BALANCE_NOT_ENOUGH' });
    await sandbox.control.fault({ mode: 'ACQ.ACCESS_FORBIDDEN', outTradeNo: 'F1', sellerId: SELLER_1 });
    expect(await one.call(QUERY, { outTradeNo: 'F1' })).toMatchObject({ subCode: 'ACQ.ACCESS_FORBIDDEN' });
    expect(await two.call(QUERY, { outTradeNo: 'F1' })).toMatchObject({ code: '10000' });
    await expect(sandbox.control.refunds({ balance: '1.00', sellerId: '2088' })).rejects.toThrow('2088');
  });

  it('share a trade where two applications belong to one seller; it is told of by the one that opened it', async () => {
    const sandbox = await start({ accounts: [{ appId: APP_2, sellerId: SELLER_1 }] });
    const [one, two] = [await shopOf(sandbox, 0), await shopOf(sandbox, 1)];
    await two.sell('G1');
    expect(await one.call(QUERY, { outTradeNo: 'G1' })).toMatchObject({ tradeStatus: 'TRADE_SUCCESS' });
    await arrived(two);
    expect(two.notifications()[0]).toMatchObject({ app_id: APP_2, seller_id: SELLER_1 });
  });
});

describe('an application', () => {
  it('that is unknown is refused, and the journal names those that are known', async () => {
    const [sandbox, one] = await startTwo();
    const stranger = await Shop.open({ ...one.sandbox, appId: '2021999999999999' });
    open.push(stranger);
    expect(await (await stranger.raw(QUERY, { outTradeNo: 'A1' })).json()).toEqual({
      alipay_trade_query_response: expect.objectContaining({ sub_code: 'isv.invalid-app-id' }),
    });
    expect((await lastCall(sandbox)).flaw).toEqual({
      ...{ kind: 'other', field: 'app_id', got: '2021999999999999', expected: `${APP_1}, ${APP_2}` },
    });
  });

  it("that signs by another's key is refused, and the journal says whose it was", async () => {
    const [sandbox, one, two] = await startTwo();
    const mixed = await Shop.open({ ...one.sandbox, appPrivateKey: two.sandbox.appPrivateKey });
    open.push(mixed);
    expect(await mixed.call(QUERY, { outTradeNo: 'A1' })).toMatchObject({ subCode: 'isv.invalid-signature' });
    expect(await lastCall(sandbox)).toMatchObject({
      sellerId: SELLER_1,
      signature: 'false',
      flaw: { kind: 'key', field: 'sign', expected: APP_1, got: APP_2 },
    });
  });

  it('has its keys in a folder of its own, kept over a restart, or gives its public one', async () => {
    const [first] = await startTwo();
    const key = first.accounts[1]?.appPrivateKey;
    expect(readFileSync(join(keysDir, APP_2, 'app-private.pem'), 'utf8')).toBe(key);
    expect(existsSync(join(keysDir, APP_2, 'alipay-private.pem'))).toBe(false);
    expect(key).not.toBe(first.appPrivateKey);
    const [second] = await startTwo();
    expect(second.accounts[1]?.appPrivateKey).toBe(key);

    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const merchantPublicKey = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    const sandbox = await start({ accounts: [{ appId: APP_2, sellerId: SELLER_2, merchantPublicKey }] });
    expect(sandbox.accounts[1]?.appPrivateKey).toBe('');
    const appPrivateKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const shop = await Shop.open({ ...sandbox, appId: APP_2, appPrivateKey });
    open.push(shop);
    expect(await shop.call(QUERY, { outTradeNo: 'A1' })).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
  });

  it('in certificate mode has a certificate of its own, and no other is taken for it', async () => {
    const [sandbox, , two] = await startTwo({ certificates: true, keysDir: dir });
    const [own, other] = sandbox.accounts.map(({ certificates }) => certificates ?? never());
    expect(other?.root).toBe(own?.root);
    expect(readFileSync(join(dir, APP_2, 'appCertPublicKey.crt'), 'utf8')).toBe(other?.app);
    const ask = async (app = '') => {
      const sns = { app_cert_sn: serialOf(app), alipay_root_cert_sn: await rootSn() };
      return (await two.raw(QUERY, { outTradeNo: 'A1' }, sns)).text();
    };
    // The root file contains one certificate here.
    const rootSn = () => Promise.resolve(serialOf(own?.root ?? ''));
    expect(await ask(other?.app)).toContain('ACQ.TRADE_NOT_EXIST');
    expect(await ask(own?.app)).toContain('isv.app-cert-not-exist');
  });

  it.each([
    [
      'is given twice for one seller',
      [{ appId: APP_1, sellerId: SELLER_1, appAuthToken: 'T' }],
      /twice for seller/,
    ],
    ['is given twice without tokens', [{ sellerId: SELLER_2 }], /twice for the token \(none\)/],
    [
      'is given twice by one token',
      [...SELLERS, { sellerId: SELLER_2, appAuthToken: 'T3' }],
      /twice for the token T3/,
    ],
    [
      'is given twice, with another key',
      [{ ...SELLERS[0], sellerId: SELLER_2, merchantPublicKey: 'k' }],
      /public key/,
    ],
    ['is no number', [{ appId: '../keys', sellerId: SELLER_2 }], /is not an id/],
  ])('that %s is refused at the start', async (_how, accounts, words) => {
    await expect(startSandbox({ keysDir, accounts })).rejects.toThrow(/^SANDBOX_ACCOUNTS: /);
    await expect(startSandbox({ keysDir, accounts })).rejects.toThrow(words);
  });
});

describe('an ISV', () => {
  const call = async (shop: Shop, method: string, bizContent: object, appAuthToken?: string) => {
    const response = await shop.raw(method, bizContent as Record<string, string>, {
      ...(appAuthToken !== undefined && { appAuthToken }),
    });
    return Object.values((await response.json()) as object)[0] as Record<string, string>;
  };
  const payUrl = (shop: Shop, outTradeNo: string, appAuthToken: string) =>
    shop.sdk.pageExecute('alipay.trade.page.pay', 'GET', {
      ...{ bizContent: shop.biz({ outTradeNo }), notifyUrl: shop.notifyUrl, appAuthToken },
    });

  it('acts for several sellers by their tokens, and for itself without one', async () => {
    const sandbox = await start({ accounts: SELLERS });
    const shop = await shopOf(sandbox, 0);
    for (const { appAuthToken } of SELLERS) await sandbox.control.pay(payUrl(shop, 'A1', appAuthToken));
    await arrived(shop, 2);
    const told = shop
      .notifications()
      .map(({ app_id, auth_app_id, seller_id }) => [app_id, auth_app_id, seller_id]);
    expect(told.sort()).toEqual(SELLERS.map(({ authAppId, sellerId }) => [APP_1, authAppId, sellerId]));

    await call(shop, CLOSE, { outTradeNo: 'A1' }, 'T3');
    await call(shop, REFUND, { outTradeNo: 'A1', refundAmount: '12.30' }, 'T3');
    expect(await call(shop, QUERY, { outTradeNo: 'A1' }, 'T3')).toMatchObject({
      trade_status: 'TRADE_CLOSED',
    });
    expect(await call(shop, QUERY, { outTradeNo: 'A1' }, 'T4')).toMatchObject({
      trade_status: 'TRADE_SUCCESS',
    });
    expect(await call(shop, QUERY, { outTradeNo: 'A1' })).toMatchObject({ sub_code: 'ACQ.TRADE_NOT_EXIST' });
  });

  it('with a token that nobody gave is refused, and the journal names those that were given', async () => {
    const sandbox = await start({ accounts: [...SELLERS, { appId: APP_2, sellerId: SELLER_2 }] });
    const shop = await shopOf(sandbox, 0);
    const refusal = { code: '20001', sub_code: 'aop.invalid-app-auth-token' };
    expect(await call(shop, QUERY, { outTradeNo: 'A1' }, 'withdrawn')).toMatchObject(refusal);
    expect((await lastCall(sandbox)).flaw).toMatchObject({
      ...{ kind: 'other', field: 'app_auth_token', got: 'withdrawn', expected: 'T3, T4' },
    });
    // A token belongs to the application it was given to.
    expect(await call(await shopOf(sandbox, 3), QUERY, { outTradeNo: 'A1' }, 'T3')).toMatchObject(refusal);
  });

  it('whose first account has a token has no account of its own', async () => {
    const [first, ...more] = SELLERS;
    const sandbox = await start({ ...first, authorised: first, accounts: more });
    const shop = await shopOf(sandbox, 0);
    expect(await call(shop, QUERY, { outTradeNo: 'A1' })).toMatchObject({
      sub_code: 'aop.invalid-app-auth-token',
    });
    await sandbox.control.pay(payUrl(shop, 'A1', 'T3'));
    expect(await sandbox.control.trade('A1')).toMatchObject({ sellerId: first?.sellerId });
  });
});

describe('the control API', () => {
  it('asks whose order it is only where two have the number', async () => {
    const [sandbox, one, two] = await startTwo();
    const { control } = sandbox;
    await control.open(one.payUrl({ outTradeNo: 'A1' }));
    expect(await control.scan('A1')).toMatchObject({ sellerId: SELLER_1 });
    await control.scan(two.payUrl({ outTradeNo: 'A1' }));
    for (const remote of [control, connectControl(sandbox.url)]) {
      await expect(remote.pay('A1')).rejects.toMatchObject({
        code: 'AMBIGUOUS_ORDER',
        message: expect.stringContaining(`${SELLER_1}, ${SELLER_2} each have an order A1: give its sellerId`),
      });
      await expect(remote.trade('A1', { sellerId: '2088' })).rejects.toThrow('there is no seller 2088');
    }
    const whose = { sellerId: SELLER_2 };
    const remote = connectControl(sandbox.url);
    expect(await remote.pay('A1', { notify: false, ...whose })).toMatchObject(whose);
    await remote.leave('A1', whose);
    expect(await remote.notify('A1', {}, undefined, whose)).toMatchObject({ accepted: true });
    expect(await remote.forge('other-amount', 'A1', undefined, whose)).toMatchObject({ accepted: true });
    expect(two.notifications()).toHaveLength(2);
    expect(one.notifications()).toEqual([]);
    expect(await remote.refundByHand('A1', '1.00', whose)).toMatchObject({ refundedAmount: '1.00' });
    expect(await remote.finish('A1', { notify: false, ...whose })).toMatchObject(whose);
    expect(await remote.expire('A1', { sellerId: SELLER_1 })).toMatchObject({ status: 'TRADE_CLOSED' });
    expect(await remote.trade('A1', whose)).toMatchObject({ status: 'TRADE_FINISHED' });
    expect((await remote.trades()).map(({ sellerId }) => sellerId)).toEqual([SELLER_1, SELLER_2]);
  });

  it('lists the accounts', async () => {
    const sandbox = await start({ accounts: [SELLERS[0] ?? never(), { appId: APP_2, sellerId: SELLER_2 }] });
    const views = [
      { appId: APP_1, sellerId: SELLER_1, authAppId: APP_1 },
      { appId: APP_1, ...SELLERS[0] },
      { appId: APP_2, sellerId: SELLER_2, authAppId: APP_2 },
    ];
    expect(await (await fetch(`${sandbox.url}/control/accounts`)).json()).toEqual(views);
    expect(sandbox.accounts).toMatchObject(views);
    expect(sandbox.setup.accounts).toEqual(views);
  });
});

describe('the state file', () => {
  const stateFile = () => join(dir, 'state.jsonl');

  it('keeps whose trades they are, in whatever order the accounts are given', async () => {
    const [sandbox] = await sellBoth('A1', { stateFile: stateFile() });
    const before = await sandbox.control.trades();
    await sandbox.close();
    const swapped = { appId: APP_2, sellerId: SELLER_2, accounts: [{ appId: APP_1, sellerId: SELLER_1 }] };
    const again = await start({ ...swapped, stateFile: stateFile(), keysDir: join(dir, 'keys') });
    expect(await again.control.trades()).toEqual(before);
    expect(await (await shopOf(again, 0)).call(QUERY, { outTradeNo: 'A1' })).toMatchObject({
      totalAmount: '2.00',
    });
  });

  it.each([['{"type":"version","version":1}\n'], ['']])(
    'of the version before (%j) is read as the first seller’s, and written anew',
    async (head) => {
      const order = {
        ...{
          outTradeNo: 'OLD',
          product: 'page',
          totalFen: 500,
          subject: 'tea',
          content: 'c',
          cashierId: 'ab',
        },
      };
      const lines = [
        { type: 'opened', at: 1, order },
        { type: 'scanned', at: 2, outTradeNo: 'OLD', tradeNo: '20260101220011', expiresAt: 9e12 },
        { type: 'paid', at: 3, outTradeNo: 'OLD', notify: false },
      ];
      writeFileSync(stateFile(), head + lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
      appendFileSync(stateFile(), '{"torn');
      const [sandbox, one, two] = await startTwo({ stateFile: stateFile() });
      expect(await one.call(QUERY, { outTradeNo: 'OLD' })).toMatchObject({ tradeStatus: 'TRADE_SUCCESS' });
      expect(await two.call(QUERY, { outTradeNo: 'OLD' })).toMatchObject({ subCode: 'ACQ.TRADE_NOT_EXIST' });
      await sandbox.control.finish('OLD', { notify: false });
      await sandbox.close();
      expect(readFileSync(stateFile(), 'utf8')).toMatch(
        /^\{"type":"version","version":2\}\n.*\n.*\n.*\n.*\n$/,
      );
      const again = await start({ stateFile: stateFile() });
      expect(await again.control.trade('OLD')).toMatchObject({
        status: 'TRADE_FINISHED',
        sellerId: SELLER_1,
      });
    },
  );
});

describe('a seed', () => {
  const seed = {
    accounts: [{ appId: APP_2, sellerId: SELLER_2 }],
    orders: [
      { outTradeNo: 'S1', totalAmount: '1.00' },
      { outTradeNo: 'S1', totalAmount: '2.00', sellerId: SELLER_2 },
    ],
  };

  it('brings accounts and their orders, and a reset brings the orders again', async () => {
    const file = join(dir, 'seed.json');
    writeFileSync(file, JSON.stringify(seed));
    const { control, ...sandbox } = await start({ seed: readSeed(file) });
    expect(sandbox.accounts.map(({ sellerId }) => sellerId)).toEqual([SELLER_1, SELLER_2]);
    const both = [
      expect.objectContaining({ sellerId: SELLER_1, totalAmount: '1.00' }),
      expect.objectContaining({ sellerId: SELLER_2, totalAmount: '2.00' }),
    ];
    expect(await control.trades()).toEqual(both);
    await control.refundByHand('S1', '1.00', { sellerId: SELLER_2 });
    await control.reset();
    expect(await control.trades()).toEqual(both);
    expect(await control.seed(seed)).toBe(0);
  });

  it('of a running sandbox cannot bring accounts that are not there, nor orders of nobody', async () => {
    const { control } = await start();
    await expect(control.seed(seed)).rejects.toThrow(/cannot take a new account: .*2088000000000002/);
    await expect(control.seed({ orders: seed.orders })).rejects.toThrow(
      /order S1 .*no seller 2088000000000002/,
    );
  });
});

it('an incident of two sellers happens again in a sandbox of one', async () => {
  const [sandbox, one, two] = await sellBoth('A1');
  const { tradeNo = '' } = (await sandbox.control.trade('A1', { sellerId: SELLER_1 })) ?? {};
  await two.call(QUERY, { tradeNo });
  await two.call(REFUND, { outTradeNo: 'A1', refundAmount: '2.00' });
  await one.call(QUERY, { outTradeNo: 'A1' });
  const incident = await sandbox.control.exportIncident();
  expect(JSON.stringify(incident)).not.toMatch(/2088|2021/);
  const other = await start();
  expect(await other.control.replayIncident(incident)).toMatchObject({ differences: [] });
  expect(await other.control.ledger()).toEqual([
    expect.objectContaining({ outTradeNo: 'order_1', paidFen: 100, refundedFen: 0 }),
    expect.objectContaining({ outTradeNo: 'order_2', paidFen: 200, refundedFen: 200 }),
  ]);
});

describe('what a person sees', () => {
  const follow = async (url: string) => {
    const controller = new AbortController();
    const { body } = await fetch(`${url}/console/events`, { signal: controller.signal });
    const reader = (body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('\n\n')) text += (await reader.read()).value ?? '';
    controller.abort();
    return JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '') as {
      orders: Record<string, string>[];
      entries: Record<string, string>[];
    };
  };

  it('in the console names app and seller of each trade, and of each call', async () => {
    const [sandbox, , two] = await sellBoth('A1');
    await two.call(QUERY, { outTradeNo: 'A1' });
    const { orders, entries } = await follow(sandbox.url);
    expect(orders.map(({ outTradeNo, account }) => [outTradeNo, account])).toEqual([
      ['A1', `${APP_1} · ${SELLER_1}`],
      ['A1', `${APP_2} · ${SELLER_2}`],
    ]);
    expect(entries.find(({ kind }) => kind === 'call')).toMatchObject({ sellerId: SELLER_2 });
  });

  it('in the console names neither where there is one account', async () => {
    const sandbox = await start();
    await (await shopOf(sandbox, 0)).sell('A1');
    const { orders, entries } = await follow(sandbox.url);
    expect(orders[0]).not.toHaveProperty('account');
    expect(entries.filter(({ sellerId }) => sellerId !== undefined)).toEqual([]);
    expect(sandbox.setup).not.toHaveProperty('accounts');
  });

  it('at /setup is one account’s, and how to get to the others', async () => {
    const [sandbox, , two] = await startTwo();
    const get = async (path: string) => (await fetch(sandbox.url + path)).text();
    expect(await get('/setup')).toContain(`/setup?app=${APP_2}&seller=${SELLER_2}`);
    const other = JSON.parse(await get(`/setup/json?app=${APP_2}`)) as Sandbox['setup'];
    expect(other).toMatchObject({ appId: APP_2, sellerId: SELLER_2 });
    expect(other.appPrivateKey?.pkcs8).toBe(two.sandbox.appPrivateKey);
    expect(await get(`/setup/node?seller=${SELLER_2}`)).toContain(`appId: '${APP_2}'`);
    expect(await get('/setup?app=2021')).toContain('UNKNOWN_ACCOUNT');
  });

  it('in the terminal is a line with the seller', async () => {
    const lines: string[] = [];
    const [, , two] = await startTwo({ print: (line) => lines.push(line) });
    await two.call(QUERY, { outTradeNo: 'A1' });
    expect(lines.at(-1)).toMatch(/A1 {2}signed {2}ACQ\.TRADE_NOT_EXIST {2}seller 2088000000000002$/);
  });
});

describe('the command line', () => {
  const run = async (...args: string[]): Promise<[Sandbox, string]> => {
    const print = jest.spyOn(console, 'log').mockImplementation(() => undefined);
    const sandbox = await runCli(['node', 'alipay-sandbox', '--port', '0', '--dir', dir, ...args], {});
    open.push(sandbox);
    const said = print.mock.calls.flat().join('\n');
    print.mockRestore();
    return [sandbox, said];
  };

  it('takes applications, sellers, public keys and tokens, and says for each what to set', async () => {
    const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const file = join(dir, 'own.pem');
    writeFileSync(file, publicKey.export({ type: 'spki', format: 'pem' }));
    const [sandbox, said] = await run(
      ...['--app', '2021000000000005', '--app', `${APP_2}:2088000000000009:${file}`],
      ...['--app-auth-token', 'T3:2088000000000003:2021000000000003'],
    );
    expect(await sandbox.control.accounts()).toEqual([
      { appId: APP_1, sellerId: SELLER_1, authAppId: APP_1 },
      { appId: APP_1, ...SELLERS[0] },
      { appId: '2021000000000005', sellerId: '2088000000000005', authAppId: '2021000000000005' },
      { appId: APP_2, sellerId: '2088000000000009', authAppId: APP_2 },
    ]);
    const keys = join(dir, 'keys');
    const isv = said.indexOf('Account 2 of 4');
    expect(said.slice(0, isv)).toContain(`export ALIPAY_PRIVATE_KEY_FILE=${join(keys, 'app-private.pem')}`);
    expect(said.slice(isv)).toContain('export ALIPAY_APP_AUTH_TOKEN=T3');
    expect(said).toContain(
      `export ALIPAY_APP_ID=2021000000000005
export ALIPAY_SELLER_ID=2088000000000005
export ALIPAY_PRIVATE_KEY_FILE=${join(keys, '2021000000000005', 'app-private.pem')}
export ALIPAY_PUBLIC_KEY_FILE=${join(keys, 'alipay-public.pem')}`,
    );
    expect(said).toContain('export ALIPAY_PRIVATE_KEY_FILE=<your own>');
  });

  it('takes a token alone for the first account, as ever', async () => {
    const [sandbox] = await run('--app-auth-token', 'T1', '--auth-app-id', '2021000000000007');
    expect(await sandbox.control.accounts()).toEqual([
      { appId: APP_1, sellerId: SELLER_1, authAppId: '2021000000000007', appAuthToken: 'T1' },
    ]);
    await expect(run('--app-auth-token', 'T1', '--app-auth-token', 'T2')).rejects.toThrow(
      '--app-auth-token: only one may omit its seller',
    );
  });

  it.each([
    [['--app', 'mine'], /--app.*APP_ID:SELLER_ID/s],
    [['--app-auth-token', 'T1:2088000000000003'], /--app-auth-token.*TOKEN:SELLER_ID:AUTH_APP_ID/s],
  ])('refuses %j', async (args, words) => {
    const main = resolve(__dirname, '../../sandbox/main.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaint = '';
    child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
    expect(await once(child, 'close')).toEqual([1, null]);
    expect(complaint).toMatch(words);
  });
});

function never(): never {
  throw new Error('there is no such account');
}
