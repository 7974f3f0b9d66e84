import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { KEYWORD } from '../../worker/search-attributes';
import { rehearse } from '../../worker/rehearsal';
import { SEARCH_ATTRIBUTES, paymentWorkflowId, refundWorkflowId } from '../../workflows/messages';
import type { Shop } from '../support';
import { OwnTemporal, openShop, waitFor, workflowBundle } from '../support';
import { Story } from '../integration/story';

// A namespace with all the search attributes that its server allows, none of them ours.

let shop: Shop;
let story: Story;

beforeAll(async () => {
  const { address } = await OwnTemporal.start();
  const connection = await Connection.connect({ address });
  for (let i = 0; i < 10; i += 1) {
    const searchAttributes = Object.fromEntries([[`Shop${i}`, KEYWORD]]);
    await connection.operatorService.addSearchAttributes({ namespace: 'default', searchAttributes });
  }
  await connection.close();
  shop = await openShop(__filename, { temporal: { address, namespace: 'default' } });
  story = new Story(shop);
}, 180_000);
afterAll(() => shop.close());

async function searchedBy(workflowId: string): Promise<string[]> {
  const { typedSearchAttributes } = await shop.temporal.workflow.getHandle(workflowId).describe();
  const ours = Object.values<string>(SEARCH_ATTRIBUTES);
  return typedSearchAttributes.getAll().flatMap(({ key }) => ours.filter((name) => name === key.name));
}

it('a build is rehearsed with the runs under way', async () => {
  const bundle = await workflowBundle();
  expect(await rehearse(shop.temporal, bundle)).toEqual({ replayed: 0, leftOut: 0, refused: [] });
  const unhurried = new Story(shop, shop.clientWith({ checks: 1, intervalMs: 600_000 }));
  const { outTradeNo } = await unhurried.checkOut();
  await story.asleep(outTradeNo);
  const query = `ExecutionStatus = 'Running' AND WorkflowId = '${paymentWorkflowId(outTradeNo)}'`;
  await waitFor(async () => (await shop.temporal.workflow.count(query)).count === 1, {
    what: 'the run to be listed',
  });
  expect(await rehearse(shop.temporal, bundle)).toEqual({ replayed: 1, leftOut: 0, refused: [] });
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'PAID');
});

it('a payment is watched, paid and told without search attributes', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'PAID');
  expect(await story.told(orderId, 1)).toEqual([`PAID-${outTradeNo}`]);
  await story.ended(outTradeNo);
  expect(await searchedBy(paymentWorkflowId(outTradeNo))).toEqual([]);
});

it('a payment that nobody notified of is found by its checks, and one in review is decided', async () => {
  const { outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo);
  await story.until(outTradeNo, 'PAID', 30_000);

  const odd = await story.checkOut();
  await shop.sql(`UPDATE payments SET total_amount = 1 WHERE out_trade_no = :no`, { no: odd.outTradeNo });
  await story.pay(odd.outTradeNo, { notify: true });
  await story.until(odd.outTradeNo, 'REVIEW');
  await shop.payments.resolveReview(odd.outTradeNo, { to: 'REFUNDING', actor: 'li', reason: 'a test' });
  await waitFor(async () => (await story.status(odd.outTradeNo)) === 'REFUNDED', {
    what: 'the refund',
    timeoutMs: 30_000,
  });
});

it('a refund that Alipay does not prove goes to a person, who decides it', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'PAID');
  await shop.alipay.control.refunds({ visibleAfterMs: 3_600_000 });
  const method = 'alipay.trade.refund';
  await shop.alipay.control.fault({ mode: 'reset', method, outTradeNo, when: 'after', times: 1 });
  await shop.sql(
    `UPDATE payments SET refund_turn_until = now() + interval '5 seconds' WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  const { refundId } = await shop.payments.refund({ orderId, refundId: 'never-proven', amount: '3.00' });
  // As if nine answers had come before.
  await shop.sql(`UPDATE refunds SET unproven = 9`);
  const isNow = (status: string): Promise<unknown> =>
    waitFor(async () => (await shop.payments.refundStatus(refundId)).status === status, {
      what: `the refund to be ${status}`,
      timeoutMs: 120_000,
    });
  await isNow('REVIEW');
  const workflowId = refundWorkflowId({ outTradeNo, outRequestNo: refundId, kind: 'shop' });
  const run = shop.temporal.workflow.getHandle(workflowId);
  await waitFor(
    async () => (await run.fetchHistory()).events?.some((event) => event.timerStartedEventAttributes),
    { what: 'the run to wait for a person' },
  );

  await shop.alipay.control.refunds({ visibleAfterMs: 0 });
  await shop.sql(`UPDATE refunds SET asked_at = now() - interval '1 hour'`);
  await shop.payments.resolveRefund(refundId, { to: 'DONE', actor: 'li', reason: 'a test' });
  expect(await run.result()).toMatchObject({ status: 'DONE' });
  expect(await searchedBy(workflowId)).toEqual([]);
});
