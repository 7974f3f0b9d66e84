import { describe, expect, it } from '@jest/globals';
import type { ActivityDependencies } from '../../activities';
import type { AlipayErrorKind } from '../../activities/alipay/errors';
import { AlipayError } from '../../activities/alipay/errors';
import { createClosingActivities } from '../../activities/closing/activities';

/** Whether Alipay counts as up if the merchants' gateways respond like this. */
function probed(...answers: Array<'answer' | Error>): Promise<boolean> {
  const all = answers.map((answer) => ({
    query: () => (answer === 'answer' ? Promise.resolve({ answer: 'not-exist' }) : Promise.reject(answer)),
  }));
  return createClosingActivities({ alipay: { all } } as unknown as ActivityDependencies).probeAlipay();
}

const failed = (kind: AlipayErrorKind, outage = false) =>
  new AlipayError(kind, 'said', { method: 'alipay.trade.query', outTradeNo: 'probe', outage });

describe('a probe of Alipay', () => {
  it.each([
    ['that is answered', 'answer' as const],
    ['that is refused', failed('refused')],
    ['that finds no place under the quota', failed('no-quota')],
    ['whose answer nobody understands', failed('unknown')],
  ])('%s finds it up', async (_what, answer) => {
    expect(await probed(answer)).toBe(true);
  });

  it('that is asked and brings no answer finds it down', async () => {
    expect(await probed(failed('unknown', true))).toBe(false);
  });

  it("finds it up where one of several merchants' gateways is", async () => {
    expect(await probed(failed('down'), failed('unknown', true), 'answer')).toBe(true);
    expect(await probed(failed('down'), failed('unknown', true))).toBe(false);
  });

  it.each([
    ['it cannot reach any of them', failed('down')],
    ['something unexpected happens', new TypeError('no')],
  ])('is left to another process where %s', async (_what, error) => {
    await expect(probed(error, failed('down'))).rejects.toBe(error);
  });
});
