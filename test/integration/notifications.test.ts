import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { signedPost, signerFor } from '../../activities/alipay/request';
import { readSignedFields } from '../../activities/alipay/signed-body';
import { FORGERIES } from '../../sandbox';
import { paymentWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { Story } from './story';

let shop: Shop;
let story: Story;

beforeAll(async () => {
  // No checks: everything is learned from notifications here.
  shop = await openShop(__filename, { payments: { checks: 0 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.notifier({}));

/** Sends one notification now, with other fields than the trade's if the test gives some, and reads the response. */
async function notify(outTradeNo: string, fields: Record<string, string> = {}): Promise<string> {
  const { body, status } = await shop.alipay.control.notify(outTradeNo, fields);
  expect(status).toBe(200);
  return body ?? '';
}

/** A checkout whose run has ended. */
async function ended(more: object = {}) {
  const checkout = await story.checkOut(more);
  await story.ended(checkout.outTradeNo);
  return checkout;
}

async function paid(more: object = {}) {
  const checkout = await ended(more);
  await story.pay(checkout.outTradeNo, { notify: true });
  await story.until(checkout.outTradeNo, 'PAID');
  await story.told(checkout.orderId, 1);
  return checkout;
}

/** The fields of the newest notification, as stored. */
async function fieldsOf(outTradeNo: string): Promise<Record<string, string>> {
  const [kept] = await shop.sql<{ body: Buffer; charset: string }>(
    `SELECT body, charset FROM evidence WHERE out_trade_no = :outTradeNo AND kind = 'notification'
     ORDER BY id DESC LIMIT 1`,
    { outTradeNo },
  );
  return kept ? readSignedFields('notification', kept.body, kept.charset) : {};
}

describe("a notification that is not Alipay's about us", () => {
  const genuine = new Set(['other-amount', 'unknown-out-trade-no']);

  it.each(FORGERIES.filter((kind) => !genuine.has(kind)))(
    '(%s) is answered fail, and nothing is written',
    async (kind) => {
      const { outTradeNo } = await ended();
      await story.pay(outTradeNo);
      const before = await story.everything();
      expect(await shop.alipay.control.forge(kind, outTradeNo)).toMatchObject({
        status: 200,
        body: 'fail',
        accepted: false,
      });
      expect(await story.everything()).toEqual(before);
      expect(await story.isRunning(outTradeNo)).toBe(false);
    },
  );

  it.each([
    ['an empty body', ''],
    ['no form', '{"out_trade_no":"1"}'],
    ['half a field', 'out_trade_no'],
    ['a broken encoding', 'out_trade_no=%E0%A4%A&sign=%&sign_type=RSA2'],
    ['a zero byte', 'out_trade_no=%00&sign=x&sign_type=RSA2'],
    ['101 fields', `out_trade_no=1${'&a=1'.repeat(100)}`],
    ['more than 32 KB', `out_trade_no=1&body=${'a'.repeat(32_768)}`, 413],
    ['12,000 fields', `out_trade_no=1${'&a=1'.repeat(12_000)}`, 413],
  ])('(%s) is answered fail too', async (_, payload, status = 200) => {
    const before = await story.everything();
    const answer = await shop.http.inject({
      method: 'POST',
      url: '/alipay/notify',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      payload,
    });
    expect([answer.statusCode, answer.body]).toEqual([status, 'fail']);
    expect(await story.everything()).toEqual(before);
  });

  it("(a query's signed answer, posted as a notification) is answered fail", async () => {
    const { outTradeNo } = await ended();
    await story.pay(outTradeNo);
    const { content } = await shop.gateway.query(outTradeNo);
    const answer = await shop.payments.handleNotify({
      ...content,
      app_id: shop.alipay.appId,
      sign: 'x',
      sign_type: 'RSA2',
    });
    expect(answer).toBe('fail');
    expect(await story.status(outTradeNo)).toBe('UNPAID');
  });
});

describe('a genuine notification', () => {
  it('of a payment that is not here is kept for a person once, and answered success', async () => {
    const url = shop.gateway.settings.notifyUrl;
    const unknown = { out_trade_no: 'restored_backup', notify_id: 'once' };
    const send = () => shop.alipay.control.notify('restored_backup', unknown, url);
    expect(await send()).toMatchObject({ accepted: true, body: 'success' });
    expect(await send()).toMatchObject({ accepted: true });
    const kept = await shop.sql(`SELECT out_trade_no, content FROM unmatched_notifications`);
    expect(kept).toMatchObject([
      { out_trade_no: 'restored_backup', content: { trade_status: 'TRADE_SUCCESS' } },
    ]);
    expect(await shop.alipay.control.forge('unknown-out-trade-no', 'restored_backup', url)).toMatchObject({
      accepted: true,
    });
  });

  it('of another amount goes to a person, and is answered success', async () => {
    const { orderId, outTradeNo } = await ended();
    expect(await shop.alipay.control.forge('other-amount', outTradeNo)).toMatchObject({ body: 'success' });
    await story.until(outTradeNo, 'REVIEW');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ reviewReason: 'AMOUNT_DIFFERS' });
    expect(await story.standing(orderId)).toBe('UNPAID: REVIEW');
    expect(await story.isRunning(outTradeNo)).toBe(true);
  });

  it('of another amount for a payment that is PAID leaves it PAID, and calls a person', async () => {
    const { orderId, outTradeNo } = await paid();
    expect(await notify(outTradeNo, { total_amount: '0.01' })).toBe('success');
    await waitFor(async () => (await shop.payments.payment(outTradeNo)).reviewReason, { what: 'the flag' });
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.isRunning(outTradeNo)).toBe(true);
  });

  it('is recorded for a payment of which Temporal knows nothing any more, past its retention', async () => {
    const [orderId, outTradeNo] = ['old-order', 'old_payment'];
    await shop.payments.registerOrder({ orderId, subject: 'tea', totalAmount: '12.30' });
    await shop.sql(
      `INSERT INTO payments (out_trade_no, order_id, total_amount) VALUES (:outTradeNo, :orderId, 12.30)`,
      { orderId, outTradeNo },
    );
    const timeExpire = new Date(Date.now() + 3_600_000);
    await shop.alipay.control.open(
      await shop.gateway.payUrl({
        outTradeNo,
        subject: 'tea',
        totalAmount: '12.30',
        product: 'page',
        timeExpire,
      }),
    );
    await expect(story.isRunning(outTradeNo)).rejects.toMatchObject({ name: 'WorkflowNotFoundError' });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('of a payment that waits says nothing new: success, and no run', async () => {
    const { outTradeNo } = await ended();
    await shop.alipay.control.scan(outTradeNo);
    expect(await notify(outTradeNo)).toBe('success');
    expect(await story.isRunning(outTradeNo)).toBe(false);
    expect(await story.status(outTradeNo)).toBe('UNPAID');
  });

  it('with encoded parameters of our own in it verifies', async () => {
    const { outTradeNo } = await ended();
    await story.pay(outTradeNo);
    expect(await notify(outTradeNo, { passback_params: 'a%3D1%26b%3D100%', body: '50% + tea & 茶' })).toBe(
      'success',
    );
    await story.until(outTradeNo, 'PAID');
  });

  it('in GBK, signed over its GBK bytes, is success and a payment', async () => {
    const { outTradeNo } = await ended();
    await story.pay(outTradeNo);
    expect(await notify(outTradeNo, { charset: 'GBK', subject: '一壶龙井茶' })).toBe('success');
    await story.until(outTradeNo, 'PAID');
    expect(await fieldsOf(outTradeNo)).toMatchObject({ subject: '一壶龙井茶' });
  });

  it('that comes while no worker runs is success once Temporal holds it, and recorded when one is back', async () => {
    const { orderId, outTradeNo } = await ended();
    await shop.stopWorkers();
    try {
      await story.pay(outTradeNo);
      expect(await notify(outTradeNo)).toBe('success');
      expect(await story.status(outTradeNo)).toBe('UNPAID');
    } finally {
      await shop.startWorkers();
    }
    await story.until(outTradeNo, 'PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });
});

describe('repeats and reordering', () => {
  it('the same notification twenty times at once: one PAID, one message', async () => {
    const { orderId, outTradeNo } = await ended();
    await story.pay(outTradeNo);
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => notify(outTradeNo, { notify_id: 'the-same' })),
    );
    expect(new Set(answers)).toEqual(new Set(['success']));
    await story.until(outTradeNo, 'PAID');
    await story.ended(outTradeNo);
    expect(await story.events(outTradeNo, 'notified')).toHaveLength(1);
    expect(await story.events(outTradeNo, 'paid')).toHaveLength(1);
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('a repeat after the payment is PAID starts no run', async () => {
    const { outTradeNo } = await paid();
    await story.ended(outTradeNo);
    const { runId } = await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
    expect(await notify(outTradeNo)).toBe('success');
    expect(await notify(outTradeNo, await fieldsOf(outTradeNo))).toBe('success');
    expect((await shop.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe()).runId).toBe(
      runId,
    );
  });

  it('TRADE_FINISHED months later changes nothing', async () => {
    const { orderId, outTradeNo } = await paid();
    await shop.alipay.control.finish(outTradeNo, { notify: false });
    expect(await notify(outTradeNo)).toBe('success');
    expect(await story.standing(orderId)).toBe('PAID: PAID');
    expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  });

  it('TRADE_FINISHED as the first word that comes is a payment', async () => {
    const { orderId, outTradeNo } = await ended();
    await story.pay(outTradeNo);
    await shop.alipay.control.finish(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await story.standing(orderId)).toBe('PAID: PAID');
  });

  it('an old TRADE_SUCCESS after a late payment was refunded changes nothing', async () => {
    const { orderId, outTradeNo } = await ended();
    await story.expire(orderId);
    await story.sweep();
    await story.pay(outTradeNo);
    const { fields } = await capture(outTradeNo);
    await story.until(outTradeNo, 'REFUNDED');
    expect(await notify(outTradeNo, fields)).toBe('success');
    await story.ended(outTradeNo);
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
    expect((await shop.alipay.control.trade(outTradeNo))?.refunds).toHaveLength(1);
  });

  it('a TRADE_CLOSED that overtakes the TRADE_SUCCESS of a payment refunded in full calls a person', async () => {
    const { outTradeNo } = await ended();
    await story.pay(outTradeNo);
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '12.30');
    expect(await notify(outTradeNo)).toBe('success');
    await story.until(outTradeNo, 'REVIEW');
    expect(
      await notify(outTradeNo, { trade_status: 'TRADE_SUCCESS', refund_fee: '', notify_id: 'late' }),
    ).toBe('success');
    expect(await story.status(outTradeNo)).toBe('REVIEW');
  });

  it('TRADE_CLOSED that speaks of a payment, for a row that was closed as unpaid, calls a person', async () => {
    const { orderId, outTradeNo } = await ended();
    await story.expire(orderId);
    await story.sweep();
    await story.pay(outTradeNo);
    expect(await notify(outTradeNo, { trade_status: 'TRADE_CLOSED' })).toBe('success');
    await story.until(outTradeNo, 'REVIEW');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ reviewReason: 'CLOSED_AFTER_PAYMENT' });
  });

  it('TRADE_CLOSED by time-out of a wap payment closes that payment alone, and once', async () => {
    const { orderId, outTradeNo } = await ended({ product: 'wap' });
    await shop.alipay.control.scan(outTradeNo);
    await shop.gateway.close(outTradeNo);
    await story.until(outTradeNo, 'CLOSED');
    expect(await story.standing(orderId)).toBe('UNPAID: CLOSED');
    expect(await notify(outTradeNo)).toBe('success');
    expect(await story.events(outTradeNo, 'closed')).toHaveLength(1);
    expect((await story.checkOut({ orderId })).outTradeNo).not.toBe(outTradeNo);
  });

  /** Sends a notification of the trade as it is now, and keeps its fields for a later repeat. */
  async function capture(outTradeNo: string): Promise<{ fields: Record<string, string> }> {
    expect(await notify(outTradeNo)).toBe('success');
    return { fields: await fieldsOf(outTradeNo) };
  }
});

describe('a refund in the merchant portal', () => {
  it('in parts, then the rest: each is a row by its number, and the order service hears of each once', async () => {
    const { orderId, outTradeNo } = await paid();
    await shop.alipay.control.notifier({ repeat: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await refunded(outTradeNo, '2.30');
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ status: 'PAID' });
    await shop.alipay.control.refundByHand(outTradeNo, '5');
    await refunded(outTradeNo, '7.30');
    await shop.alipay.control.refundByHand(outTradeNo, '5.00');
    await refunded(outTradeNo, '12.30');

    const made = (await shop.alipay.control.trade(outTradeNo))?.refunds ?? [];
    expect(await portalRefunds(outTradeNo)).toEqual(
      made.map(({ outRequestNo, amount }) => ({ outRequestNo, amount, status: 'DONE' })),
    );
    expect(await story.told(orderId, 4)).toEqual([
      `PAID-${outTradeNo}`,
      ...made.map(({ outRequestNo }) => `REFUND-${outTradeNo}-${outRequestNo}`),
    ]);
    expect(
      await shop.sql(`SELECT status, amount FROM order_messages WHERE order_id = :orderId ORDER BY seq`, {
        orderId,
      }),
    ).toEqual([
      { status: 'PAID', amount: '12.30' },
      { status: 'PARTIALLY_REFUNDED', amount: '2.30' },
      { status: 'PARTIALLY_REFUNDED', amount: '7.30' },
      { status: 'REFUNDED', amount: '12.30' },
    ]);
    expect(await story.standing(orderId)).toBe('PAID: REFUNDED');
  });

  it('whose notifications come in the wrong order: what went back never shrinks', async () => {
    const { orderId, outTradeNo } = await paid();
    await shop.alipay.control.notifier({ drop: 1 });
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await shop.alipay.control.refundByHand(outTradeNo, '5.00');
    expect(await notify(outTradeNo)).toBe('success');
    await refunded(outTradeNo, '7.30');
    expect(await notify(outTradeNo, { refund_fee: '2.30' })).toBe('success');
    // Of the first refund only the larger sum is known: that message stands for the gap.
    const [, second] = (await shop.alipay.control.trade(outTradeNo))?.refunds ?? [];
    expect(await story.told(orderId, 3)).toEqual([
      `PAID-${outTradeNo}`,
      `REFUND-${outTradeNo}-${second?.outRequestNo ?? ''}`,
      `REFUND-${outTradeNo}-SEEN_7.30`,
    ]);
    expect(await shop.payments.payment(outTradeNo)).toMatchObject({ refundedAmount: '7.30' });
  });

  it('of a payment whose own notification was lost: it is PAID first, then refunded in part', async () => {
    const { orderId, outTradeNo } = await ended();
    await story.pay(outTradeNo);
    await shop.alipay.control.refundByHand(outTradeNo, '2.30');
    await story.until(outTradeNo, 'PAID');
    const [made] = (await shop.alipay.control.trade(outTradeNo))?.refunds ?? [];
    expect(await story.told(orderId, 2)).toEqual([
      `PAID-${outTradeNo}`,
      `REFUND-${outTradeNo}-${made?.outRequestNo ?? ''}`,
    ]);
  });

  it('without a number of its own is known by the order’s, and found at the first look', async () => {
    const { orderId, outTradeNo } = await paid();
    const { url, form } = signedPost(signerFor(shop.gateway.settings), {
      method: 'alipay.trade.refund',
      outTradeNo,
      bizContent: { out_trade_no: outTradeNo, refund_amount: '12.30' },
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expect(await (await fetch(url, { method: 'POST', body: form, headers })).text()).toContain('"10000"');
    await refunded(outTradeNo, '12.30');
    expect(await fieldsOf(outTradeNo)).toMatchObject({
      out_biz_no: (await shop.alipay.control.trade(outTradeNo))?.tradeNo,
    });
    expect(await portalRefunds(outTradeNo)).toEqual([
      { outRequestNo: outTradeNo, amount: '12.30', status: 'DONE' },
    ]);
    expect(await story.told(orderId, 2)).toEqual([
      `PAID-${outTradeNo}`,
      `REFUND-${outTradeNo}-${outTradeNo}`,
    ]);
  });

  const portalRefunds = (outTradeNo: string) =>
    shop.sql(
      `SELECT out_request_no AS "outRequestNo", amount, status FROM refunds
       WHERE out_trade_no = :outTradeNo AND kind = 'portal' AND NOT provisional ORDER BY requested_at`,
      { outTradeNo },
    );

  const refunded = (outTradeNo: string, amount: string) =>
    waitFor(async () => (await shop.payments.payment(outTradeNo)).refundedAmount === amount, {
      what: `${amount} yuan to have gone back`,
    });
});
