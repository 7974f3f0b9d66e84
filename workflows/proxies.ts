import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { ErrorCode } from './errors';
import type { AlipayQueueActivities, PaymentsQueueActivities } from './messages';
import { TASK_QUEUES, chunkTimeoutMs } from './messages';

// The activities as workflows call them: one proxy for each kind of effect, each with its reason.

/** Activities of queue `alipay` beat every 5 s: a killed worker is noticed after this, not after their whole time. */
const HEARTBEAT_TIMEOUT = '15s';

/** The errors by which the server must not repeat an activity: the same attempt would end the same. */
const final = (...codes: ErrorCode[]): string[] => codes;

/**
 * A read or an idempotent write of Postgres, and telling the order service: inside a workflow task that happens anyway,
 * tried once. It stays within 80 % of WORKFLOW_TASK_TIMEOUT_MS: from there on the SDK asks the server for more time.
 */
export const locally = proxyLocalActivities<PaymentsQueueActivities>({
  startToCloseTimeout: '2500ms',
  retry: { maximumAttempts: 1 },
});

/** The same as normal activities, tried until they are done. */
export const untilDone = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', maximumInterval: '1 minute' },
});

/** The order service may be told later by the follow-up, so this ends. */
export const tellForAMinute = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', maximumInterval: '30s', maximumAttempts: 6 },
});

/**
 * One question. A worker that cannot reach Alipay fails it with ALIPAY_DOWN, and the server gives it to another worker;
 * each attempt must find a worker soon, or the check is postponed. 45 s hold the wait for a slot under the quota (30 s)
 * and one call.
 */
export const askAlipay = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  scheduleToStartTimeout: '10s',
  startToCloseTimeout: '45s',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: {
    initialInterval: '1s',
    backoffCoefficient: 1,
    maximumAttempts: 6,
    nonRetryableErrorTypes: final('ALIPAY_BUSY', 'ALIPAY_MISCONFIGURED', 'ALIPAY_REFUSED'),
  },
  // A paid notification cancels the ask, and goes on at once; the activity hears of it at its next beat.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  summary: 'ask Alipay',
});

/**
 * A refund is repeated under its fixed `out_request_no` until it is proven, or refused and given to a person; through
 * an outage of the gateway, too.
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
 * Work order by order, each safe to repeat; what is not done is left to the next sweep. A worker that cannot reach Alipay
 * fails it with ALIPAY_DOWN, and the server gives it to another one a second later.
 */
export const closeExpired = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: chunkTimeoutMs(1),
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', backoffCoefficient: 1, maximumAttempts: 8 },
});

/** A person waits for the end of it, so it ends soon, one way or the other. */
export const forPerson = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', maximumAttempts: 5 },
});
