import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PaymentState } from '../../workflows/messages';
import { QUERIES, UPDATES } from '../../workflows/messages';
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

describe('checkNow', () => {
  it('asks at once and uses up no check', async () => {
    const payment = await stage.startPayment({ replies: ['waiting', 'not-exist'] });

    expect(await checkNow(payment)).toMatchObject({ status: 'UNPAID', checks: 0, lastAnswer: 'waiting' });
    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(payment.checksAsked()).toEqual([0, 1, 2, 3]);
    expect(payment.askedAfter()).toEqual([0, 60, 120, 180]);
  });

  it('ends the waiting where it finds the payment made', async () => {
    const payment = await stage.startPayment({ replies: ['paid'] });

    expect(await checkNow(payment)).toMatchObject({ status: 'PAID', checks: 0, lastAnswer: 'paid' });
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID', checks: 0 });
    expect(stage.world.toldOrders).toContain(payment.row.orderId);
  });

  it('joins an ask in flight', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ replies: [held.reply] });
    const first = checkNow(payment);
    await held.begun;
    const second = checkNow(payment);
    await payment.handle.query('payment');
    held.release('paid');

    expect(await Promise.all([first, second])).toMatchObject([{ status: 'PAID' }, { status: 'PAID' }]);
    expect(payment.checksAsked()).toEqual([0]);
    await payment.handle.result();
  });

  it('says unknown after 5 s rather than keep a person waiting, and the ask goes on', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ replies: [held.reply] });
    const askedAt = await stage.environment.currentTimeMs();

    expect(await checkNow(payment)).toMatchObject({ status: 'UNPAID', checks: 0, lastAnswer: 'unknown' });
    const seconds = ((await stage.environment.currentTimeMs()) - askedAt) / 1_000;
    expect(seconds).toBeGreaterThanOrEqual(5);
    expect(seconds).toBeLessThan(30);

    held.release('paid');
    expect(await payment.handle.result()).toMatchObject({ status: 'PAID', checks: 0, lastAnswer: 'paid' });
  });

  it('says unknown where Alipay cannot be asked', async () => {
    const payment = await stage.startPayment({
      replies: [...Array.from({ length: 6 }, () => alipayFailure('down')), 'paid'],
    });
    expect(await checkNow(payment)).toMatchObject({ status: 'UNPAID', checks: 0, lastAnswer: 'unknown' });
    await payment.handle.result();
  });

  it('asks no more about a payment that is settled', async () => {
    const payment = await stage.startPayment();
    await payment.notify({ status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
    await waitFor(
      async () => (await payment.handle.query<PaymentState>(QUERIES.payment)).status === 'REVIEW',
      {
        what: 'the notification to be recorded',
      },
    );

    expect(await checkNow(payment)).toMatchObject({ status: 'REVIEW', checks: 0 });
    expect(payment.checksAsked()).toEqual([]);
    await payment.handle.terminate();
  });
});

describe('a notification in the same workflow task as checkNow', () => {
  // Which of the two local activities ends first is random, so they meet several times.
  it.each(Array.from({ length: 10 }, (_, i) => i + 1))(
    'is recorded, and no task fails: meeting %i',
    async () => {
      const payment = await stage.startPayment();
      const [, state] = await Promise.all([
        payment.notify({ status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' }),
        checkNow(payment),
      ]);
      while ((await payment.handle.query<PaymentState>('payment')).status !== 'REVIEW');

      expect(state).toMatchObject({ checks: 0 });
      expect(payment.checksAsked().length).toBeLessThanOrEqual(1);
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
    const payment = await stage.startPayment({ replies: [held.reply, 'not-exist'] });
    // A busy machine has 8 s to send the query before the check is due, at 60 s.
    await stage.environment.sleep('52s');
    const now = checkNow(payment);
    await held.begun;
    expect(await now).toMatchObject({ lastAnswer: 'unknown' });
    await stage.environment.sleep('4s');
    held.release('waiting');

    expect(await payment.handle.result()).toMatchObject({ status: 'UNCONFIRMED', checks: 3 });
    expect(payment.checksAsked()).toEqual([0, 1, 2, 3]);
  });
});

describe('a notification during an ask that hangs', () => {
  it('that proves nothing lets the ask go on', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ replies: [held.reply] });
    const ended = payment.handle.result();
    await held.begun;
    await payment.notify({});
    await payment.handle.query('payment');
    held.release('paid');

    expect(await ended).toMatchObject({ status: 'PAID', checks: 1, lastAnswer: 'paid' });
  });

  // The last test of the file: the server never skips time again once a run has ended with an activity in flight.
  it('is recorded beside it and ends it: the run does not wait for an answer that nobody needs', async () => {
    const held = new Held();
    const payment = await stage.startPayment({ replies: [held.reply] });
    const ended = payment.handle.result();
    await held.begun;
    await payment.notify({ status: 'PAID', undelivered: true });

    expect(await ended).toMatchObject({ status: 'PAID' });
    expect(payment.checksAsked()).toEqual([1]);
    expect(await payment.endedAfter()).toBe(60);
    expect(stage.world.toldOrders).toContain(payment.row.orderId);
    held.release('waiting');
  });
});
