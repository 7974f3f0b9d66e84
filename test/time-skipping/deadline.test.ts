import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SIGNALS } from '../../workflows/messages';
import type { PaymentOnStage, Stage } from './stage';
import { HOUR, MINUTE, openStage } from './stage';
import { alipayFailure } from './world';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

interface TimedPayment extends PaymentOnStage {
  /** Epoch ms. */
  deadline: number;
}

/** An order that was placed a moment ago and closes by timer in a day. */
async function startTimed(): Promise<TimedPayment> {
  const deadline = (await stage.environment.currentTimeMs()) + 24 * HOUR;
  const payment = await stage.startPayment(
    {},
    { closeBy: 'timer', deadline: new Date(deadline).toISOString() },
  );
  return { ...payment, deadline };
}

async function expectEndAtDeadline({ handle, deadline }: TimedPayment): Promise<void> {
  const late = ((await handle.describe()).closeTime?.getTime() ?? 0) - deadline;
  expect(late).toBeGreaterThanOrEqual(0);
  expect(late).toBeLessThan(MINUTE / 2);
}

const chunksOf = ({ row }: PaymentOnStage) =>
  stage.world.chunks.filter(({ orderIds }) => orderIds.includes(row.orderId));

describe('an order that closes by timer', () => {
  it('is closed by its own payment a day later, after three checks and no fourth', async () => {
    const payment = await startTimed();

    expect(await payment.handle.result()).toMatchObject({ status: 'CLOSED', checks: 3, nextCheckAt: null });
    expect(payment.askedAfter()).toEqual([60, 120, 180]);
    await expectEndAtDeadline(payment);
    expect(chunksOf(payment)).toEqual([{ orderIds: [payment.row.orderId], actor: 'timer', dryRun: false }]);
  });

  it('is not closed a minute before its day is over', async () => {
    const payment = await startTimed();
    await stage.environment.sleep(24 * HOUR - MINUTE);
    expect(chunksOf(payment)).toEqual([]);
    expect((await payment.handle.describe()).status.name).toBe('RUNNING');

    await payment.handle.result();
    expect(chunksOf(payment)).toHaveLength(1);
  });

  it('is not closed where a notification comes before, however late', async () => {
    const payment = await startTimed();
    await stage.environment.sleep(23 * HOUR);
    await payment.notify({ status: 'PAID', undelivered: true });

    expect(await payment.handle.result()).toMatchObject({ status: 'PAID', checks: 3 });
    expect(chunksOf(payment)).toEqual([]);
    expect(await payment.endedAfter()).toBe(23 * 3_600);
  });

  it('is left to the sweep where it is held at its deadline', async () => {
    const payment = await startTimed();
    stage.world.onChunk = ({ orderIds }) => Promise.resolve({ closed: [], held: orderIds });

    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(chunksOf(payment)).toHaveLength(1);
    stage.world.onChunk = () => Promise.resolve({});
  });

  it('is left to the sweep where closing it breaks', async () => {
    const payment = await startTimed();
    stage.world.onChunk = () => Promise.reject(new Error('broken'));

    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(chunksOf(payment)).toHaveLength(12);
    stage.world.onChunk = () => Promise.resolve({});
  });

  it('ends paid where the buyer won the race at the deadline', async () => {
    const payment = await startTimed();
    stage.world.onChunk = async ({ orderIds }) => {
      await payment.notify({ status: 'PAID', undelivered: true });
      return { closed: [], rescued: orderIds };
    };

    expect(await payment.handle.result()).toMatchObject({ status: 'PAID', checks: 3 });
    expect(stage.world.toldOrders).toContain(payment.row.orderId);
    stage.world.onChunk = () => Promise.resolve({});
  });
});

describe('an outage that outlasts the order', () => {
  it('ends the checks with the order: the sweep asks when it is over', async () => {
    const now = await stage.environment.currentTimeMs();
    const { row, handle, askedAfter, endedAfter } = await stage.startPayment(
      { replies: [alipayFailure('down')] },
      { deadline: new Date(now + HOUR).toISOString() },
    );

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 0 });
    const minutes = askedAfter().map((seconds) => Math.floor(seconds / 60));
    // Each postponed check has cost its attempts, some 5 s, in addition to the pause.
    expect([...new Set(minutes)].slice(0, 8)).toEqual([1, 2, 4, 8, 13, 18, 23, 28]);
    expect(row.plans.at(-1)).toBeNull();
    expect(await endedAfter()).toBeLessThan(3_600);
  });
});

describe('a buyer who comes back to the cashier', () => {
  it('changes nothing while checks remain', async () => {
    const payment = await stage.startPayment();
    await stage.environment.sleep('90s');
    await payment.handle.signal(SIGNALS.checkedOut, { checks: 3, intervalMs: MINUTE });

    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(payment.askedAfter()).toEqual([60, 120, 180]);
  });

  it('starts a new round of three checks once they are used up', async () => {
    const payment = await startTimed();
    await stage.environment.sleep(HOUR);
    expect(payment.askedAfter()).toEqual([60, 120, 180]);
    await payment.handle.signal(SIGNALS.checkedOut, { checks: 3, intervalMs: MINUTE });

    expect(await payment.handle.result()).toMatchObject({ status: 'CLOSED', checks: 3 });
    expect(payment.askedAfter()).toEqual([60, 120, 180, 3_660, 3_720, 3_780]);
    expect(stage.world.asksOf(payment.outTradeNo).map(({ check }) => check)).toEqual([1, 2, 3, 1, 2, 3]);
    await expectEndAtDeadline(payment);
  });
});
