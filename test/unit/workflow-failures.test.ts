import { describe, expect, it } from '@jest/globals';
import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  RetryState,
  TimeoutFailure,
  TimeoutType,
} from '@temporalio/common';
import { Asking } from '../../workflows/asking';
import { Decisions } from '../../workflows/decisions';
import { failureType, isFinal } from '../../workflows/failures';
import { firstLocally } from '../../workflows/proxies';

/** What a workflow catches if an activity failed because of this. */
const ofActivity = (cause: Error): ActivityFailure =>
  new ActivityFailure('Activity task failed', 'queryAlipay', '1', RetryState.TIMEOUT, 'worker', cause);

const TIMED_OUT = ofActivity(new TimeoutFailure('too late', undefined, TimeoutType.SCHEDULE_TO_START));
const REFUSED = ApplicationFailure.create({ type: 'ORDER_PAID', nonRetryable: true });
const BUSY = ApplicationFailure.create({ type: 'ALIPAY_BUSY' });

describe('what an activity threw', () => {
  it('is told by the type of the failure behind it, wrapped or not', () => {
    expect(failureType(ofActivity(BUSY))).toBe('ALIPAY_BUSY');
    expect(failureType(BUSY)).toBe('ALIPAY_BUSY');
  });

  it('has no type where it was late, or was thrown without one', () => {
    expect(failureType(TIMED_OUT)).toBeUndefined();
    expect(failureType(new Error('broken'))).toBeUndefined();
    expect(failureType(ApplicationFailure.create({ message: 'broken' }))).toBeUndefined();
    expect(failureType(new ApplicationFailure('broken', null))).toBeUndefined();
  });

  it('is final where it says so, or somebody cancelled it; never where it was late', () => {
    for (const error of [REFUSED, ofActivity(REFUSED), ofActivity(new CancelledFailure('cancelled'))])
      expect(isFinal(error)).toBe(true);
    for (const error of [BUSY, ofActivity(BUSY), TIMED_OUT, new Error('broken')])
      expect(isFinal(error)).toBe(false);
  });
});

describe('a call that is tried locally first', () => {
  const call = firstLocally<'local' | 'normal'>('local', 'normal');
  const failingLocally = (error: Error) => {
    const tried: string[] = [];
    const end = call((on) => {
      tried.push(on);
      return on === 'local' ? Promise.reject(error) : Promise.resolve(on);
    });
    return { tried, end };
  };

  it('is made as a normal activity where that did not work', async () => {
    const { end } = failingLocally(ofActivity(BUSY));
    expect(await end).toBe('normal');
  });

  it('is not repeated where the answer would be the same', async () => {
    const { tried, end } = failingLocally(ofActivity(REFUSED));
    await expect(end).rejects.toMatchObject({ cause: REFUSED });
    expect(tried).toEqual(['local']);
  });
});

describe('a loop that is woken for nothing', () => {
  it('has no question that is over, and acts on no answer', async () => {
    const asking = new Asking('P1');
    expect([asking.isUnderWay, asking.isOver, asking.isWanted]).toEqual([false, false, false]);
    await asking.finish(() => Promise.reject(new Error('acted on an answer that nobody gave')));
    asking.cancel();
  });

  it('has no decision to carry out', async () => {
    const decisions = new Decisions<string, string>();
    expect(decisions.areWaiting).toBe(false);
    const act = () => Promise.reject(new Error('carried out what nobody decided'));
    expect(await decisions.carryOutNext(act)).toBeUndefined();
  });
});
