import { describe, expect, it, jest } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import { pino } from 'pino';
import { revivePayment } from '../../activities/payment-workflow';
import { startRefund, tellRefunds } from '../../activities/refund-workflow';
import { untilReady } from '../../activities/temporal-calls';
import type { Refund } from '../../db/refunds';
import { UNSEARCHABLE } from '../../workflows/messages';
import { PAYMENT } from './rows';

// Requests to Temporal that it does not carry out at once.

const REFUND = {
  ...{ outTradeNo: 'P1', outRequestNo: 'R-17', orderId: 'A-1', amount: '3.00', kind: 'shop' },
  status: 'DONE',
} as Refund;

/** A Temporal that refuses the first starts like this. */
function refusing(...refusals: Error[]) {
  const starts: object[] = [];
  const start = (_type: string, options: object) => {
    starts.push(options);
    const refusal = refusals.shift();
    return refusal ? Promise.reject(refusal) : Promise.resolve();
  };
  return { temporal: { workflow: { start } } as unknown as Client, starts };
}

const NO_ATTRIBUTE = 'Namespace default has no mapping defined for search attribute PaymentStatus';

describe.each<[string, (temporal: Client) => Promise<void>]>([
  ['payment', (temporal) => revivePayment(temporal, PAYMENT)],
  ['refund', (temporal) => startRefund(temporal, REFUND)],
])('the run of a %s', (_what, begin) => {
  it('shows itself in lists', async () => {
    const { temporal, starts } = refusing();
    await begin(temporal);
    expect(starts).toEqual([
      expect.objectContaining({ typedSearchAttributes: expect.anything() as unknown }),
    ]);
    expect(starts[0]).not.toHaveProperty('memo');
  });

  it.each([
    ['says itself', new Error(NO_ATTRIBUTE)],
    ['says as the cause', new Error('Failed to start', { cause: new Error(NO_ATTRIBUTE) })],
  ])('still starts if the namespace has no room for that, as the server %s', async (_how, refusal) => {
    const { temporal, starts } = refusing(refusal);
    await begin(temporal);
    expect(starts).toHaveLength(2);
    expect(starts[1]).toMatchObject({ memo: { [UNSEARCHABLE]: true } });
    expect(starts[1]).not.toHaveProperty('typedSearchAttributes');
  });

  it('is not tried again without it for another reason', async () => {
    const refusal = new Error('the server does not answer');
    const { temporal, starts } = refusing(refusal);
    await expect(begin(temporal)).rejects.toBe(refusal);
    expect(starts).toHaveLength(1);
  });
});

describe('an update', () => {
  const refusal = (code: number): Error =>
    Object.assign(new Error('workflow not ready'), { code, details: 'workflow not ready', metadata: {} });

  it('of a run that is about to end is sent again', async () => {
    const answers = [Promise.reject(refusal(9)), Promise.resolve('done')];
    expect(await untilReady.execute(() => answers.shift())).toBe('done');
  });

  it.each([
    ['that is refused otherwise', refusal(3)],
    ['that fails otherwise', new Error('no')],
  ])('%s is not', async (_what, error) => {
    let sent = 0;
    const sending = untilReady.execute(() => {
      sent += 1;
      return Promise.reject(error);
    });
    await expect(sending).rejects.toBe(error);
    expect(sent).toBe(1);
  });
});

describe('the run of a refund that has ended', () => {
  const telling = (error: Error) => ({
    withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
    workflow: { getHandle: () => ({ signal: () => Promise.reject(error) }) },
  });

  it.each([
    ['that is gone needs not be told', new WorkflowNotFoundError('gone', 'refund-R-17', undefined), 0],
    ['that cannot be told is, later: the log says so', new Error('the server does not answer'), 1],
  ])('%s', async (_what, error, warnings) => {
    const log = pino({ level: 'silent' });
    const warned = jest.spyOn(log, 'warn');
    await tellRefunds({ temporal: telling(error) as unknown as Client, log }, [REFUND]);
    expect(warned).toHaveBeenCalledTimes(warnings);
    if (warnings > 0)
      expect(warned).toHaveBeenCalledWith(
        { outTradeNo: 'P1', outRequestNo: 'R-17', err: error, code: 'RUN_UNTOLD' },
        expect.any(String),
      );
  });
});
