import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 500;

/** Looks about twice a second until `ending` settles, at least once. How it ends is for the caller to see. */
export async function lookUntil(ending: Promise<unknown>, look: () => Promise<void>): Promise<void> {
  const over = ending.then(
    () => true,
    () => true,
  );
  do await look();
  while (!(await Promise.race([over, sleep(LOOK_EVERY_MS, false, { ref: false })])));
}
