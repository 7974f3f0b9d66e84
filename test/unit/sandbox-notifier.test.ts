import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createVerify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  FORGERIES,
  RETRY_PAUSES_MS,
  startSandbox,
  type JournalEntry,
  type NotificationEntry,
  type Sandbox,
  type SandboxOptions,
} from '../../sandbox';
import { beijingTime } from '../../sandbox/beijing';
import { waitFor } from '../../dev/wait-for';
import { Shop } from './sandbox-shop';

// Two RSA pairs take half a second: generated once, kept for the file's many sandboxes.
const keysDir = mkdtempSync(join(tmpdir(), 'sandbox-keys-'));
let sandbox: Sandbox;
let shop: Shop;

async function start(options: SandboxOptions = {}): Promise<void> {
  sandbox = await startSandbox({ keysDir, ...options });
  shop = await Shop.open(sandbox);
}

async function stop(): Promise<void> {
  await sandbox.close();
  await shop.close();
}

afterAll(() => rmSync(keysDir, { recursive: true, force: true }));

const arrived = (many: number) =>
  waitFor(() => shop.forms.length >= many, { what: `${many} notifications`, everyMs: 5 });
const attempts = async () =>
  (await sandbox.control.journal()).filter(
    (entry: JournalEntry): entry is NotificationEntry => entry.kind === 'notification',
  );
const recorded = (many: number) =>
  waitFor(async () => (await attempts()).length >= many, { what: `${many} recorded attempts`, everyMs: 5 });
const idle = () =>
  waitFor(async () => (await sandbox.control.pendingNotifications()) === 0, {
    what: 'nothing to be left to deliver',
    everyMs: 5,
  });

describe('a notification', () => {
  beforeEach(() => start());
  afterEach(stop);

  it('of a payment carries the documented fields, none empty, signed so that the official SDK agrees', async () => {
    await shop.sell('N1', { passbackParams: 'order%3D1', body: 'two books' });
    await arrived(1);
    const [notification = {}] = shop.notifications();
    expect(shop.sdk.checkNotifySignV2(notification)).toBe(true);
    expect(shop.sdk.checkNotifySignV2({ ...notification, total_amount: '0.01' })).toBe(false);
    const trade = await sandbox.control.trade('N1');
    const paidAt = beijingTime(Date.parse(trade?.paidAt ?? ''));
    expect(notification).toMatchObject({
      notify_type: 'trade_status_sync',
      app_id: sandbox.appId,
      seller_id: sandbox.sellerId,
      out_trade_no: 'N1',
      trade_no: trade?.tradeNo,
      trade_status: 'TRADE_SUCCESS',
      total_amount: '12.30',
      gmt_payment: paidAt,
      subject: 'A book',
      body: 'two books',
      passback_params: 'order%3D1',
      fund_bill_list: '[{"amount":"12.30","fundChannel":"ALIPAYACCOUNT"}]',
    });
    expect(Object.values(notification)).not.toContain('');
    expect(notification).not.toHaveProperty('gmt_refund');
  });

  // Seen in notifications of full refunds that shops have published.
  const ONLY_WHILE_PAID = [
    ...['receipt_amount', 'invoice_amount', 'buyer_pay_amount'],
    ...['point_amount', 'fund_bill_list', 'send_back_fee'],
  ];

  it('of a refund tells of the same success again with refund_fee, of the last fen as TRADE_CLOSED', async () => {
    await shop.sell('N2');
    await arrived(1);
    await shop.call('alipay.trade.refund', { outTradeNo: 'N2', refundAmount: '2.30', outRequestNo: 'r1' });
    await arrived(2);
    await sandbox.control.refundByHand('N2', '10.00');
    await arrived(3);
    const [paid, part, whole] = shop.notifications();
    expect(part).toMatchObject({ trade_status: 'TRADE_SUCCESS', refund_fee: '2.30', out_biz_no: 'r1' });
    for (const name of ONLY_WHILE_PAID) {
      expect(part).toHaveProperty(name);
      expect(whole).not.toHaveProperty(name);
    }
    expect(part?.['gmt_refund']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/);
    expect(whole).toMatchObject({
      trade_status: 'TRADE_CLOSED',
      refund_fee: '12.30',
    });
    expect(new Set([paid, part, whole].map((fields) => fields?.['notify_id'])).size).toBe(3);
  });

  it('of a refund without a request number names the trade in its place', async () => {
    await shop.sell('N8');
    await arrived(1);
    await shop.call('alipay.trade.refund', { outTradeNo: 'N8', refundAmount: '12.30' });
    await arrived(2);
    const [, whole] = shop.notifications();
    expect(whole?.['out_biz_no']).toBe((await sandbox.control.trade('N8'))?.tradeNo);
  });

  it('of the end of the refund window says TRADE_FINISHED', async () => {
    await shop.sell('N3');
    await sandbox.control.finish('N3');
    await arrived(2);
    expect(shop.notifications().map((fields) => fields['trade_status'])).toContain('TRADE_FINISHED');
  });

  it('of a trade that closes unpaid is sent for wap, not for page', async () => {
    for (const [outTradeNo, method] of [
      ['N4', 'alipay.trade.page.pay'],
      ['N5', 'alipay.trade.wap.pay'],
    ] as const) {
      await sandbox.control.scan(shop.payUrl({ outTradeNo }, method));
      await shop.call('alipay.trade.close', { outTradeNo });
    }
    await arrived(1);
    await idle();
    const closed = { out_trade_no: 'N5', trade_status: 'TRADE_CLOSED', gmt_close: expect.any(String) };
    expect(shop.notifications()).toEqual([expect.objectContaining(closed)]);
    expect(shop.notifications()[0]).not.toHaveProperty('refund_fee');
  });

  it('of a wap trade whose time ran out comes by itself', async () => {
    const timeExpire = beijingTime(Date.now() + 4000);
    await sandbox.control.scan(shop.payUrl({ outTradeNo: 'N6', timeExpire }, 'alipay.trade.wap.pay'));
    await arrived(1);
    expect(shop.notifications()[0]).toMatchObject({ out_trade_no: 'N6', trade_status: 'TRADE_CLOSED' });
  });

  it('that the buyer loses never comes', async () => {
    await sandbox.control.pay(shop.payUrl({ outTradeNo: 'N7' }), { notify: false });
    await shop.sell('N8');
    await arrived(1);
    await idle();
    expect(shop.notifications().map((fields) => fields['out_trade_no'])).toEqual(['N8']);
  });
});

describe('the retries', () => {
  afterEach(stop);

  it('come at 4m, 10m, 10m, 1h, 2h, 6h, 15h, scaled, with one notify_id, and then end', async () => {
    const scale = 120_000;
    await start({ notifyScale: scale });
    shop.reply = { status: 200, body: 'fail' };
    const starts: number[] = [];
    shop.forms.push = (form: string) => {
      starts.push(Date.now());
      return Array.prototype.push.call(shop.forms, form);
    };
    await shop.sell('R1');
    await arrived(8);
    await idle();
    const gaps = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
    gaps.forEach((gap, index) => {
      expect(gap).toBeGreaterThanOrEqual(Math.floor((RETRY_PAUSES_MS[index] ?? 0) / scale) - 2);
    });
    expect(RETRY_PAUSES_MS.map((pause) => pause / 60_000)).toEqual([4, 10, 10, 60, 120, 360, 900]);
    expect(shop.forms).toHaveLength(8);
    expect(new Set(shop.notifications().map((fields) => fields['notify_id'])).size).toBe(1);
    expect(shop.notifications().every((fields) => shop.sdk.checkNotifySignV2(fields))).toBe(true);
  });

  it.each([
    ['success with a newline', 200, 'success\n'],
    ['SUCCESS', 200, 'SUCCESS'],
    ['success with status 201', 201, 'success'],
    ['a redirect', 302, 'success'],
    ['an error', 500, 'success'],
  ])('follow %s', async (_what, status, body) => {
    await start({ notifyScale: 1e7 });
    shop.reply = { status, body };
    await shop.sell('R2');
    await recorded(2);
    shop.reply = { status: 200, body: 'success' };
    await idle();
    expect((await attempts())[0]).toMatchObject({ accepted: false, answer: { status, body }, attempt: 1 });
    expect((await attempts()).at(-1)).toMatchObject({ accepted: true });
  });

  it('follow a shop that is closed or does not answer in time', async () => {
    await start({ notifyScale: 1e7, notifyDeadlineMs: 1_000 });
    const silent = await startSandbox({ keysDir });
    await silent.control.fault({ mode: 'hang' });
    await silent.control.latency(60_000);
    await shop.sell('R3');
    await arrived(1);
    const nowhere = await sandbox.control.notify('R3', {}, 'http://127.0.0.1:1/notify');
    const never = await sandbox.control.notify('R3', {}, silent.gateway);
    expect(nowhere).toMatchObject({ accepted: false, error: expect.stringContaining('ECONNREFUSED') });
    expect(never).toMatchObject({ accepted: false, error: 'no answer within 1000 ms' });
    await silent.close();
  });

  it('end with the first success', async () => {
    await start({ notifyScale: 1e7 });
    await shop.sell('R4');
    await arrived(1);
    await idle();
    expect(shop.forms).toHaveLength(1);
    expect(await attempts()).toEqual([
      expect.objectContaining({ accepted: true, attempt: 1, tradeStatus: 'TRADE_SUCCESS' }),
    ]);
  });
});

describe('the notifier', () => {
  beforeEach(() => start({ notifyScale: 1e6 }));
  afterEach(stop);

  it('drops whole notifications, retries too', async () => {
    await sandbox.control.notifier({ drop: { times: 1 } });
    await shop.sell('D1');
    await shop.sell('D2');
    await arrived(1);
    await idle();
    expect(shop.notifications().map((fields) => fields['out_trade_no'])).toEqual(['D2']);
    expect(await attempts()).toContainEqual(
      expect.objectContaining({ outTradeNo: 'D1', fault: 'drop', accepted: false }),
    );
  });

  it('drops single deliveries, which the schedule makes good', async () => {
    await sandbox.control.notifier({ dropAttempt: { times: 2 } });
    await shop.sell('D3');
    await arrived(1);
    await idle();
    expect(await attempts()).toEqual([
      expect.objectContaining({ attempt: 1, fault: 'drop-attempt' }),
      expect.objectContaining({ attempt: 2, fault: 'drop-attempt' }),
      expect.objectContaining({ attempt: 3, accepted: true }),
    ]);
  });

  it('repeats, the very same one', async () => {
    await sandbox.control.notifier({ repeat: 1 });
    await shop.sell('D4');
    await arrived(2);
    expect(shop.forms[0]).toBe(shop.forms[1]);
  });

  it('reorders: the first is overtaken by the next', async () => {
    await sandbox.control.notifier({ reorder: { times: 1 } });
    await shop.sell('D5');
    await shop.sell('D6');
    await arrived(2);
    expect(shop.notifications().map((fields) => fields['out_trade_no'])).toEqual(['D6', 'D5']);
  });

  it('delays', async () => {
    await sandbox.control.notifier({ delayMs: 300 });
    const before = Date.now();
    await shop.sell('D7');
    await arrived(1);
    expect(Date.now() - before).toBeGreaterThanOrEqual(295);
  });

  it('sends a forged one first', async () => {
    await sandbox.control.notifier({ forge: { kind: 'bad-signature', chance: { times: 1 } } });
    await shop.sell('D8');
    await arrived(2);
    expect(shop.notifications().map((fields) => shop.sdk.checkNotifySignV2(fields))).toEqual([false, true]);
  });

  it('is honest again when its faults are cleared', async () => {
    await sandbox.control.notifier({ drop: 1 });
    await sandbox.control.notifier({});
    await shop.sell('D9');
    await arrived(1);
  });
});

describe('a forgery', () => {
  beforeEach(() => start());
  afterEach(stop);

  it.each(FORGERIES)('of kind %s arrives as what it pretends to be', async (kind) => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: 'G1' }));
    const answer = await sandbox.control.forge(kind, 'G1');
    expect(answer).toEqual({ accepted: true, status: 200, body: 'success' });
    const [form = ''] = shop.forms;
    const [fields = {}] = shop.notifications();
    expect(form).toContain('trade_status=TRADE_SUCCESS');
    const expected: Record<(typeof FORGERIES)[number], () => void> = {
      'bad-signature': () => expect(shop.sdk.checkNotifySignV2(fields)).toBe(false),
      'wrong-app-id': () => signedBut({ app_id: sandbox.appId }),
      'wrong-seller-id': () => signedBut({ seller_id: sandbox.sellerId }),
      'other-amount': () => signedBut({ total_amount: '12.30' }),
      'unknown-out-trade-no': () => signedBut({ out_trade_no: 'G1' }),
      'sign-type-rsa': () => signedBut({ sign_type: 'RSA2' }),
      'duplicate-keys': () =>
        expect(new URLSearchParams(form).getAll('out_trade_no')).toEqual(['G1', 'another']),
      'array-values': () => expect(new URLSearchParams(form).getAll('out_trade_no[]')).toEqual(['G1']),
      'two-in-one': () => signedBut({ total_amount: '12.30' }),
    };
    const signedBut = (usual: Record<string, string>) => {
      expect(shop.sdk.checkNotifySignV2(fields)).toBe(true);
      expect(fields).not.toMatchObject(usual);
    };
    expected[kind]();
  });

  it('of an order that nobody knows goes where it is sent', async () => {
    await sandbox.control.forge('unknown-out-trade-no', 'never_seen', shop.notifyUrl);
    expect(shop.forms).toHaveLength(1);
    await expect(sandbox.control.forge('bad-signature', 'never_seen')).rejects.toThrow('UNKNOWN_ORDER');
  });
});

describe('a notification sent by hand', () => {
  beforeEach(() => start());
  afterEach(stop);

  it('tells of the trade as it is, with fields changed or left out, and truly signed', async () => {
    await sandbox.control.pay(shop.payUrl({ outTradeNo: 'H1' }), { notify: false });
    const answer = await sandbox.control.notify('H1', { trade_status: 'TRADE_FINISHED', gmt_payment: '' });
    expect(answer).toMatchObject({ accepted: true });
    const [fields = {}] = shop.notifications();
    expect(fields).toMatchObject({ out_trade_no: 'H1', trade_status: 'TRADE_FINISHED' });
    expect(fields).not.toHaveProperty('gmt_payment');
    expect(shop.sdk.checkNotifySignV2(fields)).toBe(true);
  });

  it('in GBK is signed over its GBK bytes, and sent in them', async () => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: 'H4' }));
    await sandbox.control.notify('H4', { charset: 'GBK', subject: '龙井茶誠 tea', body: '' });
    const [form = ''] = shop.forms;
    expect(form).toContain('subject=%c1%fa%be%ae%b2%e8%d5%5c%20tea&');
    const bytesOf = (text: string) =>
      text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    const fields = form.split('&').map(bytesOf);
    const signed = fields.filter((field) => !/^sign(_type)?=/.test(field)).sort();
    const signature = fields.find((field) => field.startsWith('sign='))?.slice('sign='.length) ?? '';
    const judge = createVerify('RSA-SHA256').update(signed.join('&'), 'latin1');
    expect(judge.verify(sandbox.alipayPublicKey, signature, 'base64')).toBe(true);
  });

  it('says what the shop answered', async () => {
    shop.reply = { status: 503, body: 'fail' };
    await sandbox.control.open(shop.payUrl({ outTradeNo: 'H2' }));
    expect(await sandbox.control.notify('H2')).toEqual({ accepted: false, status: 503, body: 'fail' });
  });

  it('carries a given signature as it is', async () => {
    await shop.sell('H3');
    await arrived(1);
    await sandbox.control.notify('H3', { sign: 'bm90IGEgc2lnbmF0dXJl' });
    expect(shop.notifications().at(-1)).toHaveProperty('sign', 'bm90IGEgc2lnbmF0dXJl');
  });
});
