import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer, PaymentState } from '../../workflows/messages';
import { SIGNALS } from '../../workflows/messages';
import type { Stage } from './stage';
import { MINUTE, openStage } from './stage';
import { alipayFailure } from './world';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

describe('a payment that nobody makes', () => {
  it('is to be asked about a minute after checkout, to the millisecond', async () => {
    const { handle } = await stage.startPayment();
    const { startTime } = await handle.describe();

    expect(await handle.query<PaymentState>('payment')).toMatchObject({
      status: 'UNPAID',
      checks: 0,
      nextCheckAt: new Date(startTime.getTime() + MINUTE).toISOString(),
      lastAnswer: null,
    });
    await handle.result();
  });

  it('is asked about after 60, 120 and 180 s, and no fourth time: the run ends UNCONFIRMED', async () => {
    const { outTradeNo, handle, askedAfter, endedAfter } = await stage.startPayment();

    expect(await handle.result()).toEqual({
      outTradeNo,
      status: 'UNCONFIRMED',
      checks: 3,
      nextCheckAt: null,
      lastAnswer: 'not-exist',
    });
    expect(askedAfter()).toEqual([60, 120, 180]);
    expect(await endedAfter()).toBe(180);
    expect(stage.world.asksOf(outTradeNo)).toMatchObject([
      { check: 1, path: 'fast' },
      { check: 2, path: 'fast' },
      { check: 3, path: 'fast' },
    ]);
  });

  it('leaves the order service undelivered', async () => {
    const { row, handle } = await stage.startPayment();
    await handle.result();
    expect(stage.world.toldOrders).not.toContain(row.orderId);
  });

  it('is settled all the same where the row says so in the end, whoever wrote it', async () => {
    const { row, handle } = await stage.startPayment();
    await stage.environment.sleep('150s');
    Object.assign(row, { status: 'CLOSED' });

    expect(await handle.result()).toMatchObject({ status: 'CLOSED', checks: 3 });
  });
});

describe('a payment whose notification is lost', () => {
  it.each([1, 2, 3])('is found by check %i, and not asked about again', async (check) => {
    const before = Array<Answer>(check - 1).fill('waiting');
    const { row, handle, askedAfter, endedAfter } = await stage.startPayment({ fast: [...before, 'paid'] });

    expect(await handle.result()).toMatchObject({
      status: 'PAID',
      checks: check,
      nextCheckAt: null,
      lastAnswer: 'paid',
    });
    expect(askedAfter()).toEqual([60, 120, 180].slice(0, check));
    expect(await endedAfter()).toBe(check * 60);
    expect(stage.world.toldOrders.filter((id) => id === row.orderId)).toHaveLength(1);
  });

  it.each<Answer>(['waiting', 'not-exist'])('is asked about again after the answer %s', async (answer) => {
    const { handle, askedAfter } = await stage.startPayment({ fast: [answer, answer, 'paid'] });
    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 3 });
    expect(askedAfter()).toEqual([60, 120, 180]);
  });
});

describe('a payment that is notified', () => {
  it('is known 30 s after checkout, without a single ask', async () => {
    const { row, handle, askedAfter, endedAfter } = await stage.startPayment();
    await stage.environment.sleep('30s');
    const eventId = stage.world.storeNotification({ status: 'PAID', undelivered: true });
    await handle.signal(SIGNALS.alipayNotified, { eventId });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 0, lastAnswer: null });
    expect(askedAfter()).toEqual([]);
    expect(await endedAfter()).toBe(30);
    expect(stage.world.toldOrders.filter((id) => id === row.orderId)).toHaveLength(1);
  });

  it('is known between two checks, and the later ones are dropped', async () => {
    const { handle, askedAfter, endedAfter } = await stage.startPayment();
    await stage.environment.sleep('90s');
    const eventId = stage.world.storeNotification({ status: 'PAID', undelivered: true });
    await handle.signal(SIGNALS.alipayNotified, { eventId });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'not-exist' });
    expect(askedAfter()).toEqual([60]);
    expect(await endedAfter()).toBe(90);
  });

  it('goes on being asked about where the notification proves nothing, or is not in the tables', async () => {
    const { handle, askedAfter } = await stage.startPayment({ fast: ['not-exist', 'paid'] });
    await stage.environment.sleep('30s');
    await handle.signal(SIGNALS.alipayNotified, { eventId: stage.world.storeNotification({}) });
    await handle.signal(SIGNALS.alipayNotified, { eventId: '987654321' });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 2 });
    expect(askedAfter()).toEqual([60, 120]);
  });
});

describe('an answer that nobody got', () => {
  it('is sought on the safe path: three asks, then unknown uses the check up, and the next comes a minute later', async () => {
    const { outTradeNo, handle, askedAfter } = await stage.startPayment({
      fast: [alipayFailure('unknown'), 'not-exist'],
      safe: [alipayFailure('unknown')],
    });

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    const asks = stage.world.asksOf(outTradeNo);
    expect(asks).toMatchObject([
      { check: 1, path: 'fast' },
      { check: 1, path: 'safe' },
      { check: 1, path: 'safe' },
      { check: 1, path: 'safe' },
      { check: 2, path: 'fast' },
      { check: 3, path: 'fast' },
    ]);
    expect(askedAfter()).toEqual([60, 60, 60, 60, 120, 180]);
    expect((asks[4]?.at ?? 0) - (asks[3]?.at ?? 0)).toBeGreaterThanOrEqual(MINUTE);
  });

  it('counts when the safe path brings it', async () => {
    const { outTradeNo, handle } = await stage.startPayment({
      fast: [alipayFailure('unknown')],
      safe: [alipayFailure('unknown'), 'paid'],
    });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'paid' });
    expect(stage.world.asksOf(outTradeNo).map(({ path }) => path)).toEqual(['fast', 'safe', 'safe']);
  });

  it('never fails the payment, however often nobody knows', async () => {
    const { handle, outTradeNo } = await stage.startPayment({
      fast: [alipayFailure('unknown')],
      safe: [alipayFailure('unknown')],
    });

    expect(await handle.result()).toMatchObject({
      status: 'UNCONFIRMED',
      checks: 3,
      lastAnswer: 'unknown',
    });
    expect(stage.world.asksOf(outTradeNo)).toHaveLength(12);
  });

  it('is not sought twice where the configuration is wrong: a person must act, and the check is used up', async () => {
    const { outTradeNo, handle, askedAfter } = await stage.startPayment({
      fast: [alipayFailure('misconfigured')],
    });

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3, lastAnswer: 'unknown' });
    expect(askedAfter()).toEqual([60, 120, 180]);
    expect(stage.world.asksOf(outTradeNo).every(({ path }) => path === 'fast')).toBe(true);
  });
});

describe('a gateway that cannot be asked', () => {
  it('uses up no check while its breaker is open: the check comes later, each time twice as long', async () => {
    const down = alipayFailure('down');
    const { outTradeNo, handle, askedAfter } = await stage.startPayment({
      fast: [down, down, down, down, 'not-exist'],
    });

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(stage.world.asksOf(outTradeNo).map(({ check }) => check)).toEqual([1, 1, 1, 1, 1, 2, 3]);
    expect(askedAfter()).toEqual([60, 120, 240, 480, 960, 1020, 1080]);
  });

  it('is tried again every half an hour at the latest', async () => {
    const { handle, askedAfter } = await stage.startPayment({
      fast: [...Array.from({ length: 8 }, () => alipayFailure('down')), 'paid'],
    });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    const minutes = askedAfter().map((seconds) => Math.floor(seconds / 60));
    expect(minutes).toEqual([1, 2, 4, 8, 16, 32, 62, 92, 122]);
  });

  it('is asked on the safe path where the quota was used up for the moment', async () => {
    const { outTradeNo, handle } = await stage.startPayment({
      fast: [alipayFailure('no-quota')],
      safe: ['paid'],
    });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    expect(stage.world.asksOf(outTradeNo).map(({ path }) => path)).toEqual(['fast', 'safe']);
  });

  it('uses up no check where the quota is used up on the safe path too', async () => {
    const { outTradeNo, handle } = await stage.startPayment({
      fast: [alipayFailure('no-quota')],
      safe: [alipayFailure('no-quota'), 'paid'],
    });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    expect(stage.world.asksOf(outTradeNo).map(({ check, path }) => `${check} ${path}`)).toEqual([
      '1 fast',
      '1 safe',
      '1 fast',
      '1 safe',
    ]);
  });
});
