import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Answer, PaymentState } from '../../workflows/messages';
import { SIGNALS } from '../../workflows/messages';
import type { Stage } from './stage';
import { toFailure } from '../../activities/failures';
import { PaymentError } from '../../workflows/errors';
import { MINUTE, openStage } from './stage';
import { Held, alipayFailure } from './world';

/** How often the server gives one query activity to a worker. */
const ATTEMPTS = 6;

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
      { check: 1, nextCheckInMs: MINUTE },
      { check: 2, nextCheckInMs: MINUTE },
      { check: 3, nextCheckInMs: null },
    ]);
  });

  it('leaves the order service undelivered', async () => {
    const { row, handle } = await stage.startPayment();
    await handle.result();
    expect(stage.world.toldOrders).not.toContain(row.orderId);
  });

  it('is settled if the row finally says so, no matter who wrote it', async () => {
    const { row, handle } = await stage.startPayment();
    await stage.environment.sleep('150s');
    Object.assign(row, { status: 'CLOSED' });

    expect(await handle.result()).toMatchObject({ status: 'CLOSED', checks: 3 });
  });
});

describe('a payment whose notification is lost', () => {
  it.each([1, 2, 3])('is found by check %i, and not asked about again', async (check) => {
    const before = Array<Answer>(check - 1).fill('waiting');
    const { row, handle, askedAfter, endedAfter } = await stage.startPayment({
      replies: [...before, 'paid'],
    });

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
    const { handle, askedAfter } = await stage.startPayment({ replies: [answer, answer, 'paid'] });
    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 3 });
    expect(askedAfter()).toEqual([60, 120, 180]);
  });
});

describe('a payment that is notified', () => {
  it('is known 30 s after checkout, without a single ask', async () => {
    const { row, handle, askedAfter, endedAfter, notify } = await stage.startPayment();
    await stage.environment.sleep('30s');
    await notify({ status: 'PAID', undelivered: true });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 0, lastAnswer: null });
    expect(askedAfter()).toEqual([]);
    expect(await endedAfter()).toBe(30);
    expect(stage.world.toldOrders.filter((id) => id === row.orderId)).toHaveLength(1);
  });

  it('is known between two checks, and the later ones are dropped', async () => {
    const { handle, askedAfter, endedAfter, notify } = await stage.startPayment();
    await stage.environment.sleep('90s');
    await notify({ status: 'PAID', undelivered: true });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'not-exist' });
    expect(askedAfter()).toEqual([60]);
    expect(await endedAfter()).toBe(90);
  });

  it('goes on being asked about where the notification proves nothing, or is not in the tables', async () => {
    const { handle, notify, askedAfter } = await stage.startPayment({ replies: ['not-exist', 'paid'] });
    await stage.environment.sleep('30s');
    await notify({});
    await handle.signal(SIGNALS.alipayNotified, { eventId: '987654321' });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 2 });
    expect(askedAfter()).toEqual([60, 120]);
  });
});

describe('an answer that nobody got', () => {
  it('is sought three times, then unknown uses the check up, and the next comes a minute later', async () => {
    const { outTradeNo, handle, askedAfter, checksAsked } = await stage.startPayment({
      replies: ['unknown', 'unknown', 'unknown', 'not-exist'],
    });

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(checksAsked()).toEqual([1, 1, 1, 2, 3]);
    expect(askedAfter()).toEqual([60, 60, 60, 120, 180]);
    const asks = stage.world.asksOf(outTradeNo);
    expect((asks[3]?.at ?? 0) - (asks[2]?.at ?? 0)).toBeGreaterThanOrEqual(MINUTE);
  });

  it('counts when the second ask brings it', async () => {
    const { handle, checksAsked } = await stage.startPayment({ replies: ['unknown', 'paid'] });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'paid' });
    expect(checksAsked()).toEqual([1, 1]);
  });

  it('never fails the payment, however often nobody knows', async () => {
    const { handle, checksAsked } = await stage.startPayment({ replies: ['unknown'] });

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3, lastAnswer: 'unknown' });
    expect(checksAsked()).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3]);
  });

  it('is not sought by a notified payment: the pause before the next ask ends with it', async () => {
    const { handle, notify, checksAsked, endedAfter } = await stage.startPayment({
      replies: ['unknown', 'unknown', 'unknown'],
    });
    await stage.environment.sleep('61s');
    await notify({ status: 'PAID', undelivered: true });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    expect(checksAsked().length).toBeLessThanOrEqual(2);
    expect(await endedAfter()).toBe(60);
  });

  it('uses the check up where the configuration is wrong: a person must act', async () => {
    const { handle, askedAfter } = await stage.startPayment({ replies: [alipayFailure('misconfigured')] });

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3, lastAnswer: 'unknown' });
    expect(askedAfter()).toEqual([60, 60, 60, 120, 120, 120, 180, 180, 180]);
  });
});

describe('a gateway that cannot be asked', () => {
  /** The failures of as many workers as the server gives one query activity to. */
  const downFor = (asks: number) => Array.from({ length: asks * ATTEMPTS }, () => alipayFailure('down'));

  it('in one worker is asked by the next: the check is made within seconds', async () => {
    const { handle, askedAfter } = await stage.startPayment({
      replies: [alipayFailure('down'), alipayFailure('down'), 'paid'],
    });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    expect(askedAfter()).toEqual([60, 60, 60]);
  });

  it('anywhere uses up no check: it comes one interval later, then two, five at most, and the row knows', async () => {
    const { row, handle, askedAfter } = await stage.startPayment({ replies: [...downFor(5), 'paid'] });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    const first = askedAfter().filter((_, ask) => ask % ATTEMPTS === 0);
    const minutes = first.map((seconds) => Math.floor(seconds / 60));
    expect(minutes).toEqual([1, 2, 4, 8, 13, 18]);
    expect(row.plans).toEqual([1, 2, 4, 5, 5].map((intervals) => intervals * MINUTE));
  });

  it.each(['no-quota', 'merchant'] as const)('uses up no check for lack of %s', async (lack) => {
    const failure =
      lack === 'no-quota'
        ? alipayFailure('no-quota')
        : toFailure(new PaymentError('MERCHANT_UNKNOWN', "another process's"));
    // Another worker may have the merchant; no worker has more quota.
    const attempts = lack === 'merchant' ? ATTEMPTS : 1;
    const failures = Array.from({ length: attempts }, () => failure);
    const { handle, askedAfter } = await stage.startPayment({ replies: [...failures, 'paid'] });

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 1 });
    expect([...new Set(askedAfter())]).toEqual([60, 120]);
  });
});

describe('a buyer who is at the cashier again while the last check is in flight', () => {
  const CHECKOUT = { checks: 3, intervalMs: MINUTE };

  it('gets a new round after it, which the row knows', async () => {
    const held = new Held();
    const { row, handle, checksAsked, askedAfter } = await stage.startPayment({
      replies: ['waiting', 'waiting', held.reply, 'waiting'],
    });
    const ended = handle.result();
    await held.begun;
    await handle.signal(SIGNALS.checkedOut, CHECKOUT);
    held.release('waiting');

    expect(await ended).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(checksAsked()).toEqual([1, 2, 3, 1, 2, 3]);
    expect(askedAfter()).toEqual([60, 120, 180, 240, 300, 360]);
    // The answer has replaced what the checkout planned.
    expect(row.plans).toEqual([MINUTE]);
  });

  it('has the last check still to come where it was postponed', async () => {
    const held = new Held();
    const { row, handle, checksAsked } = await stage.startPayment(
      { replies: [held.reply, 'waiting'] },
      { checks: 1 },
    );
    const ended = handle.result();
    await held.begun;
    await handle.signal(SIGNALS.checkedOut, CHECKOUT);
    held.fail(alipayFailure('no-quota'));

    expect(await ended).toMatchObject({ status: 'UNCONFIRMED', checks: 1 });
    expect(checksAsked()).toEqual([1, 1]);
    expect(row.plans).toEqual([MINUTE]);
  });

  it('is asked about no more where that check finds the payment', async () => {
    const held = new Held();
    const { row, handle, checksAsked } = await stage.startPayment({ replies: [held.reply] }, { checks: 1 });
    const ended = handle.result();
    await held.begun;
    await handle.signal(SIGNALS.checkedOut, CHECKOUT);
    held.release('paid');

    expect(await ended).toMatchObject({ status: 'PAID', checks: 1, nextCheckAt: null });
    expect(checksAsked()).toEqual([1]);
    expect(row.plans).toEqual([]);
  });
});

describe('a run that takes over from one that is gone', () => {
  it('reads the row, and makes the checks that remain', async () => {
    const now = await stage.environment.currentTimeMs();
    // The run starts a moment after `now`, so the check comes a little less than this after the start.
    const { handle, checksAsked, askedAfter } = await stage.startPayment(
      {},
      { checksMade: 1, firstCheckAt: new Date(now + 0.75 * MINUTE).toISOString() },
    );

    expect(await handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(checksAsked()).toEqual([2, 3]);
    expect(askedAfter()).toEqual([30, 90]);
  });

  it('asks nothing where the row is settled', async () => {
    const { handle, checksAsked } = await stage.startPayment(
      { status: 'PAID' },
      { firstCheckAt: new Date(0).toISOString() },
    );

    expect(await handle.result()).toMatchObject({ status: 'PAID', checks: 0 });
    expect(checksAsked()).toEqual([]);
  });
});

describe('a row that somebody else has moved', () => {
  it('ends the run as soon as it hears of it', async () => {
    const { row, handle, endedAfter } = await stage.startPayment();
    await stage.environment.sleep('30s');
    Object.assign(row, { status: 'CLOSED' });
    await handle.signal(SIGNALS.rowMoved);

    expect(await handle.result()).toMatchObject({ status: 'CLOSED', checks: 0 });
    expect(await endedAfter()).toBe(30);
  });
});
