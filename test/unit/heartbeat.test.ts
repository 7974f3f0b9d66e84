import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import type { Info } from '@temporalio/activity';
import { MockActivityEnvironment } from '@temporalio/testing';
import { keepProgress, withHeartbeats } from '../../activities/heartbeat';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** The details of each heartbeat of an activity that records progress at the given times, ms, and ends after 12 s. */
async function beats(progress: Record<number, unknown>, attempt: Partial<Info> = {}) {
  const said: unknown[] = [];
  const environment = new MockActivityEnvironment({ heartbeatTimeoutMs: 15_000, ...attempt });
  environment.on('heartbeat', (details: unknown) => said.push(details));
  const { work } = withHeartbeats({
    work: async () => {
      for (let at = 1_000; at <= 12_000; at += 1_000) {
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        if (at in progress) keepProgress(progress[at]);
      }
    },
  });
  const working = environment.run(work);
  await jest.advanceTimersByTimeAsync(20_000);
  await working;
  return said;
}

it('an activity beats three times within its heartbeat time-out, until it ends', async () => {
  expect(await beats({})).toHaveLength(2);
  expect(await beats({}, { heartbeatTimeoutMs: 7_500 })).toHaveLength(4);
});

it('a beat says the last progress again: it replaces what was said before', async () => {
  expect(await beats({ 1_000: 'one', 6_000: 'two' })).toEqual(['one', 'one', 'two', 'two']);
});

it('a beat of a later attempt says what the earlier one had done, until it has done more', async () => {
  expect(await beats({ 7_000: 'two' }, { heartbeatDetails: 'one' })).toEqual(['one', 'two', 'two']);
});
