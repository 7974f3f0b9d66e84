import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import { closeWorkflowId } from '../../workflows/messages';
import { Story } from './story';

// A shop cancels an order whose cashier page may still be open. Money that comes too late goes to a person, unless the
// shop has said to refund it.

const NOW = { actor: 'li', reason: 'sold out', ifPaidLater: 'refund' } as const;

let shop: Shop;
let story: Story;

beforeAll(async () => {
  shop = await openShop(__filename, {
    payments: { checks: 0, slowChecksMs: [300_000, 600_000] },
    latePaymentPolicy: 'review',
  });
  story = new Story(shop);
});
afterAll(() => shop.close());

beforeEach(() => shop.alipay.control.clearFaults());

/** Minutes until the follow-up queries it again; null: it does not. */
async function nextAskOf(outTradeNo: string): Promise<number | null> {
  const [row] = await shop.sql<{ minutes: number | null }>(
    `SELECT CAST(round(EXTRACT(EPOCH FROM recheck_at - now()) / 60) AS integer) AS minutes
     FROM payments WHERE out_trade_no = :outTradeNo`,
    { outTradeNo },
  );
  return row?.minutes ?? null;
}

const askAgain = async (outTradeNo: string): Promise<void> => {
  await story.age('payments', outTradeNo, 'recheck_at', 0);
  await story.followUp();
};

describe('an order whose page was opened and not scanned', () => {
  it('is held for the sweep, unless what is paid later goes back', async () => {
    const { orderId } = await story.checkOut();
    const held = shop.payments.closeOrder({ orderId, actor: 'li', reason: 'sold out' });
    await expect(held).rejects.toMatchObject({
      code: 'ORDER_HELD',
      message: expect.stringMatching(
        /page may still be open.*closed once it has expired.*ifPaidLater/,
      ) as unknown,
    });
    expect(await shop.payments.closeOrder({ orderId, ...NOW })).toMatchObject({
      status: 'CLOSED',
      ifPaidLater: 'refund',
    });
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('is closed by a run that ends, even where no worker can go on with it', async () => {
    const { orderId } = await story.checkOut();
    await shop.payments.closeOrder({ orderId, ...NOW });
    const { raw } = await shop.temporal.workflow.getHandle(closeWorkflowId(orderId)).describe();
    expect(Number(raw.executionConfig?.workflowRunTimeout?.seconds)).toBe(900);
  });

  it('is asked about at its slow checks, and what was paid on the page is refunded whatever the policy', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.payments.closeOrder({ orderId, ...NOW });
    expect(await nextAskOf(outTradeNo)).toBe(5);
    await askAgain(outTradeNo);
    expect(await story.status(outTradeNo)).toBe('CLOSED');
    expect(await nextAskOf(outTradeNo)).toBe(5);

    await story.pay(outTradeNo);
    await askAgain(outTradeNo);
    await story.until(outTradeNo, 'REFUNDED');
    expect(await story.standing(orderId)).toBe('CLOSED: REFUNDED');
    expect(await story.told(orderId, 1)).toEqual([`CLOSED-${orderId}`]);
  });

  it('is refunded by its notification at once', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.payments.closeOrder({ orderId, ...NOW });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'REFUNDED');
  });

  it('has its trade closed at Alipay where the buyer scans it later', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.payments.closeOrder({ orderId, ...NOW });
    await shop.alipay.control.scan(outTradeNo);
    await askAgain(outTradeNo);
    await expect(story.pay(outTradeNo)).rejects.toThrow();
    expect(await story.standing(orderId)).toBe('CLOSED: CLOSED');
  });

  it('is asked about at its next slow check, also where this one has no answer', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.payments.closeOrder({ orderId, ...NOW });
    await shop.alipay.control.fault({ mode: 'ACQ.SYSTEM_ERROR', method: 'alipay.trade.query', outTradeNo });
    await askAgain(outTradeNo);
    expect(await nextAskOf(outTradeNo)).toBe(5);
  });

  it('is asked about until a minute after the page has expired, and no longer', async () => {
    const { orderId, outTradeNo } = await story.checkOut();
    await shop.payments.closeOrder({ orderId, ...NOW });
    await story.age('payments', outTradeNo, 'time_expire', 0);
    await askAgain(outTradeNo);
    expect(await nextAskOf(outTradeNo)).toBe(1);
    await story.age('payments', outTradeNo, 'time_expire', 1);
    await askAgain(outTradeNo);
    expect(await nextAskOf(outTradeNo)).toBeNull();
  });
});

it('a cancelled order may be given up later, too, and again', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.expire(orderId);
  await story.sweep();
  for (let i = 0; i < 2; i += 1) {
    expect(await shop.payments.closeOrder({ orderId, ...NOW })).toMatchObject({ ifPaidLater: 'refund' });
  }
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'REFUNDED');
});

it('without that word, money that comes late waits for a person, by the policy', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.expire(orderId);
  await story.sweep();
  await story.pay(outTradeNo, { notify: true });
  await story.until(outTradeNo, 'REVIEW');
});

it('an order that is paid is not closed, and keeps its money', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await story.pay(outTradeNo);
  await expect(shop.payments.closeOrder({ orderId, ...NOW })).rejects.toMatchObject({ code: 'ORDER_PAID' });
  await story.until(outTradeNo, 'PAID');
  expect(await story.standing(orderId)).toBe('PAID: PAID');
});

it('an order that was paid before it could be cancelled keeps its policy: a second payment waits for a person', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  const second = await story.secondTab(orderId, `${outTradeNo}_2`);
  await story.pay(outTradeNo);
  await expect(shop.payments.closeOrder({ orderId, ...NOW })).rejects.toMatchObject({ code: 'ORDER_PAID' });
  await story.until(outTradeNo, 'PAID');
  await story.pay(second.outTradeNo, { notify: true });
  await story.until(second.outTradeNo, 'REVIEW');
  expect(await shop.payments.payment(second.outTradeNo)).toMatchObject({ reviewReason: 'DUPLICATE_PAYMENT' });
});

it('an unknown answer closes nothing', async () => {
  const { orderId, outTradeNo } = await story.checkOut();
  await shop.alipay.control.fault({ mode: 'ACQ.SYSTEM_ERROR', method: 'alipay.trade.query', outTradeNo });
  await expect(shop.payments.closeOrder({ orderId, ...NOW })).rejects.toMatchObject({
    code: 'ALIPAY_UNAVAILABLE',
    status: 503,
    message: expect.stringMatching(/is still open.*SYSTEM_ERROR.*Trying again is safe/) as unknown,
  });
  expect(await story.status(outTradeNo)).toBe('UNPAID');
});

it('a checkout with another subject and expiry says which ones count: the first', async () => {
  const { orderId } = await story.checkOut();
  const { expiresAt } = await shop.payments.order(orderId);
  const other = { orderId, subject: 'Two pots', totalAmount: '12.30', expiresIn: '30m' };
  expect(await shop.payments.checkout(other)).toMatchObject({ keptSubject: 'A pot of tea', expiresAt });
});

describe('a cancel whose run is gone before it has ended', () => {
  beforeAll(() => shop.stopWorkers());

  /** A caller waits for it, and no worker runs. */
  async function cancelled(): Promise<{ closing: Promise<unknown>; workflowId: string }> {
    const { orderId } = await story.checkOut();
    const closing = shop.payments.closeOrder({ orderId, ...NOW });
    closing.catch(() => undefined);
    const workflowId = closeWorkflowId(orderId);
    await waitFor(() => shop.temporal.workflow.getHandle(workflowId).describe(), { what: 'its run' });
    return { closing, workflowId };
  }

  it('may be tried again: somebody has terminated it', async () => {
    const { closing, workflowId } = await cancelled();
    await shop.temporal.workflow.getHandle(workflowId).terminate('by hand');
    await expect(closing).rejects.toMatchObject({ code: 'TEMPORAL_UNAVAILABLE', status: 503 });
  });

  it('may be tried again: Temporal has lost its store', async () => {
    const { orderId } = await story.checkOut();
    const lost = new WorkflowNotFoundError('workflow not found', closeWorkflowId(orderId), undefined);
    jest.spyOn(shop.temporal.workflow, 'execute').mockRejectedValueOnce(lost);
    const closing = shop.payments.closeOrder({ orderId, ...NOW });
    await expect(closing).rejects.toMatchObject({ code: 'TEMPORAL_UNAVAILABLE', status: 503 });
  });

  it('is made anew where it joined the run of a plain cancel, which is refused', async () => {
    const { orderId } = await story.checkOut();
    const execute = jest.spyOn(shop.temporal.workflow, 'execute');
    const plain = shop.payments.closeOrder({ orderId, actor: 'li', reason: 'sold out' });
    const refused = expect(plain).rejects.toMatchObject({ code: 'ORDER_HELD' });
    await waitFor(() => shop.temporal.workflow.getHandle(closeWorkflowId(orderId)).describe(), {
      what: 'its run',
    });
    const joined = shop.payments.closeOrder({ orderId, ...NOW });
    await waitFor(() => execute.mock.calls.length === 2, { what: 'the second cancel' });
    await shop.startWorkers();
    await refused;
    expect(await joined).toMatchObject({ status: 'CLOSED', ifPaidLater: 'refund' });
    execute.mockRestore();
  });
});
