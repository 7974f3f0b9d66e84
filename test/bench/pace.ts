import { setTimeout as sleep } from 'node:timers/promises';

/** Does something for each number from 0, so many at a time: a new one begins when one has ended. */
export async function inLanes(
  count: number,
  lanes: number,
  act: (index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: Math.min(lanes, count) }, lane));
}

/** Does something for each number from 0, so many a second, whether the ones before have ended or not. */
export async function atRate(
  count: number,
  perSecond: number,
  act: (index: number) => Promise<unknown>,
): Promise<void> {
  const startedAt = performance.now();
  const acts: Promise<unknown>[] = [];
  for (let index = 0; index < count; index += 1) {
    const wait = startedAt + (index * 1000) / perSecond - performance.now();
    if (wait > 0) await sleep(wait);
    const going = act(index);
    // Whoever fails ends the run below, once all have begun.
    going.catch(() => undefined);
    acts.push(going);
  }
  await Promise.all(acts);
}
