import { describe, expect, it } from '@jest/globals';
import type { OnResult } from '../../activities/result-handler';
import { ResultHandler } from '../../activities/result-handler';
import type { ActivityDependencies } from '../../activities/dependencies';
import { logUndelivered, tellOrder } from '../../activities/orders';
import { createLogger } from '../../worker/log';
import type { PaymentResult } from '../../workflows/messages';
import { waitFor } from '../../dev/wait-for';

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

  it('shows the shop its own error in the log, under our code', async () => {
    let logged = '';
    const log = createLogger({ env: {}, destination: { write: (line) => void (logged += line) } });
    const failing = (): never => {
      throw new RangeError('no such tea: 7');
    };
    await new ResultHandler(failing)
      .post(RESULT)
      .catch((error: unknown) => logUndelivered(log, 'A-1', error));
    expect(JSON.parse(logged)).toMatchObject({
      code: 'ORDER_SERVICE_DOWN',
      err: {
        type: 'RangeError',
        message: 'no such tea: 7',
        stack: expect.stringContaining('failing') as unknown,
      },
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

it('a shop that is slow gets results of 100 orders side by side at most from callers that do not wait', async () => {
  let [begun, end] = [0, (): void => undefined];
  const held = new Promise<{ rows: never[] }>((resolve) => (end = () => resolve({ rows: [] })));
  // As slow as the shop: it does not even return what must be told.
  const options = (): typeof held => ((begun += 1), held);
  const deps = {
    db: { client: { config: {} }, raw: () => ({ options }) },
  } as unknown as ActivityDependencies;
  const all = Array.from({ length: 100 }, () => tellOrder(deps, 'A-1'));
  expect(new Set(await Promise.all(all))).toEqual(new Set([false]));
  expect(await tellOrder(deps, 'A-1')).toBe(false);
  expect(begun).toBe(100);

  end();
  await waitFor(async () => tellOrder(deps, 'A-1'), { what: 'a place to be free again' });
});
