import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { ListDecided } from '../../client/index';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { durableAlipay, environmentOf } from '../integration/operator';
import { Story } from '../integration/story';

// Six payments that REFUND_BRAKE has stopped, and one in review for another reason: the six are decided at once.

let shop: Shop;
let story: Story;
let braked: string[];
let other: string;

beforeAll(async () => {
  shop = await openShop(__filename, { payments: { checks: 0 }, refundBrakeFen: 0 });
  story = new Story(shop);
  braked = [];
  for (let i = 0; i < 6; i += 1) {
    const { orderId, outTradeNo } = await story.checkOut();
    const second = await story.secondTab(orderId, `${outTradeNo}b`);
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    // So that nothing of it is written later, while a dry run is watched.
    await story.told(orderId, 1);
    await waitFor(async () => (await story.undelivered(orderId)).length === 0, {
      what: 'it to be noted as told',
    });
    await story.pay(second.outTradeNo, { notify: true });
    await story.until(second.outTradeNo, 'REVIEW');
    braked.push(second.outTradeNo);
  }
  const { outTradeNo } = await story.checkOut();
  await story.payTooMuch(outTradeNo);
  await shop.payments.checkNow(outTradeNo);
  await story.until(outTradeNo, 'REVIEW');
  other = outTradeNo;
});
afterAll(() => shop.close());

const decideAll = async (...options: string[]): Promise<{ code: number; told: ListDecided; err: string }> => {
  const line = ['review', 'resolve-all', '--because', 'REFUND_BRAKE', '--reason', 'a rush', '--actor', 'li'];
  const { code, out, err } = await durableAlipay(environmentOf(shop), ...line, ...options, '--json');
  return { code, err, told: (out === '' ? {} : JSON.parse(out)) as ListDecided };
};

it('a dry run shows which there are, and writes and asks nothing', async () => {
  const before = await story.everything();
  const asked = await shop.alipay.control.journal();
  const { code, told } = await decideAll('--to', 'REFUNDING', '--dry-run');
  expect(code).toBe(0);
  expect(told).toMatchObject({
    dryRun: true,
    done: 6,
    refused: 0,
    failed: 0,
    amount: '73.80',
    hasMore: false,
  });
  expect(told.payments.map(({ outTradeNo, outcome }) => [outTradeNo, outcome])).toEqual(
    braked.map((outTradeNo) => [outTradeNo, 'permitted']),
  );
  expect(await decideAll('--to', 'REFUNDING', '--dry-run', '--limit', '3')).toMatchObject({
    told: { done: 3, hasMore: true },
  });
  expect(await story.everything()).toEqual(before);
  expect(await shop.alipay.control.journal()).toHaveLength(asked.length);
});

it('each passes the same rules as one by one: what Alipay contradicts is refused, with its reason', async () => {
  const { code, told } = await decideAll('--to', 'CLOSED');
  expect(code).toBe(4);
  expect(told).toMatchObject({ done: 0, refused: 6, failed: 0, amount: '0.00' });
  for (const { code: refusal, why } of told.payments) {
    expect(refusal).toBe('REVIEW_REFUSED');
    expect(why).toContain('Alipay says TRADE_SUCCESS');
  }
  expect(await shop.payments.reviews()).toHaveLength(7);
});

it('those that are refused use up no place: what waits behind them is decided', async () => {
  const [first = '', second = '', ...others] = braked;
  for (const outTradeNo of [first, second]) {
    await shop.alipay.control.fault({
      mode: 'ACQ.TRADE_NOT_EXIST',
      method: 'alipay.trade.query',
      outTradeNo,
    });
  }
  const { code, told } = await decideAll('--to', 'REFUNDING', '--limit', '2');
  await shop.alipay.control.clearFaults();
  expect(code).toBe(4);
  expect(told).toMatchObject({ done: 2, refused: 2, failed: 0, amount: '24.60', hasMore: true });
  expect(told.payments.map(({ outTradeNo }) => outTradeNo)).toEqual([first, second, ...others.slice(0, 2)]);
  for (const outTradeNo of others.slice(0, 2)) await story.until(outTradeNo, 'REFUNDED');
  braked = [first, second, ...others.slice(2)];
});

it('one that fails keeps no other from being decided', async () => {
  const [first = ''] = braked;
  await shop.alipay.control.fault({ mode: '40006', method: 'alipay.trade.query', outTradeNo: first });
  const { code, told } = await decideAll('--to', 'REFUNDING');
  await shop.alipay.control.clearFaults();
  expect(code).toBe(1);
  expect(told).toMatchObject({ done: 3, refused: 0, failed: 1, amount: '36.90' });
  expect(told.payments[0]).toMatchObject({
    outTradeNo: first,
    outcome: 'failed',
    code: 'ALIPAY_UNAVAILABLE',
  });
  for (const outTradeNo of braked.slice(1)) {
    await story.until(outTradeNo, 'REFUNDED');
    expect(await story.events(outTradeNo, 'review-resolved')).toMatchObject([
      { actor: 'li', detail: { to: 'REFUNDING', reason: 'a rush' } },
    ]);
  }
});

it('again, it decides what is left, and then there is nothing; another reason is left alone', async () => {
  expect(await decideAll('--to', 'REFUNDING', '--merchant', 'default')).toMatchObject({
    code: 0,
    told: { done: 1, amount: '12.30' },
  });
  await story.until(braked[0] ?? '', 'REFUNDED');
  expect(await decideAll('--to', 'REFUNDING')).toMatchObject({ code: 0, told: { payments: [] } });
  expect(await shop.payments.payment(other)).toMatchObject({
    status: 'REVIEW',
    reviewReason: 'AMOUNT_DIFFERS',
  });
});

it('it wants a reason of those in review, an outcome, and who and why', async () => {
  expect((await decideAll('--to', 'REVIEW')).code).toBe(2);
  expect(await decideAll('--to', 'PAID', '--merchant', 'nobody')).toMatchObject({ code: 3 });
  const { code } = await durableAlipay(
    environmentOf(shop),
    'review',
    'resolve-all',
    '--to',
    'PAID',
    '--reason',
    'x',
  );
  expect(code).toBe(2);
});
