import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { ErrorCode } from './errors';
import { isFinal } from './failures';
import type { AlipayQueueActivities, PaymentsQueueActivities, PostActivities } from './messages';
import { POST_PAUSE_MS, TASK_QUEUES, chunkTimeoutMs } from './messages';

// The activities as workflows call them: one proxy for each kind of effect, with the reason for its settings.

/** Activities on queue `alipay` heartbeat: a killed worker is noticed after this, not only at their time-out. */
const HEARTBEAT_TIMEOUT = '15s';

/** The errors after which the server must not retry an activity: the next attempt would end the same way. */
const final = (...codes: ErrorCode[]): string[] => codes;

/**
 * Reads from Postgres, idempotent writes to it, and telling the order service: tried once, inside a workflow task that
 * happens anyway. It stays within 80 % of WORKFLOW_TASK_TIMEOUT_MS, after which the SDK asks the server for more time.
 */
const locally = proxyLocalActivities<PaymentsQueueActivities>({
  startToCloseTimeout: '2500ms',
  retry: { maximumAttempts: 1 },
});

/** The same as normal activities, retried until they succeed. */
export const untilDone = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', maximumInterval: '1 minute' },
});

/** Calls an activity locally or, if that fails, as a normal one. */
export const firstLocally =
  <A>(local: A, normal: A) =>
  async <T>(call: (activities: A) => Promise<T>): Promise<T> => {
    try {
      return await call(local);
    } catch (error) {
      if (isFinal(error)) throw error;
      return call(normal);
    }
  };

/** {@link locally}, else {@link untilDone}. */
export const locallyOrUntilDone = firstLocally<PaymentsQueueActivities>(locally, untilDone);

/** It may give up: the follow-up can tell the order service later. */
export const tellForAMinute = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', maximumInterval: '30s', maximumAttempts: 6 },
});

/** Whichever worker can posts what the shop has not taken; after three days the follow-up takes over. */
export const postForDays = proxyActivities<PostActivities>({
  taskQueue: TASK_QUEUES.orderService,
  startToCloseTimeout: '1 minute',
  scheduleToCloseTimeout: '3 days',
  retry: {
    initialInterval: POST_PAUSE_MS.first,
    backoffCoefficient: 2,
    maximumInterval: POST_PAUSE_MS.longest,
  },
  summary: 'post to the order service',
});

/**
 * One question. A worker that cannot reach Alipay fails it with ALIPAY_DOWN, and the server gives it to another worker;
 * each attempt must find a worker soon, or the check is postponed. 45 s is enough to wait for a slot under the quota
 * (30 s) and make one call.
 */
export const askAlipay = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  scheduleToStartTimeout: '10s',
  startToCloseTimeout: '45s',
  // A killed worker delays a payment by this much. If one merely stalls for longer, the question is asked twice.
  heartbeatTimeout: '6s',
  retry: {
    initialInterval: '1s',
    backoffCoefficient: 1,
    maximumAttempts: 6,
    nonRetryableErrorTypes: final('ALIPAY_BUSY', 'ALIPAY_MISCONFIGURED', 'ALIPAY_REFUSED'),
  },
  // A notification of payment cancels the question without waiting; the activity learns of it at its next heartbeat.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  summary: 'ask Alipay',
});

/**
 * A refund is requested again under its fixed `out_request_no` until it is proven, refused or handed to a person, even
 * through an outage of the gateway. The activity sets the time (`nextRetryDelay`) when it knows better.
 */
export const refundUntilProven = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '10s', backoffCoefficient: 2, maximumInterval: '10 minutes' },
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  summary: 'refund',
});

/**
 * Works order by order, each safe to repeat; what is not done is left to the next sweep. A worker that cannot reach
 * Alipay fails it with ALIPAY_DOWN, and the server gives it to another one a second later. After its circuit opens,
 * such a worker takes one more task for each of its ten polls; there are more attempts than that.
 */
export const closeExpired = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: chunkTimeoutMs(1),
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', backoffCoefficient: 1, maximumAttempts: 12 },
});

/**
 * A bill of a million lines takes two minutes. A partial or late bill is requested again; one that does not add up is
 * not. A worker without its merchant leaves it to another.
 */
export const fetchOnce = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '20 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: {
    initialInterval: '2s',
    maximumInterval: '1 minute',
    maximumAttempts: 5,
    nonRetryableErrorTypes: final('ALIPAY_MISCONFIGURED'),
  },
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  summary: 'fetch the bill',
});

/** Reads whole tables. */
export const compareWhole = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15 minutes',
  retry: { initialInterval: '5s', maximumAttempts: 5 },
  summary: 'compare with the tables',
});

/** An audit of all orders may take minutes. What cannot be read now is left to the next audit. */
export const auditOnce = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '30 minutes',
  scheduleToCloseTimeout: '45 minutes',
  retry: { initialInterval: '10s', maximumAttempts: 3 },
  summary: 'audit the tables',
});

/** Starts nothing new after 20 s; the next call does the rest. */
export const repairSome = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '2s', maximumAttempts: 6 },
  summary: 'repair',
});

/** A person waits for it, so it ends soon, one way or the other. */
export const forPerson = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', maximumAttempts: 5 },
});
