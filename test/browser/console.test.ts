import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { startSandbox, type Sandbox } from '../../sandbox';
import { waitFor } from '../../dev/wait-for';
import { Shop } from '../unit/sandbox-shop';
import { describeInBrowser, openBrowser, openPage, screenshot } from '../support/browser';

const DESK = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

/** Where the sandbox's own README keeps its pictures. */
const PICTURES = { folder: 'sandbox/docs' };

/** How wide the page is, including what lies beyond the screen. */
const widthOf = (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth');

describeInBrowser('the console in a browser', () => {
  let sandbox: Sandbox;
  let shop: Shop;
  let browser: Browser;
  let count = 0;
  let no: string;

  beforeAll(async () => {
    [sandbox, browser] = await Promise.all([startSandbox(), openBrowser()]);
    shop = await Shop.open(sandbox);
  });
  beforeEach(() => {
    count += 1;
    // Letters that no hex id on the page can contain: rows are found by their text.
    no = `TEA_${String(count).padStart(2, '0')}`;
  });
  // A page that stays open keeps redrawing with every change.
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
  });
  afterAll(async () => {
    await browser.close();
    await sandbox.close();
    await shop.close();
  });

  /** Opens the console, and throws what goes wrong in it. */
  async function openConsole(
    options: Parameters<typeof openPage>[1] = DESK,
    { url }: Pick<Sandbox, 'url'> = sandbox,
  ): Promise<Page> {
    const page = await openPage(browser, options);
    page.on('pageerror', (error) => {
      throw error;
    });
    await page.goto(url);
    await page.locator('#live[data-live=yes]').waitFor();
    return page;
  }
  const tradeOf = (page: Page) => page.locator('.trade', { hasText: no });
  const callsOf = (page: Page, text: string | RegExp = no) => page.locator('.call', { hasText: text });

  /** Opens a pay URL, then the same with a smaller amount. */
  async function tamper(): Promise<void> {
    const url = new URL(shop.payUrl({ outTradeNo: no }));
    await fetch(url);
    const content = url.searchParams.get('biz_content') ?? '';
    url.searchParams.set('biz_content', content.replace('12.30', '0.01'));
    await fetch(url);
  }

  it('shows a morning of a shop at a glance', async () => {
    await sandbox.control.pay(shop.payUrl({ outTradeNo: 'A20260701001', subject: 'A pot of tea 一壶茶' }));
    await sandbox.control.pay(
      shop.payUrl({ outTradeNo: 'A20260701002', subject: 'Two books', totalAmount: '128.00' }),
    );
    await sandbox.control.refundByHand('A20260701002', '28.00');
    const isTold = (no: string): boolean => shop.notifications().some((told) => told['out_trade_no'] === no);
    await waitFor(() => isTold('A20260701001') && isTold('A20260701002'), { what: 'the shop to be told' });
    shop.reply = { status: 200, body: 'OK' };
    await sandbox.control.pay(shop.payUrl({ outTradeNo: 'A20260701003', subject: 'A teapot, blue' }));
    await waitFor(() => isTold('A20260701003'), { what: 'the shop to be told' });
    shop.reply = { status: 200, body: 'success' };
    await sandbox.control.scan(shop.payUrl({ outTradeNo: 'A20260701004', subject: '猫粮两袋' }));
    await sandbox.control.fault({ mode: '20000', method: 'alipay.trade.query', times: 1 });
    for (let asked = 0; asked < 2; asked += 1) {
      await shop.raw('alipay.trade.query', { outTradeNo: 'A20260701004' });
    }
    no = 'A20260701005';
    await tamper();

    const page = await openConsole();
    await callsOf(page, no).locator('.flaw').waitFor();
    expect(await page.locator('.trade .badge').allInnerTexts()).toEqual([
      'not scanned',
      'waiting',
      'paid',
      'paid',
      'paid',
    ]);
    await callsOf(page, 'HTTP 200, "OK"').first().waitFor();
    await page.locator('.trade button.head').nth(1).click();
    await screenshot(page, 'console', PICTURES);

    const phone = await openConsole({ ...PHONE, locale: 'zh-CN' });
    await callsOf(phone, no).locator('.flaw').waitFor();
    await screenshot(phone, 'console-phone', PICTURES);
    await sandbox.control.clearJournal();
    await page.locator('#calls-count', { hasText: /^0$/ }).waitFor();
  });

  it('takes a payment through by keyboard, live', async () => {
    const page = await openConsole();
    await fetch(shop.payUrl({ outTradeNo: no, subject: '<script>alert(1)<script>' }));
    const trade = tradeOf(page);
    await trade.locator('.subject', { hasText: '<script>alert(1)<script>' }).waitFor();
    expect(await trade.locator('.badge').innerText()).toBe('not scanned');

    await page.keyboard.press('/');
    await page.keyboard.type(no);
    const reach = async (selector: string) => {
      for (let presses = 0; presses < 60; presses += 1) {
        await page.keyboard.press('Tab');
        if (await page.evaluate<boolean>(`document.activeElement.matches('${selector}')`)) return;
      }
      throw new Error(`The Tab key does not reach ${selector}`);
    };
    await reach('.trade button.head');
    await page.keyboard.press('Enter');
    await reach('button[data-act=pay]');
    await page.keyboard.press('Enter');

    await trade.locator('.badge', { hasText: 'paid' }).waitFor();
    await callsOf(page, 'TRADE_SUCCESS').locator('.badge', { hasText: 'success' }).waitFor();
    expect(await page.locator('#said').innerText()).toContain(no);
    expect(await page.evaluate<boolean>("document.activeElement.matches('.trade button.head')")).toBe(true);
    expect(shop.notifications().at(-1)).toMatchObject({ out_trade_no: no, trade_status: 'TRADE_SUCCESS' });
  });

  it('names the wrong field of a tampered call, in both languages', async () => {
    const english = await openConsole();
    await tamper();
    const flaw = callsOf(english).locator('.flaw');
    await flaw.waitFor();
    expect(await flaw.innerText()).toMatch(
      /^biz_content\.total_amount was changed after signing\.\s+Expected 12\.30\s+Got 0\.01$/,
    );
    await callsOf(english).locator('.badge', { hasText: 'bad signature' }).waitFor();

    const chinese = await openConsole({ ...DESK, locale: 'zh-CN' });
    await callsOf(chinese)
      .locator('.flaw', { hasText: 'biz_content.total_amount 在签名之后被改动。' })
      .waitFor();
    expect(await chinese.locator('html').getAttribute('lang')).toBe('zh');

    await chinese.locator('#language').click();
    await callsOf(chinese).locator('.flaw', { hasText: 'was changed after signing.' }).waitFor();
    await chinese.reload();
    expect(await chinese.locator('html').getAttribute('lang')).toBe('en');
  });

  it('loses, repeats and forges: each button does what it says, and shows what came of it', async () => {
    const page = await openConsole();
    await sandbox.control.open(shop.payUrl({ outTradeNo: no }));
    const press = async (name: string) => tradeOf(page).locator(`button[data-act=${name}]`).click();
    await tradeOf(page).locator('button.head').click();
    await press('payLose');
    await tradeOf(page).locator('dd', { hasText: 'lost on purpose' }).waitFor();
    expect(shop.notifications().some((told) => told['out_trade_no'] === no)).toBe(false);

    await press('resend');
    await page.locator('#said', { hasText: 'the shop answered success' }).waitFor();
    const first = shop.forms.at(-1);
    const told = callsOf(page).filter({ hasText: 'TRADE_SUCCESS' });
    await told.first().locator('button.head').click();
    await told.first().locator('button[data-act=replay]').click();
    await told.locator('.badge', { hasText: 'replay' }).waitFor();
    expect(shop.forms.at(-1)).toBe(first);

    shop.reply = { status: 400, body: 'no' };
    await press('forge');
    await page.locator('#said[data-bad=true]', { hasText: 'HTTP 400, "no"' }).waitFor();
    shop.reply = { status: 200, body: 'success' };

    await tradeOf(page).locator('input[name=amount]').fill('2.30');
    await press('refundByHand');
    await tradeOf(page).locator('.back', { hasText: 'refunded 2.30' }).waitFor();
    await press('finish');
    await tradeOf(page).locator('.badge', { hasText: 'finished' }).waitFor();
  });

  it('closes a trade, lets another expire, and says why a third cannot', async () => {
    const page = await openConsole();
    for (const [name, by] of [
      ['close', 'merchant'],
      ['expire', 'timeout'],
    ]) {
      no = `B_${by ?? ''}`;
      await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
      await tradeOf(page).locator('button.head').click();
      await tradeOf(page)
        .locator(`button[data-act=${name ?? ''}]`)
        .click();
      await tradeOf(page).locator('.badge', { hasText: 'closed' }).waitFor();
    }
    await expect(sandbox.control.expire(no)).rejects.toThrow('ACQ.TRADE_STATUS_ERROR');
  });

  it('shows whose a trade is where there are several accounts, and what each has to set', async () => {
    const other = { appId: '2021000000000001', sellerId: '2088000000000001' };
    const waiting = { outTradeNo: no, totalAmount: '5.00', status: 'WAIT_BUYER_PAY' } as const;
    const two = await startSandbox({
      accounts: [other],
      seed: { orders: [waiting, { ...waiting, sellerId: other.sellerId }] },
    });
    try {
      const page = await openConsole(DESK, two);
      const { appId, sellerId } = two;
      const labels = [`${appId} · ${sellerId}`, `${other.appId} · ${other.sellerId}`];
      const trades = labels.map((label) => page.locator('.trade', { hasText: label }));
      for (const trade of trades) await trade.waitFor();
      expect(await trades[0]?.count()).toBe(1);

      await trades[1]?.locator('button.head').click();
      await trades[1]?.locator('button[data-act=close]').click();
      await trades[1]?.locator('.badge', { hasText: 'closed' }).waitFor();
      expect(await trades[0]?.locator('.badge').innerText()).toBe('waiting');

      await page.locator('button[data-tool=setup]').click();
      await page.locator('#settings code', { hasText: appId }).first().waitFor();
      await page.locator('#accounts').selectOption({ label: labels[1] ?? '' });
      await page.locator('#settings code', { hasText: other.appId }).first().waitFor();
      expect(await page.locator('#settings code', { hasText: appId }).count()).toBe(0);
    } finally {
      await two.close();
    }
  });

  it('sets faults and takes them back', async () => {
    const page = await openConsole();
    await page.locator('button[data-tool=faults]').click();
    const form = page.locator('form[data-act=fault]');
    await form.locator('[name=mode]').fill('http-500');
    await form.locator('[name=method]').fill('alipay.trade.query');
    await form.locator('[name=times]').fill('1');
    await form.locator('button').click();
    await page
      .locator('#rules', { hasText: 'http-500 · alipay.trade.query · before the effect · × 1' })
      .waitFor();
    expect((await shop.raw('alipay.trade.query', { outTradeNo: no })).status).toBe(500);
    await page.locator('#rules', { hasText: 'none' }).waitFor();

    await form.locator('[name=mode]').fill('nonsense');
    await form.locator('button').click();
    await page.locator('#said[data-bad=true]').waitFor();
  });

  describe.each(['en-US', 'zh-CN'])('on a phone that speaks %s', (locale) => {
    it('scrolls nothing sideways, whatever is open', async () => {
      const page = await openConsole({ ...PHONE, locale });
      await sandbox.control.scan(
        shop.payUrl({ outTradeNo: `${no}_${'9'.repeat(55)}`, subject: 'x'.repeat(256) }),
      );
      await tamper();
      await fetch(sandbox.gateway, {
        method: 'POST',
        body: `app_id=${'1'.repeat(300)}&method=alipay.trade.query`,
      });
      await tradeOf(page).first().waitFor();
      for (const head of await page.locator('button.head').all()) await head.click();
      expect(await widthOf(page)).toBe(PHONE.viewport.width);
      for (const tool of await page.locator('button[data-tool]').all()) {
        await tool.click();
        expect(await widthOf(page)).toBe(PHONE.viewport.width);
      }
    });

    it('wraps what the cashier refuses', async () => {
      const page = await openPage(browser, { ...PHONE, locale });
      const url = new URL(shop.payUrl({ outTradeNo: no, subject: 'long'.repeat(60) }));
      url.searchParams.set('notify_url', `http://127.0.0.1/${'x'.repeat(200)}`);
      await page.goto(url.toString());
      await page.locator('#refused').waitFor();
      expect(await page.locator('html').getAttribute('lang')).toBe(locale.slice(0, 2));
      await page.locator('summary').click();
      await page.locator('details', { hasText: 'xxxxx' }).waitFor();
      expect(await widthOf(page)).toBe(PHONE.viewport.width);
    });
  });

  it('keeps a bounded list, however much comes', async () => {
    const page = await openConsole();
    for (let index = 0; index < 260; index += 1)
      await sandbox.control.open(shop.payUrl({ outTradeNo: `M${index}` }));
    await page.locator('.trade', { hasText: 'M259' }).waitFor();
    expect(await page.locator('.trade').count()).toBe(200);
    expect(await page.locator('.call').count()).toBe(200);
  });
});
