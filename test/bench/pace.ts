import { setTimeout as sleep } from 'node:timers/promises';

/** Calls `act` with each number from 0, this many at a time: a new call starts when one has ended. */
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

/** Calls `act` with each number from 0, this many per second, whether the earlier calls have ended or not. */
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
    // A failure ends the run below, once all have started.
    going.catch(() => undefined);
    acts.push(going);
  }
  await Promise.all(acts);
}
