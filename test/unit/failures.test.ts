import { describe, expect, it, jest } from '@jest/globals';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { pino } from 'pino';
import type { AlipayErrorKind } from '../../activities/alipay/errors';
import { AlipayError } from '../../activities/alipay/errors';
import { mapFailures } from '../../activities/failures';
import { PaymentError } from '../../workflows/errors';

/** What leaves an activity that throws this, and what is logged about it. */
async function leaving(thrown: Error, { attempt = 1, activity = 'act' } = {}) {
  const log = pino({ level: 'silent' });
  const [warn, error] = [jest.spyOn(log, 'warn'), jest.spyOn(log, 'error')];
  const act = mapFailures({ [activity]: () => Promise.reject(thrown) }, log)[activity];
  if (!act) throw new Error('it is not wrapped');
  const environment = new MockActivityEnvironment({ attempt });
  const failure: unknown = await environment.run(() => act().catch((left: unknown) => left));
  if (!(failure instanceof ApplicationFailure)) throw new Error('it left as it was');
  return { failure, warned: warn.mock.calls, alarmed: error.mock.calls };
}

const alipayError = (kind: AlipayErrorKind, more: { throttled?: boolean; subCode?: string } = {}) =>
  new AlipayError(kind, 'said', { method: 'alipay.trade.query', outTradeNo: 'P1', code: '40004', ...more });

describe('what leaves an activity', () => {
  it('holds nothing of an unexpected error: its cause goes to the log alone', async () => {
    const bug = new TypeError('the buyer Li is undefined');
    const { failure, alarmed } = await leaving(bug);
    expect(failure).toMatchObject({ type: 'INTERNAL', nonRetryable: false });
    expect(JSON.stringify(failure) + failure.message).not.toContain('Li');
    expect(alarmed).toMatchObject([[{ activity: 'act', code: 'INTERNAL', err: bug }, failure.message]]);
  });

  it.each([
    ['unknown', 'ALIPAY_UNKNOWN', undefined],
    ['refused', 'ALIPAY_REFUSED', undefined],
    ['down', 'ALIPAY_DOWN', ApplicationFailureCategory.BENIGN],
    ['no-quota', 'ALIPAY_BUSY', ApplicationFailureCategory.BENIGN],
  ] as const)(
    'of a call that was %s is %s, with a warning that has ids and codes',
    async (kind, type, category) => {
      const { failure, warned } = await leaving(alipayError(kind));
      expect(failure).toMatchObject({ type, nonRetryable: false });
      expect(failure.category ?? undefined).toBe(category);
      expect(failure.nextRetryDelay ?? undefined).toBeUndefined();
      expect(warned).toEqual([
        [
          expect.objectContaining({ activity: 'act', code: type, outTradeNo: 'P1', alipayCode: '40004' }),
          failure.message,
        ],
      ]);
    },
  );

  it.each([
    [1, 5_000],
    [2, 10_000],
    [6, 160_000],
    [60, 300_000],
  ])(
    'of a call throttled at attempt %i says to ask again after %i ms or up to twice that',
    async (attempt, ms) => {
      const thrown = alipayError('unknown', { throttled: true });
      const all = await Promise.all(
        Array.from({ length: 20 }, () => leaving(thrown, { attempt, activity: 'refundAtAlipay' })),
      );
      const pauses = all.map(({ failure }) => Number(failure.nextRetryDelay));
      expect(all[0]?.failure.type).toBe('ALIPAY_UNKNOWN');
      expect(Math.min(...pauses)).toBeGreaterThanOrEqual(ms);
      expect(Math.max(...pauses)).toBeLessThanOrEqual(2 * ms);
      expect(new Set(pauses).size).toBeGreaterThan(1);
    },
  );

  it('of a throttled call that a person waits for says to ask again soon at each attempt', async () => {
    const thrown = alipayError('unknown', { throttled: true });
    const { failure } = await leaving(thrown, { attempt: 4, activity: 'resolveReview' });
    expect(Number(failure.nextRetryDelay)).toBeLessThanOrEqual(10_000);
  });

  it('of a bill that was asked for too often says to ask again after a minute', async () => {
    const thrown = alipayError('unknown', { throttled: true, subCode: 'BILL_QUERY_RATE_LIMIT' });
    expect(Number((await leaving(thrown)).failure.nextRetryDelay)).toBeGreaterThanOrEqual(60_000);
  });

  it('of a wrong configuration alerts a person', async () => {
    const { failure, alarmed } = await leaving(alipayError('misconfigured'));
    expect(failure.type).toBe('ALIPAY_MISCONFIGURED');
    expect(alarmed).toMatchObject([[{ code: 'ALIPAY_MISCONFIGURED', alert: true }, failure.message]]);
  });

  it.each([
    ['ORDER_UNKNOWN', true],
    ['TEMPORAL_UNAVAILABLE', false],
  ] as const)('of %s is tried again unless that cannot help', async (code, nonRetryable) => {
    const { failure } = await leaving(new PaymentError(code, 'why'));
    expect(failure).toMatchObject({ type: code, message: 'why', nonRetryable });
  });

  it('that is a failure already is left as it is', async () => {
    const own = ApplicationFailure.create({ type: 'ALIPAY_BUSY', message: 'waits' });
    expect((await leaving(own)).failure).toBe(own);
  });
});
