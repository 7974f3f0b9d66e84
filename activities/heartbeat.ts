import { Context } from '@temporalio/activity';

/** The worker sends heartbeats at most this often; without this limit, only after 80 % of the heartbeat time-out. */
export const SHORTEST_BEAT_MS = 2_000;

/** The last progress that each running activity reported. */
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
 * Makes every activity heartbeat while it runs, so the server notices a killed worker within seconds, not only at the
 * activity's time-out, and a cancellation reaches it. A heartbeat replaces the details of the previous one, so each
 * repeats the last progress.
 */
export function withHeartbeats<A extends object>(activities: A): A {
  return Object.fromEntries(
    Object.entries(activities).map(([name, run]: [string, (...args: unknown[]) => Promise<unknown>]) => [
      name,
      async (...args: unknown[]) => {
        const context = Context.current();
        kept.set(context, context.info.heartbeatDetails);
        // Two heartbeats may be lost.
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
