import { Context } from '@temporalio/activity';

/** Heartbeat time-outs of 15 s leave room for two lost beats. */
const EVERY_MS = 5_000;

/**
 * Lets every activity beat while it runs, so that the server sees within seconds, not at the end of its whole time,
 * that a worker was killed; and so that a cancellation reaches it.
 */
export function withHeartbeats<A extends object>(activities: A): A {
  return Object.fromEntries(
    Object.entries(activities).map(([name, run]: [string, (...args: unknown[]) => Promise<unknown>]) => [
      name,
      async (...args: unknown[]) => {
        const context = Context.current();
        const beat = setInterval(() => context.heartbeat(), EVERY_MS);
        try {
          return await run(...args);
        } finally {
          clearInterval(beat);
        }
      },
    ]),
  ) as A;
}
