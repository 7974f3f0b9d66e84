import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import type { Browser, Page } from 'playwright-core';
import { buildCodecServer } from '../../client/codec-server';
import { EncryptionCodec } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';
import { paymentWorkflowId } from '../../workflows/messages';
import { heldOf, payloadsIn } from '../integration/payloads';
import { Story } from '../integration/story';
import type { Shop } from '../support';
import { openShop } from '../support';
import { describeInBrowser, openBrowser, openPage, screenshot, sendUpdate, webUi } from '../support/browser';

const KEYS = `a:${randomBytes(32).toString('base64')}`;

describeInBrowser("Temporal's Web UI on a shop that encrypts", () => {
  let shop: Shop;
  let story: Story;
  let codec: FastifyInstance;
  let endpoint: string;
  let browser: Browser;
  let page: Page;
  let run: string;

  beforeAll(async () => {
    [shop, browser] = await Promise.all([
      openShop(__filename, { payloadKeys: KEYS, payments: { intervalMs: 600_000 } }),
      openBrowser(),
    ]);
    story = new Story(shop);
    const ui = new URL(webUi(shop.namespace, '')).origin;
    codec = buildCodecServer({
      codec: new EncryptionCodec(parsePayloadKeys(KEYS)),
      config: { corsOrigins: [ui] },
      log: shop.deps.log,
    });
    endpoint = await codec.listen({ host: '127.0.0.1', port: 0 });
    page = await openPage(browser, { viewport: { width: 1280, height: 900 } });
    const order = { orderId: 'A-2001', outTradeNo: 'A2001', totalAmount: '78.90' };
    const { outTradeNo } = await story.checkOut(order);
    await story.payTooMuch(outTradeNo);
    expect(await shop.payments.checkNow(outTradeNo)).toMatchObject({ status: 'REVIEW' });
    const { runId } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
    run = webUi(shop.namespace, `workflows/${paymentWorkflowId(outTradeNo)}/${runId}`);
  });
  afterAll(async () => {
    await browser.close();
    await codec.close();
    await shop.close();
  });

  /** What the box under the heading Input shows. */
  async function input(as: RegExp): Promise<string> {
    await page.goto(`${run}/history`);
    const box = page.locator('xpath=//h2[.="Input"]/following::*[contains(@class, "cm-content")][1]');
    await box.filter({ hasText: as }).waitFor();
    return box.innerText();
  }

  async function setEndpoint(): Promise<void> {
    await page.getByRole('button', { name: 'Configure Codec Server' }).click();
    await page.getByPlaceholder('Paste your endpoint here').fill(endpoint);
    await page.getByTestId('confirm-data-encoder-button').click();
  }

  it('shows nothing that can be read, until the codec endpoint is set in it', async () => {
    expect(await input(/encryption-key-id/)).not.toMatch(/A2001|intervalMs/);
    await setEndpoint();
    expect(await input(/intervalMs/)).toContain('"outTradeNo": "A2001"');
    await screenshot(page, 'payment-decrypted', { height: 620 });
  });

  it('shows what a person reads first in clear, too', async () => {
    await page.goto(`${run}/user-metadata`);
    const frame = page.locator('xpath=//h3[.="Summary"]/following::iframe[1]').contentFrame();
    await frame.locator('body', { hasText: 'Order A-2001: 78.90 yuan' }).waitFor();
  });

  it('decides a review, in writing that Temporal cannot read', async () => {
    await page.goto(`${run}/history`);
    const decision = { to: 'REFUNDING', actor: 'li', reason: 'one fen too much' };
    await sendUpdate(page, 'resolveReview', decision);

    await story.until('A2001', 'REFUNDED');
    const updates = payloadsIn(await heldOf(shop, paymentWorkflowId('A2001'))).filter(({ path }) =>
      path.includes('acceptedRequest'),
    );
    expect(updates.map(({ keyId }) => keyId)).toEqual(['a']);
  });
});
