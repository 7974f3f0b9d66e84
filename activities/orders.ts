import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Logger } from 'pino';
import { PaymentError } from '../workflows/errors';
import type {
  OrderServiceQueueActivities,
  PaymentsQueueActivities,
  PostActivities,
} from '../workflows/messages';
import { POST_PAUSE_MS } from '../workflows/messages';
import { postponeUndelivered } from '../db/due';
import { logMessage } from '../db/order-log';
import type { LeasedMessage, Unleased } from '../db/order-messages';
import { leaseUndelivered, markTold, releaseLease } from '../db/order-messages';
import type { ActivityDependencies } from './dependencies';
import { signalOrder } from './order-workflow';
import { OnResultFailed } from './result-handler';
import { NotTaken } from './result-receiver';
import { TEMPORAL_DEADLINE_MS } from './temporal-calls';

/** How long after an activity's next attempt the follow-up takes over from it, ms. */
const OVERDUE_MS = 120_000;

/** Longer than one signal takes, but not by much: the result of a killed worker waits until its lease is over. */
const SIGNAL_LEASE_MS = 2 * TEMPORAL_DEADLINE_MS;
/** The same for a shop's receiver, which has 10 s. */
const RECEIVER_LEASE_MS = 15_000;

/** After this many failed attempts (about 15 minutes of follow-ups), a person must look at the order service. */
const ALERT_FROM = 5;

export function createOrderActivities(
  deps: ActivityDependencies,
): Pick<PaymentsQueueActivities, 'tellOrderService'> {
  return {
    async tellOrderService({ orderId }) {
      try {
        const { told, busyMs, isPaused = false } = await tellFromOutbox(deps, orderId);
        if (busyMs > 0 && !isPaused) throw isBeingTold(orderId, busyMs);
        return { told, isLeft: isPaused };
      } catch (error) {
        if (!(error instanceof NotTaken)) throw error;
        logUndelivered(deps.log, orderId, error);
        return { told: 0, isLeft: true };
      }
    },
  };
}

/** What a worker on queue `order-service` runs if the shop takes results directly. */
export function createPostActivities(deps: ActivityDependencies): PostActivities {
  return {
    async postResults({ orderId }) {
      const { attempt } = Context.current().info;
      const pauseMs = Math.min(POST_PAUSE_MS.first * 2 ** (attempt - 1), POST_PAUSE_MS.longest);
      await postponeUndelivered(deps.db, orderId, pauseMs + OVERDUE_MS);
      try {
        const { told, busyMs } = await tellFromOutbox(deps, orderId);
        if (busyMs > 0) throw isBeingTold(orderId, busyMs);
        return told;
      } catch (error) {
        if (!(error instanceof NotTaken)) throw error;
        logUndelivered(deps.log, orderId, error, attempt);
        throw ApplicationFailure.create({
          type: error.code,
          message: error.message,
          nextRetryDelay: Math.max(pauseMs, error.retryAfterMs ?? 0),
        });
      }
    },
  };
}

/** The order service's side, which a shop replaces with its own. */
export function createFulfillmentActivities({ db, log }: ActivityDependencies): OrderServiceQueueActivities {
  return {
    async actOnResult(message) {
      const first = await logMessage(db, message);
      const { messageId, orderId, outTradeNo, status } = message;
      log.info({ messageId, orderId, outTradeNo, status, repeated: !first }, 'payment result for order');
      return first;
    },
  };
}

/** What a call has told, and why it has not told all. */
export interface Delivered extends Unleased {
  told: number;
}

/**
 * Delivers what the order service has not been told about one order, oldest first, including what comes meanwhile.
 * Leaves alone what another caller is delivering. If the process dies between a delivery and its mark, the message is
 * delivered again, with the same `messageId`.
 *
 * @throws NotTaken, or the error of Temporal's client
 */
export async function tellFromOutbox(deps: ActivityDependencies, orderId: string): Promise<Delivered> {
  deps.receiver?.assertReachable();
  for (let told = 0; ; told += 1) {
    const leased = await leaseUndelivered(
      deps.db,
      orderId,
      deps.receiver ? RECEIVER_LEASE_MS : SIGNAL_LEASE_MS,
    );
    if ('busyMs' in leased) return { told, ...leased };
    const { hasMore } = await deliver(deps, leased);
    if (!hasMore) return { told: told + 1, busyMs: 0 };
  }
}

async function deliver(
  { db, temporal, receiver, metrics }: ActivityDependencies,
  { message, foundBy, paidAt }: LeasedMessage,
): Promise<{ hasMore: boolean }> {
  const { messageId } = message;
  try {
    if (receiver) await receiver.post(message);
    else await signalOrder(temporal, message);
  } catch (error) {
    const why = error instanceof PaymentError ? `${error.code}: ${error.message}` : 'TEMPORAL_UNAVAILABLE';
    // Best effort: without it the lease expires by itself.
    await releaseLease(db, messageId, { why, pauseMs: pauseAfter(error) }).catch(() => undefined);
    throw error;
  }
  const { toldAt, hasMore } = await markTold(db, messageId, receiver?.kind ?? 'signal');
  if (toldAt && paidAt && foundBy !== null) {
    // Two clocks, Alipay's and Postgres': nothing is told before it is paid.
    metrics.told({ path: foundBy, seconds: Math.max(0, toldAt.getTime() - paidAt.getTime()) / 1_000 });
  }
  return { hasMore };
}

/** How long to leave alone an order service that was reached, ms. If it was not reached, another worker may try at once. */
const pauseAfter = (error: unknown): number =>
  error instanceof NotTaken && error.wasSent ? Math.max(POST_PAUSE_MS.first, error.retryAfterMs ?? 0) : 0;

/** How long other work waits for the order service, ms. */
const AT_ONCE_MS = 1_000;

/** A sweep of thousands of orders must not open a connection for each to a slow shop. */
const MOST_UNAWAITED = 100;

/** Deliveries of this process that nobody waits for any more. */
let unawaited = 0;

/**
 * {@link tellFromOutbox} for callers that must not fail or wait long: returns false if it is not done after a second.
 * It then continues, and keeps its lease: a shop that takes seconds for a result must not get it twice.
 */
export async function tellOrder(deps: ActivityDependencies, orderId: string): Promise<boolean> {
  if (unawaited >= MOST_UNAWAITED) return false;
  const telling = tellFromOutbox(deps, orderId).then(
    ({ busyMs }) => busyMs === 0,
    (error: unknown) => {
      logUndelivered(deps.log, orderId, error);
      return false;
    },
  );
  const late = new AbortController();
  try {
    const isTold = await Promise.race([telling, sleep(AT_ONCE_MS, 'late' as const, { signal: late.signal })]);
    if (isTold !== 'late') return isTold;
  } finally {
    late.abort();
  }
  unawaited += 1;
  void telling.finally(() => (unawaited -= 1));
  return false;
}

/** Another call is handing over a result of this order, or its order service is left alone, for `busyMs` at most. */
const isBeingTold = (orderId: string, busyMs: number): ApplicationFailure =>
  ApplicationFailure.create({
    type: 'ORDER_SERVICE_BUSY',
    message: `A result of order ${orderId} is being sent by another call, or was not accepted a moment ago.`,
    nextRetryDelay: Math.ceil(busyMs) + 1,
    category: ApplicationFailureCategory.BENIGN,
  });

/** @param attempts how often a caller that keeps trying has tried */
export function logUndelivered(log: Logger, orderId: string, err: unknown, attempts = 1): void {
  const facts = {
    orderId,
    attempts,
    // The shop's own error, so that its developer sees it first.
    ...(err instanceof OnResultFailed ? { why: err.message, err: err.cause } : { err }),
    code: err instanceof PaymentError ? err.code : 'UNDELIVERED',
  };
  if (needsPerson(err, attempts)) log.error({ ...facts, alert: true }, 'the order service cannot be told');
  else log.warn(facts, 'order service not told yet; it is told again');
}

/** Whether waiting will not help: the order service refuses, or has been down for long. */
export const needsPerson = (error: unknown, attempts: number): boolean =>
  attempts >= ALERT_FROM || (error instanceof NotTaken && error.code !== 'ORDER_SERVICE_DOWN');
