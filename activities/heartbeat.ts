import { Context } from '@temporalio/activity';

/** The worker sends no beat sooner than this after another; without it, only after 80 % of the heartbeat time-out. */
export const SHORTEST_BEAT_MS = 2_000;

/** What each running activity said last of its progress. */
const kept = new WeakMap<Context, unknown>();

/**
 * Reports the progress of the current activity, which its next attempt, perhaps on another worker, finds in
 * `info.heartbeatDetails`. Call it with a value that does not change afterwards.
 */
export function keepProgress(progress: unknown): void {
  const context = Context.current();
  kept.set(context, progress);
  context.heartbeat(progress);
}

/**
 * Makes every activity beat while it runs, so that the server notices a killed worker within seconds, not at the end of the
 * activity's time-out, and so that a cancellation reaches it. A beat replaces the details of the previous one, so each
 * repeats the last progress.
 */
export function withHeartbeats<A extends object>(activities: A): A {
  return Object.fromEntries(
    Object.entries(activities).map(([name, run]: [string, (...args: unknown[]) => Promise<unknown>]) => [
      name,
      async (...args: unknown[]) => {
        const context = Context.current();
        kept.set(context, context.info.heartbeatDetails);
        // Two beats may be lost.
        const everyMs = (context.info.heartbeatTimeoutMs ?? 3 * SHORTEST_BEAT_MS) / 3;
        const beat = setInterval(() => context.heartbeat(kept.get(context)), everyMs);
        try {
          return await run(...args);
        } finally {
          clearInterval(beat);
        }
      },
    ]),
  ) as A;
}
