import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PaymentState } from '../../workflows/messages';
import { QUERIES, SIGNALS, UPDATES } from '../../workflows/messages';
import { waitFor } from '../support';
import type { PaymentOnStage, Stage } from './stage';
import { openStage } from './stage';
import { Held, alipayFailure } from './world';

let stage: Stage;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());

const checkNow = ({ handle }: PaymentOnStage): Promise<PaymentState> =>
  handle.executeUpdate<PaymentState, []>(UPDATES.checkNow);

const asksOf = ({ outTradeNo }: PaymentOnStage): string[] =>
  stage.world.asksOf(outTradeNo).map(({ check, path }) => `${check} ${path}`);

describe('checkNow', () => {
  it('asks at once and uses up no check', async () => {
    const payment = await stage.startPayment({ fast: ['not-exist'], safe: ['waiting'] });

    expect(await checkNow(payment)).toMatchObject({ status: 'UNPAID', checks: 0, lastAnswer: 'waiting' });
    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(asksOf(payment)).toEqual(['0 safe', '1 fast', '2 fast', '3 fast']);
    expect(payment.askedAfter()).toEqual([0, 60, 120, 180]);
  });

  it('ends the waiting where it finds the payment made', async () => {
    const payment = await stage.startPayment({ safe: ['paid'] });

    expect(await checkNow(payment)).toMatchObject({ status: 'PAID', checks: 0, lastAnswer: 'paid' });
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID', checks: 0 });
    expect(stage.world.toldOrders).toContain(payment.row.orderId);
  });

  it('joins an ask in flight', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ safe: [held.reply] });
    const first = checkNow(payment);
    await held.begun;
    const second = checkNow(payment);
    await payment.handle.query('payment');
    held.release('paid');

    expect(await Promise.all([first, second])).toMatchObject([{ status: 'PAID' }, { status: 'PAID' }]);
    expect(asksOf(payment)).toEqual(['0 safe']);
    await payment.handle.result();
  });

  it('says unknown after 5 s rather than keep a person waiting, and the ask goes on', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ safe: [held.reply] });
    const askedAt = await stage.environment.currentTimeMs();

    expect(await checkNow(payment)).toMatchObject({ status: 'UNPAID', checks: 0, lastAnswer: 'unknown' });
    const seconds = ((await stage.environment.currentTimeMs()) - askedAt) / 1_000;
    expect(seconds).toBeGreaterThanOrEqual(5);
    expect(seconds).toBeLessThan(15);

    held.release('paid');
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID', checks: 0, lastAnswer: 'paid' });
  });

  it('says unknown at once where Alipay cannot be asked', async () => {
    const payment = await stage.startPayment({ fast: ['paid'], safe: [alipayFailure('down')] });
    expect(await checkNow(payment)).toMatchObject({ status: 'UNPAID', checks: 0, lastAnswer: 'unknown' });
    await payment.handle.result();
  });

  it('asks no more about a payment that is settled', async () => {
    const payment = await stage.startPayment();
    const eventId = stage.world.storeNotification({ status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
    await payment.handle.signal(SIGNALS.alipayNotified, { eventId });
    await waitFor(
      async () => (await payment.handle.query<PaymentState>(QUERIES.payment)).status === 'REVIEW',
      {
        what: 'the notification to be recorded',
      },
    );

    expect(await checkNow(payment)).toMatchObject({ status: 'REVIEW', checks: 0 });
    expect(asksOf(payment)).toEqual([]);
    await payment.handle.terminate();
  });
});

describe('a notification in the same workflow task as checkNow', () => {
  // Which of the two local activities ends first is chance, so they meet several times.
  it.each(Array.from({ length: 10 }, (_, i) => i + 1))(
    'is recorded, and no task fails: meeting %i',
    async () => {
      const payment = await stage.startPayment();
      const eventId = stage.world.storeNotification({ status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
      const [, state] = await Promise.all([
        payment.handle.signal(SIGNALS.alipayNotified, { eventId }),
        checkNow(payment),
      ]);
      while ((await payment.handle.query<PaymentState>('payment')).status !== 'REVIEW');

      expect(state).toMatchObject({ checks: 0 });
      expect(asksOf(payment).length).toBeLessThanOrEqual(1);
      const { events } = await payment.handle.fetchHistory();
      expect(
        events?.filter(
          (it) => it.workflowTaskFailedEventAttributes ?? it.workflowTaskTimedOutEventAttributes,
        ),
      ).toEqual([]);
      await payment.handle.terminate();
    },
  );
});

describe('a check that is due while checkNow asks', () => {
  it('waits for that answer, then asks for itself', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ fast: ['not-exist'], safe: [held.reply] });
    // A busy machine has 8 s to put the question before the check is due, at 60 s.
    await stage.environment.sleep('52s');
    const now = checkNow(payment);
    await held.begun;
    expect(await now).toMatchObject({ lastAnswer: 'unknown' });
    await stage.environment.sleep('5s');
    held.release('waiting');

    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(asksOf(payment)).toEqual(['0 safe', '1 fast', '2 fast', '3 fast']);
  });
});

describe('a notification during an ask that hangs', () => {
  it('that proves nothing lets the ask go on', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ fast: [alipayFailure('unknown')], safe: [held.reply] });
    const ended = payment.handle.result();
    await held.begun;
    await payment.handle.signal(SIGNALS.alipayNotified, { eventId: stage.world.storeNotification({}) });
    await payment.handle.query('payment');
    held.release('paid');

    expect(await ended).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'paid' });
  });

  // The last test of the file: the server never skips time again once a run has ended with an activity in flight.
  it('is recorded beside it and ends it: the run does not wait for an answer that nobody needs', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ fast: [alipayFailure('unknown')], safe: [held.reply] });
    const ended = payment.handle.result();
    await held.begun;
    const eventId = stage.world.storeNotification({ status: 'PAID', undelivered: true });
    await payment.handle.signal(SIGNALS.alipayNotified, { eventId });

    expect(await ended).toMatchObject({ status: 'PAID' });
    expect(asksOf(payment)).toEqual(['1 fast', '1 safe']);
    expect(await payment.endedAfter()).toBe(60);
    expect(stage.world.toldOrders).toContain(payment.row.orderId);
    held.release('waiting');
  });
});
