import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startSandbox, type Sandbox } from '../../sandbox';
import { beijingTime } from '../../sandbox/beijing';
import { waitFor } from '../../dev/wait-for';
import { Shop, type Asked } from './sandbox-shop';

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
  no = `C${count}`;
});
afterAll(async () => {
  await sandbox.close();
  await shop.close();
});

async function openCashier(asked: Partial<Asked> = {}, method?: string): Promise<string> {
  return (await fetch(shop.payUrl({ outTradeNo: no, ...asked }, method))).text();
}

/** Presses a button as a browser would: posts to its address and follows the redirect. */
async function press(page: string, id: string): Promise<{ status: number; html: string; url: string }> {
  const [, action = ''] = new RegExp(`<button id="${id}" formaction="([^"]+)"`).exec(page) ?? [];
  expect(action).not.toBe('');
  const response = await fetch(new URL(action, sandbox.url), { method: 'POST' });
  return { status: response.status, html: await response.text(), url: response.url };
}

const status = async () => (await sandbox.control.trade(no))?.status;

describe('the cashier page', () => {
  it('shows what is to be paid and until when, and four things to do', async () => {
    const until = Date.now() + 3_600_000;
    const page = await openCashier({ subject: 'Two books 两本书', timeExpire: beijingTime(until) });
    expect(page).toContain('Two books 两本书');
    expect(page).toMatch(/id="amount">.*12\.30/);
    expect(page).toContain(`<dd id="out-trade-no">${no}</dd>`);
    expect(page).toContain(`until ${beijingTime(until)}`);
    for (const id of ['pay', 'pay-lose-notify', 'leave', 'scan'])
      expect(page).toContain(`<button id="${id}"`);
  });

  it('stands alone: it loads nothing, runs only its own script, and fits a phone', async () => {
    const response = await fetch(shop.payUrl({ outTradeNo: no }));
    const page = await response.text();
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
    expect(page).toContain('<meta name="viewport" content="width=device-width, initial-scale=1">');
  });

  it('shows text as text', async () => {
    const page = await openCashier({ subject: '<img onerror "x">' });
    expect(page).toContain('&lt;img onerror');
    expect(page).not.toContain('<img');
  });

  it('opens by POST as well', async () => {
    const form = shop.sdk.pageExecute('alipay.trade.page.pay', 'POST', {
      bizContent: shop.biz({ outTradeNo: no }),
    });
    const [, action = ''] = /action="([^"]+)"/.exec(form) ?? [];
    const body = new URLSearchParams();
    for (const [, name = '', value = ''] of form.matchAll(/name="([^"]+)" value="([^"]*)"/g)) {
      body.set(name, value.replaceAll('&quot;', '"'));
    }
    expect(await (await fetch(action, { method: 'POST', body })).text()).toContain('id="pay"');
  });

  it('does not make a trade by being opened', async () => {
    await openCashier();
    expect(await status()).toBeUndefined();
  });
});

describe('the buyer', () => {
  it('pays, the shop is told, and a signed link leads back', async () => {
    const { html, url } = await press(await openCashier(), 'pay');
    expect(url).toMatch(/\/cashier\/[0-9a-f]{32}$/);
    expect(html).toContain('id="paid"');
    expect(await status()).toBe('TRADE_SUCCESS');
    const [, href = ''] = /id="back" href="([^"]+)"/.exec(html) ?? [];
    const back = new URL(href.replaceAll('&amp;', '&'));
    const fields = Object.fromEntries(back.searchParams);
    expect(`${back.origin}${back.pathname}`).toBe('https://shop.example/back');
    expect(fields).toMatchObject({
      from: 'alipay',
      method: 'alipay.trade.page.pay.return',
      total_amount: '12.30',
    });
    const { from, ...signed } = fields;
    expect(from).toBe('alipay');
    expect(shop.sdk.checkNotifySignV2(signed)).toBe(true);
    await waitFor(() => shop.notifications().some((told) => told['out_trade_no'] === no), {
      what: 'the shop to be told',
    });
  });

  it('pays, but the notification is lost: the page says so, the shop hears nothing', async () => {
    const { html } = await press(await openCashier(), 'pay-lose-notify');
    expect(html).toContain('id="undelivered"');
    expect(await status()).toBe('TRADE_SUCCESS');
    expect(await sandbox.control.pendingNotifications()).toBe(0);
    expect(shop.notifications().some((told) => told['out_trade_no'] === no)).toBe(false);
  });

  it('scans only: the trade waits, and can still be paid on the same page', async () => {
    const { html } = await press(await openCashier(), 'scan');
    expect(await status()).toBe('WAIT_BUYER_PAY');
    expect(html).toContain('WAIT_BUYER_PAY');
    expect(html).not.toContain('id="scan"');
    await press(html, 'pay');
    expect(await status()).toBe('TRADE_SUCCESS');
  });

  it('leaves: nothing was paid, and the cashier opens again', async () => {
    const { html } = await press(await openCashier(), 'leave');
    expect(html).toContain('id="left-unpaid"');
    expect(await status()).toBeUndefined();
    const [, again = ''] = /href="(\/cashier\/[^"]+)"/.exec(html) ?? [];
    expect(await (await fetch(new URL(again, sandbox.url))).text()).toContain('id="pay"');
  });

  it('cannot pay twice, nor what was closed meanwhile', async () => {
    const page = await openCashier();
    await press(page, 'pay');
    expect(await press(page, 'pay')).toMatchObject({
      status: 400,
      html: expect.stringContaining('TRADE_HAS_SUCCESS'),
    });

    no = `${no}_closed`;
    const other = await openCashier();
    await press(other, 'scan');
    await shop.call('alipay.trade.close', { outTradeNo: no });
    expect(await press(other, 'pay')).toMatchObject({
      status: 400,
      html: expect.stringContaining('TRADE_HAS_CLOSE'),
    });
  });

  it('pays on a phone by the wap page, and returns by its own method', async () => {
    const { html } = await press(await openCashier({}, 'alipay.trade.wap.pay'), 'pay');
    expect(html).toContain('method=alipay.trade.wap.pay.return');
  });
});

describe('the cashier refuses', () => {
  it('a changed amount for the same order', async () => {
    await openCashier();
    const page = await openCashier({ totalAmount: '0.01' });
    expect(page).toContain('id="refused"');
    expect(page).toContain('ACQ.CONTEXT_INCONSISTENT');
  });

  it('a tampered request', async () => {
    const response = await fetch(shop.payUrl({ outTradeNo: no }).replace('12.30', '00.01'));
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('isv.invalid-signature');
  });

  it('an order whose time is over', async () => {
    const page = await openCashier({ timeExpire: beijingTime(Date.now() - 1000) });
    expect(page).toContain('EXPIRED');
  });

  it('an address that it never gave out', async () => {
    expect((await fetch(`${sandbox.url}/cashier/0123456789abcdef`)).status).toBe(404);
  });
});
