import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { describeInBrowser, openBrowser, openPage, screenshot } from '../support/browser';
import type { Shop } from '../support';
import { openShop } from '../support';
import { Story } from '../integration/story';

const DESK = { viewport: { width: 760, height: 640 } };
const PHONE = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/** How wide the page is, including what lies beyond the screen. */
const widthOf = (page: Page): Promise<number> =>
  page.evaluate<number>('document.documentElement.scrollWidth');

describeInBrowser('the cashier page in a browser', () => {
  let shop: Shop;
  let story: Story;
  let browser: Browser;

  beforeAll(async () => {
    // So that a buyer who looks at the page on a busy machine still pays, or leaves, before the first check.
    [shop, browser] = await Promise.all([
      openShop(__filename, { payments: { intervalMs: 15_000 } }),
      openBrowser(),
    ]);
    story = new Story(shop);
  });
  afterAll(async () => {
    await browser.close();
    await shop.close();
  });

  /** The shop sends its buyer to the cashier, in a browser. */
  async function goToCashier(orderId: string, options = DESK): Promise<{ page: Page; outTradeNo: string }> {
    const { outTradeNo, paymentUrl } = await shop.payments.checkout({
      orderId,
      subject: 'A pot of tea',
      totalAmount: '8.88',
    });
    const page = await openPage(browser, options);
    await page.goto(paymentUrl);
    return { page, outTradeNo };
  }

  it('takes the money, and the notification makes the order PAID', async () => {
    const { page, outTradeNo } = await goToCashier('A-3001');
    expect(await page.locator('#amount').innerText()).toBe('¥8.88');
    expect(await page.locator('#out-trade-no').innerText()).toBe(outTradeNo);
    await page.locator('#left', { hasText: /^23:\d\d:\d\d$/ }).waitFor();
    await screenshot(page, 'cashier');

    await page.locator('#pay').click();
    await page.locator('#paid').waitFor();
    await story.until(outTradeNo, 'PAID');

    expect(await story.standing('A-3001')).toBe('PAID: PAID');
    expect(await story.events(outTradeNo, 'notified')).toHaveLength(1);
    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID', checks: 0 });
  });

  it('can lose the notification, and a check finds the payment', async () => {
    const { page, outTradeNo } = await goToCashier('A-3002');
    await page.locator('#pay-lose-notify').click();
    await page.locator('#undelivered').waitFor();

    expect(await story.ended(outTradeNo)).toMatchObject({ status: 'PAID', lastAnswer: 'paid' });
    expect(await story.standing('A-3002')).toBe('PAID: PAID');
    expect(await story.events(outTradeNo, 'notified')).toEqual([]);
  });

  it('lets the buyer leave without paying, come back, and pay', async () => {
    const { page, outTradeNo } = await goToCashier('A-3003');
    await page.locator('#leave').click();
    await page.locator('#left-unpaid').waitFor();
    expect(await story.status(outTradeNo)).toBe('UNPAID');
    expect(await shop.alipay.control.trade(outTradeNo)).toBeNull();

    await page.getByRole('link', { name: 'Open the cashier again' }).click();
    await page.locator('#pay').click();
    await page.locator('#paid').waitFor();
    await story.until(outTradeNo, 'PAID');
  });

  it('fits a phone: nothing scrolls sideways, every button is within reach of a thumb', async () => {
    const { page } = await goToCashier('A-3004', PHONE);
    expect(await widthOf(page)).toBe(PHONE.viewport.width);

    for (const id of ['pay', 'pay-lose-notify', 'leave', 'scan']) {
      const box = await page.locator(`#${id}`).boundingBox();
      expect(box?.x).toBeGreaterThanOrEqual(0);
      expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(PHONE.viewport.width);
      expect(box?.width).toBeGreaterThan(200);
    }
    await page.locator('#pay').tap();
    await page.locator('#paid').waitFor();
    expect(await widthOf(page)).toBe(PHONE.viewport.width);
  });
});
