import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { SWEEP_SCHEDULE_ID, paymentWorkflowId } from '../../workflows/messages';
import { Story } from '../integration/story';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import {
  describeInBrowser,
  openBrowser,
  openPage,
  screenshot,
  sendUpdate,
  takesScreenshots,
  webUi,
} from '../support/browser';

// Long enough to look at a payment between two checks, in a browser on a busy machine.
const INTERVAL_MS = 30_000;

// So that no sweep runs except on request.
const NEW_YEAR = '0 0 0 1 1 * *';

describeInBrowser("what Temporal's Web UI tells a person on call", () => {
  let shop: Shop;
  let story: Story;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    [shop, browser] = await Promise.all([
      openShop(__filename, {
        payments: { intervalMs: INTERVAL_MS, sweep: { cron: NEW_YEAR, parallel: 4 } },
      }),
      openBrowser(),
    ]);
    story = new Story(shop);
    page = await openPage(browser, { viewport: { width: 1280, height: 900 } });
    await checkOut('A-2001');
    await Promise.all([takeTooMuch('A-2002'), takeTooMuch('A-2003'), pay('A-2004')]);
  });
  afterAll(async () => {
    await browser.close();
    await shop.close();
  });

  /** The payment of order A-2001 is A2001. */
  const paymentOf = (orderId: string): string => orderId.replace('-', '');

  async function checkOut(orderId: string): Promise<string> {
    const { outTradeNo } = await story.checkOut({
      orderId,
      outTradeNo: paymentOf(orderId),
      totalAmount: '78.90',
    });
    await shop.alipay.control.scan(outTradeNo);
    return outTradeNo;
  }

  async function pay(orderId: string): Promise<void> {
    const outTradeNo = await checkOut(orderId);
    await story.pay(outTradeNo, { notify: true });
    await story.ended(outTradeNo);
  }

  /** Alipay says that it took a different amount than the order's. */
  async function takeTooMuch(orderId: string): Promise<void> {
    const outTradeNo = await checkOut(orderId);
    await story.payTooMuch(outTradeNo);
    expect(await shop.payments.checkNow(outTradeNo)).toMatchObject({ status: 'REVIEW' });
  }

  const visit = (path: string): Promise<unknown> => page.goto(webUi(shop.namespace, path));

  async function visitRun(outTradeNo: string, tab: string): Promise<void> {
    const workflowId = paymentWorkflowId(outTradeNo);
    const { runId } = await shop.temporal.workflow.getHandle(workflowId).describe();
    await visit(`workflows/${workflowId}/${runId}/${tab}`);
  }

  /** The workflow ids that the list shows for a query, once it shows as many as expected. */
  async function found(query: string, count: number): Promise<string[]> {
    return waitFor(
      async () => {
        await visit(`workflows?query=${encodeURIComponent(query)}`);
        await page.getByText(`of ${count}`, { exact: false }).last().waitFor({ timeout: 15_000 });
        const links = page.getByTestId('workflows-summary-configurable-table-row').getByRole('link');
        const texts = await links.allInnerTexts();
        const ids = texts.filter((text) => /^(payment|order)-/.test(text.trim()));
        return ids.length === count && ids.sort();
      },
      { what: `the list of ${query} to show ${count}`, timeoutMs: 60_000 },
    );
  }

  /** The text under a heading of the tab User Metadata, where each text has its own frame. */
  async function metadata(heading: 'Summary' | 'Details' | 'Current Details', as: RegExp): Promise<string> {
    const frame = page.locator(`xpath=//h3[.="${heading}"]/following::iframe[1]`).contentFrame();
    const text = frame.locator('body', { hasText: as });
    await text.waitFor();
    return (await text.innerText()).trim();
  }

  it('where is it: an order, a payment, all that is in review, and nothing else', async () => {
    expect(await found('OutTradeNo="A2001"', 1)).toEqual(['payment-A2001']);
    expect(await found('OrderId="A-2004"', 2)).toEqual(['order-A-2004', 'payment-A2004']);
    expect(await found('PaymentStatus="REVIEW"', 2)).toEqual(['payment-A2002', 'payment-A2003']);
  }, 180_000);

  it('when is the next check: a payment in flight says what was asked, what is next, and when', async () => {
    // Checked out now: however long the lists took to load, it still has checks left.
    const outTradeNo = await checkOut('A-2007');
    const { checks, nextCheckAt } = await waitFor(
      async () => {
        const state = await shop.payments.status(outTradeNo);
        return state.checks > 0 && state;
      },
      { what: 'a check to be made', timeoutMs: 2 * INTERVAL_MS },
    );
    await visitRun(outTradeNo, 'user-metadata');
    expect(await metadata('Summary', /./)).toBe('Order A-2007: 78.90 yuan');
    expect(await metadata('Details', /./)).toBe('Payment A2007 of order A-2007, 78.90 yuan by Alipay.');
    const told = await metadata('Current Details', /Next check/);
    expect(told.split(/\n+/)).toEqual([
      `UNPAID, ${checks} of 3 checks made.`,
      'Alipay’s last answer: waiting.',
      `Next check at ${nextCheckAt ?? ''}, unless a notification comes first.`,
    ]);

    await visitRun(outTradeNo, 'history');
    await page
      .getByText(`check ${checks + 1} of 3`)
      .first()
      .waitFor();
    if (takesScreenshots) {
      await waitFor(async () => (await shop.payments.status(outTradeNo)).checks === 2, {
        what: 'two checks to be made',
        timeoutMs: 2 * INTERVAL_MS,
      });
      await visitRun(outTradeNo, 'history');
      await page.getByText('check 3 of 3').first().waitFor();
      await screenshot(page, 'payment-waiting');
    }
  });

  it('what did the last sweep do: counts, and the orders by name', async () => {
    await checkOut('A-2005');
    await story.pay(await checkOut('A-2006'));
    await story.expire('A-2003', 'A-2005', 'A-2006');
    await shop.payments.sweep.install();
    await shop.temporal.schedule.getHandle(SWEEP_SCHEDULE_ID).trigger();
    await waitFor(async () => (await shop.payments.sweep.report()).status === 'COMPLETED', {
      what: 'the sweep to end',
    });

    await visit(`schedules/${SWEEP_SCHEDULE_ID}`);
    await page
      .getByRole('link', { name: /^sweep-expired-orders-\d/ })
      .first()
      .click();
    await page.getByTestId('user-metadata-tab').click();
    expect(await metadata('Summary', /./)).toBe('Close the orders that stayed unpaid');
    const [done, ...told] = (await metadata('Current Details', /Done/)).split(/\n+/);
    expect(done).toMatch(/^Done, [\d.]+ s\.$/);
    expect(told).toEqual([
      '3 expired orders looked at: 1 closed, 1 rescued, 1 held, 0 failed.',
      'Rescued (paid after all): A-2006',
      'Held (still payable, or a person decides): A-2003',
    ]);
  });

  it('what needs review and why; and there it is decided', async () => {
    await visitRun('A2002', 'user-metadata');
    const told = await metadata('Current Details', /decide/);
    expect(told).toContain('REVIEW, 0 of 3 checks made.');
    expect(told).toContain(
      'A person must decide: Alipay took a different amount than the order’s. (AMOUNT_DIFFERS)',
    );
    expect(told).toContain('More Actions, Send an Update, resolveReview');
    await screenshot(page, 'payment-in-review', { height: 780 });

    const decision = { to: 'REFUNDING', actor: 'li', reason: 'one fen too much' };
    await sendUpdate(page, 'resolveReview', decision);

    await story.until('A2002', 'REFUNDED');
    expect(await story.events('A2002', 'review-resolved')).toMatchObject([
      { actor: 'li', detail: { to: 'REFUNDING', reason: decision.reason } },
    ]);
  });
});
