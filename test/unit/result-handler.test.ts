import { describe, expect, it } from '@jest/globals';
import type { OnResult } from '../../activities/result-handler';
import { ResultHandler } from '../../activities/result-handler';
import type { PaymentResult } from '../../workflows/messages';

const RESULT: PaymentResult = {
  messageId: 'PAID-P1',
  orderId: 'A-1',
  outTradeNo: 'P1',
  status: 'PAID',
  totalAmount: '12.30',
  refundedAmount: '0.00',
  at: '2026-11-24T10:57:25.120Z',
};

const never = (): Promise<void> => new Promise(() => undefined);

describe('a result that is handed to a function of the shop', () => {
  it('is taken once that has ended, by a promise or without', async () => {
    const acted: string[] = [];
    await new ResultHandler(({ messageId }) => void acted.push(messageId)).post(RESULT);
    await new ResultHandler(async ({ messageId }) => {
      await Promise.resolve();
      acted.push(messageId);
    }).post(RESULT);
    expect(acted).toEqual(['PAID-P1', 'PAID-P1']);
  });

  it.each<[string, OnResult]>([
    [
      'throws at once',
      () => {
        throw new RangeError('the buyer Li is unknown');
      },
    ],
    ['fails later', () => Promise.reject(new RangeError('the buyer Li is unknown'))],
  ])('is not taken where it %s, and what it says stays out of the row', async (_what, onResult) => {
    const error: unknown = await new ResultHandler(onResult).post(RESULT).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      code: 'ORDER_SERVICE_DOWN',
      message: 'onResult failed (RangeError) for PAID-P1. It is told again.',
      cause: expect.any(RangeError) as unknown,
    });
  });

  it('is not taken where it throws what is no error, and of that only its type is told', async () => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a shop may do so
    const handler = new ResultHandler(() => Promise.reject('the buyer Li is unknown'));
    await expect(handler.post(RESULT)).rejects.toMatchObject({
      code: 'ORDER_SERVICE_DOWN',
      message: 'onResult failed (string) for PAID-P1. It is told again.',
    });
  });

  it('is not taken where it does not end; it hears of that, and is called again', async () => {
    const signals: AbortSignal[] = [];
    const handler = new ResultHandler(
      (_result, { signal }) => {
        signals.push(signal);
        return never();
      },
      { patienceMs: 50 },
    );
    for (let i = 0; i < 2; i += 1) {
      await expect(handler.post(RESULT)).rejects.toMatchObject({
        code: 'ORDER_SERVICE_DOWN',
        message: expect.stringContaining('did not end in time') as unknown,
      });
    }
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
  });
});
