import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { correctMerchant } from '../../db/merchants';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { durableAlipay, environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

const WHO = { actor: 'anna', reason: 'a bad day' };
const BOOKS = { appId: '2021000000000001', sellerId: '2088000000000001' };

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 0, slowChecksMs: [1_000] },
    others: { books: BOOKS },
  });
  story = new Story(shop);
});
afterAll(() => shop.close());

/** An order that is paid, and known to be. */
async function paidOrder(totalAmount = '12.30') {
  const checkout = await story.checkOut({ totalAmount });
  await story.pay(checkout.outTradeNo, { notify: true });
  await story.until(checkout.outTradeNo, 'PAID');
  return checkout;
}

const refundCalls = async (outTradeNo: string): Promise<number> =>
  (await story.calls(outTradeNo)).filter((method) => method === 'refund').length;

const refundStatus = async (refundId: string) => (await shop.payments.refundStatus(refundId)).status;

/** Skips the pause between two tries of the activity: its run is told that its row has changed. */
const askNow = (refundId: string) =>
  shop.temporal.workflow.getHandle(`refund-${refundId}`).signal('rowMoved');

async function untilDone(refundId: string): Promise<void> {
  await waitFor(async () => (await refundStatus(refundId)) === 'DONE', {
    what: `${refundId} to be done`,
    timeoutMs: 90_000,
  });
}

const untilPausedAttempt = (outTradeNo: string) =>
  waitFor(
    async () =>
      (
        await shop.sql(
          `SELECT 1 FROM refunds WHERE out_trade_no = :outTradeNo AND retry_at > now() + interval '2 minutes'`,
          {
            outTradeNo,
          },
        )
      ).length > 0,
    { what: `a try at the refund of ${outTradeNo}` },
  );

describe('refunds that are paused', () => {
  it('wait, use nothing up and go on when they are resumed; nothing is sent meanwhile', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.payments.pauses.pause({ what: 'refunds', ...WHO });
    await shop.payments.refund({ orderId, refundId: 'R-1', amount: '3.00' });
    await untilPausedAttempt(outTradeNo);
    // Before the try that is meant to advance it.
    await shop.sql(`UPDATE refunds SET retry_at = now() WHERE out_request_no = 'R-1'`);
    await askNow('R-1');
    await untilPausedAttempt(outTradeNo);
    expect(await shop.sql(`SELECT status, asked_at, unproven, unfunded, attempts FROM refunds`)).toEqual([
      { status: 'REQUESTED', asked_at: null, unproven: 0, unfunded: 0, attempts: 0 },
    ]);
    expect(await refundCalls(outTradeNo)).toBe(0);

    await shop.payments.pauses.resume({ what: 'refunds', ...WHO });
    await untilDone('R-1');
    expect(await refundCalls(outTradeNo)).toBe(1);
  });

  it('can be withdrawn where they were never sent, and their money is free again', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.payments.pauses.pause({ what: 'refunds', ...WHO });
    await shop.payments.refund({ orderId, refundId: 'R-wrong', amount: '12.00' });
    await untilPausedAttempt(outTradeNo);
    const withdrawn = await shop.payments.resolveRefund('R-wrong', { to: 'REFUSED', ...WHO });
    expect(withdrawn).toMatchObject({ status: 'REFUSED', because: 'DECIDED' });
    const run = shop.temporal.workflow.getHandle('refund-R-wrong');
    expect(await run.result()).toMatchObject({ status: 'REFUSED' });
    await shop.payments.pauses.resume({ what: 'refunds', ...WHO });
    await shop.payments.refund({ orderId, refundId: 'R-right', amount: '12.30' });
    await untilDone('R-right');
    expect(await refundCalls(outTradeNo)).toBe(1);
    await expect(shop.payments.resolveRefund('R-right', { to: 'REFUSED', ...WHO })).rejects.toMatchObject({
      code: 'REVIEW_REFUSED',
    });
  });

  it('are proven where they were sent before, and not sent again', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    // Alipay makes it; the answer is lost, and so is the answer to the query.
    await shop.alipay.control.fault({
      mode: 'reset',
      when: 'after',
      method: 'alipay.trade.refund',
      times: 1,
    });
    await shop.payments.refund({ orderId, refundId: 'R-2', amount: '3.00' });
    await waitFor(async () => (await refundCalls(outTradeNo)) === 1, { what: 'the refund to be sent' });
    await shop.payments.pauses.pause({ what: 'refunds', ...WHO });
    await untilDone('R-2');
    expect(await refundCalls(outTradeNo)).toBe(1);
    await shop.payments.pauses.resume({ what: 'refunds', ...WHO });
  });

  it('may be those of one merchant, whose seller id is corrected meanwhile', async () => {
    const { orderId, outTradeNo } = await paidOrder();
    await shop.payments.pauses.pause({ what: 'refunds', merchant: 'books', ...WHO });
    await shop.payments.refund({ orderId, refundId: 'R-3', amount: '3.00' });
    await untilDone('R-3');
    expect(await refundCalls(outTradeNo)).toBe(1);

    const id = `${BOOKS.appId}/${BOOKS.sellerId}`;
    await correctMerchant(shop.db, { id, sellerId: '2088000000000009', ...WHO });
    const corrected = `${BOOKS.appId}/2088000000000009`;
    expect((await shop.payments.pauses.list()).map(({ merchant }) => merchant).sort()).toEqual([
      id,
      corrected,
    ]);
    await shop.payments.pauses.resume({ what: 'refunds', merchant: corrected, ...WHO });
    expect(await shop.payments.pauses.list()).toEqual([]);
  });
});

describe('a merchant that is paused', () => {
  it('sells nothing and closes nothing, while whoever has paid is found', async () => {
    const waiting = await story.checkOut();
    const paid = await story.checkOut();
    const unpaid = await story.checkOut();
    const cancelled = await story.checkOut();
    await shop.payments.pauses.pause({ what: 'merchant', merchant: 'default', ...WHO });

    const refused = shop.payments.checkout({
      orderId: waiting.orderId,
      subject: 'Tea',
      totalAmount: '12.30',
    });
    await expect(refused).rejects.toMatchObject({ code: 'MERCHANT_PAUSED', status: 409 });
    await expect(refused).rejects.toThrow(/paused since .+ by anna: .+ resume merchant default --reason "…"/);
    const answer = await shop.http.inject({
      method: 'POST',
      url: '/checkout',
      payload: { orderId: 'new-1', subject: 'Tea', totalAmount: '12.30' },
    });
    expect([answer.statusCode, answer.json()]).toMatchObject([409, { code: 'MERCHANT_PAUSED' }]);
    expect(await shop.sql(`SELECT 1 FROM payments WHERE order_id = 'new-1'`)).toEqual([]);
    // Another merchant still sells.
    await shop.payments.checkout({
      orderId: 'B-1',
      subject: 'A book',
      totalAmount: '12.30',
      merchant: 'books',
    });

    // A notification, a slow check, and the sweep's own query.
    await story.pay(waiting.outTradeNo, { notify: true });
    await story.until(waiting.outTradeNo, 'PAID');
    await story.pay(paid.outTradeNo);
    await shop.alipay.control.scan(unpaid.outTradeNo);
    await story.expire(paid.orderId, unpaid.orderId);
    expect(await story.sweep()).toMatchObject({ rescued: 1, held: 1, closed: 0 });
    await story.until(paid.outTradeNo, 'PAID');
    expect(await story.standing(unpaid.orderId)).toBe('UNPAID: UNPAID');
    expect(await story.calls(unpaid.outTradeNo)).toEqual(['query']);

    const close = shop.payments.closeOrder({ orderId: cancelled.orderId, ...WHO });
    await expect(close).rejects.toMatchObject({ code: 'ORDER_HELD' });
    await expect(close).rejects.toThrow(/its merchant is paused/);

    // It is queried less and less often: after 30 s, a minute, … an hour.
    for (let sweeps = 0; sweeps < 8; sweeps += 1) {
      await story.endPause(unpaid.orderId);
      await story.sweep();
    }
    const [held] = await shop.sql<{ pause: number }>(
      `SELECT CAST(EXTRACT(EPOCH FROM held_until - now()) AS int) AS pause FROM orders WHERE id = :id`,
      { id: unpaid.orderId },
    );
    expect(held?.pause).toBeGreaterThan(3_500);

    await shop.payments.pauses.resume({ what: 'merchant', merchant: 'default', ...WHO });
    expect(await story.sweep()).toMatchObject({ closed: 1 });
    await story.checkOut();
  });

  it('keeps leftovers of settled orders open, and asks about them', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    const left = await story.secondTab(orderId, `${outTradeNo}b`);
    await shop.alipay.control.scan(left.outTradeNo);
    await shop.payments.pauses.pause({ what: 'merchant', merchant: 'default', ...WHO });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    await story.followUp();
    expect(await story.calls(left.outTradeNo)).toContain('query');
    expect(await story.calls(left.outTradeNo)).not.toContain('close');
    expect(await story.status(left.outTradeNo)).toBe('UNPAID');

    await shop.payments.pauses.resume({ what: 'merchant', merchant: 'default', ...WHO });
    await shop.sql(`UPDATE payments SET recheck_at = now() WHERE out_trade_no = :no`, {
      no: left.outTradeNo,
    });
    await story.followUp();
    await story.until(left.outTradeNo, 'CLOSED');
  });
});

describe('at the command line', () => {
  const run = (...line: string[]) => durableAlipay(environmentOf(shop), ...line);

  it('a pause holds until it is resumed, is shown, and both are recorded with who and why', async () => {
    expect(await run('pause', 'refunds', '--reason', 'a bug', '--actor', 'li')).toMatchObject({ code: 0 });
    // The first pause stays, with its reason.
    const again = await run('pause', 'refunds', '--reason', 'me too', '--actor', 'anna');
    expect(again.out).toContain('a bug');
    expect((await run('pause', 'merchant', 'default', '--reason', 'wrong prices')).code).toBe(0);
    const { out } = await run('pause', 'list');
    expect(out).toMatch(/refunds of all merchants .+ li +a bug/);
    expect(out).toMatch(new RegExp(`merchant ${shop.alipay.appId}/${shop.alipay.sellerId} .+wrong prices`));

    const doctor = JSON.parse((await run('doctor', '--json')).out) as {
      findings: { check: string; verdict: string; says: string }[];
    };
    expect(doctor.findings).toContainEqual(
      expect.objectContaining({
        check: 'pauses',
        verdict: 'warning',
        says: expect.stringMatching(/^paused: refunds of all merchants, since .+ by li \(a bug\); merchant /),
      }),
    );

    expect((await run('resume', 'merchant', 'default', '--reason', 'right again')).code).toBe(0);
    expect((await run('resume', 'refunds', '--reason', 'fixed', '--actor', 'li')).out).toMatch(/resumed/);
    expect((await run('pause', 'list')).out).toBe('nothing is paused\n');
    const events = await shop.sql<{ event: string; detail: { what: string; reason: string } }>(
      `SELECT actor, event, detail FROM payment_events WHERE event IN ('paused', 'resumed') ORDER BY id DESC LIMIT 4`,
    );
    expect(events.map(({ event, detail }) => [event, detail.what, detail.reason])).toEqual([
      ['resumed', 'refunds', 'fixed'],
      ['resumed', 'merchant', 'right again'],
      ['paused', 'merchant', 'wrong prices'],
      ['paused', 'refunds', 'a bug'],
    ]);
  });

  it.each([
    [['resume', 'refunds', '--reason', 'why'], 3, /NOT_FOUND: Refunds: not paused/],
    [['resume', 'merchant', 'default', '--reason', 'why'], 3, /NOT_FOUND: .+: not paused/],
    [['pause', 'merchant', 'nobody', '--reason', 'why'], 3, /NOT_FOUND: There is no merchant nobody/],
    [
      ['pause', 'refunds', '--merchant', 'nobody', '--reason', 'why'],
      3,
      /NOT_FOUND: There is no merchant nobody/,
    ],
    [['pause', 'merchant', 'default'], 2, /reason/],
  ])('%j is refused', async (line, code, words) => {
    const told = await run(...line);
    expect(told.code).toBe(code);
    expect(told.err).toMatch(words);
    expect(await shop.payments.pauses.list()).toEqual([]);
  });
});
