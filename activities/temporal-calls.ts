import type { Client, ConnectionLike } from '@temporalio/client';
import { Connection, isGrpcCancelledError, isGrpcServiceError } from '@temporalio/client';
import {
  ExponentialBackoff,
  TaskCancelledError,
  TimeoutStrategy,
  handleWhen,
  retry,
  timeout,
} from 'cockatiel';

/** One call to Temporal ends after this, even inside a workflow task. */
export const TEMPORAL_DEADLINE_MS = 2_000;

/** gRPC's status codes. */
export const CODES = {
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export const codeOf = (error: unknown): number | undefined =>
  isGrpcServiceError(error) ? error.code : undefined;

/** Whether it has one of these gRPC codes: the error itself, or what the SDK wrapped in it. */
export function hasStatus(error: unknown, statuses: readonly number[]): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return [error, cause].some((one) => isGrpcServiceError(one) && statuses.includes(one.code));
}

type Callee = Pick<Client, 'withDeadline'> & { connection?: ConnectionLike };

/** A call to Temporal has timed out: what it asked for may or may not be done. */
class DeadlineExceeded extends Error {
  readonly code = CODES.deadlineExceeded;
  readonly details = 'Deadline exceeded';
  readonly metadata = {};
}

/**
 * Calls Temporal, and waits no longer than `ms`. A native connection applies a deadline to one attempt, up to the
 * headers of its response, and retries for 10 s (measured: 8 s became 16), so there our own timer decides.
 *
 * @throws a gRPC error with the code DEADLINE_EXCEEDED when the time is over
 */
export async function within<T>(temporal: Callee, ms: number, call: () => Promise<T>): Promise<T> {
  const callByDeadline = (): Promise<T> => temporal.withDeadline(Date.now() + ms, call);
  // Here one deadline covers all attempts, and an attempt that nobody awaits would throw once the connection is closed.
  if ((temporal.connection ?? temporal) instanceof Connection) return callByDeadline();
  try {
    return await timeout(ms, TimeoutStrategy.Aggressive).execute(callByDeadline);
  } catch (cause) {
    // A time-out of the native connection itself shows as CANCELLED.
    if (!(cause instanceof TaskCancelledError || isGrpcCancelledError(cause))) throw cause;
    throw new DeadlineExceeded(`Temporal did not finish within ${ms} ms`, { cause });
  }
}

/** A few calls to Temporal, which end after 5 s whatever happens. */
export const soon = <T>(temporal: Callee, call: () => Promise<T>): Promise<T> =>
  within(temporal, 5_000, call);

/**
 * A namespace that has no room for the search attributes, or that no worker has prepared yet, refuses them. Being
 * listed is not worth losing a payment, so it is started without them.
 */
export async function whereSearchable<T>(send: (searchable: boolean) => Promise<T>): Promise<T> {
  try {
    return await send(true);
  } catch (error) {
    // A start wraps the server's error, an update-with-start does not.
    const said = [error, (error as { cause?: unknown }).cause].map(String).join();
    if (!/search attribute/i.test(said)) throw error;
    return send(false);
  }
}

/**
 * An update for a run that is about to end is rejected (FAILED_PRECONDITION, "workflow not ready") if another message
 * arrives at the same moment. It then had no effect, or only effects that may be repeated.
 */
export const untilReady = retry(
  handleWhen((error) => codeOf(error) === CODES.failedPrecondition),
  { maxAttempts: 5, backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 1_000 }) },
);
