import { ActivityCancellationType, proxyActivities, proxyLocalActivities } from '@temporalio/workflow';
import type { AlipayQueueActivities, PaymentsQueueActivities } from '../activities';
import { TASK_QUEUES } from './messages';

// The activities as workflows call them: one proxy for each kind of effect, each with its reason.

/** Activities of queue `alipay` beat every 5 s: a killed worker is noticed after this, not after their whole time. */
const HEARTBEAT_TIMEOUT = '15s';

// Inside a workflow task that happens anyway, tried once. All of one task together, one ask, one record and one telling
// at most, stay within 80 % of WORKFLOW_TASK_TIMEOUT: from there on the SDK asks the server for more time.

/** The fast path of a query. */
export const askAtOnce = proxyLocalActivities<PaymentsQueueActivities>({
  startToCloseTimeout: '1200ms',
  retry: { maximumAttempts: 1 },
});

/** A read or an idempotent write of Postgres, or a signal to the order service. */
export const atOnce = proxyLocalActivities<PaymentsQueueActivities>({
  startToCloseTimeout: '1s',
  retry: { maximumAttempts: 1 },
});

// Normal activities, where it has to be done for sure.

/**
 * The safe path of a query. A read: repeating it is safe. Three asks, then the answer is unknown. 45 s hold the wait
 * for a place under the quota (30 s) and one call.
 */
export const askSafely = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '45s',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: {
    initialInterval: '2s',
    backoffCoefficient: 2,
    maximumAttempts: 3,
    // Asking at once again cannot help: nothing is asked, or the same is answered.
    nonRetryableErrorTypes: ['ALIPAY_DOWN', 'ALIPAY_BUSY', 'ALIPAY_MISCONFIGURED', 'ALIPAY_REFUSED'],
  },
  // A paid notification cancels the ask, and goes on at once; the activity hears of it at its next beat.
  cancellationType: ActivityCancellationType.TRY_CANCEL,
  summary: 'ask Alipay, the safe path',
});

/** Reads and idempotent writes of Postgres: they are tried until they are done. */
export const surely = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', maximumInterval: '1 minute' },
});

/** The order service may be told later by the sweep, so this ends. */
export const tellSurely = proxyActivities<PaymentsQueueActivities>({
  taskQueue: TASK_QUEUES.payments,
  startToCloseTimeout: '15s',
  retry: { initialInterval: '1s', maximumInterval: '30s', maximumAttempts: 6 },
});

/**
 * A refund is repeated under its fixed `out_request_no` until it is proven, or refused and given to a person; through
 * an outage of the gateway, too.
 */
export const refundSurely = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '10s', backoffCoefficient: 2, maximumInterval: '10 minutes' },
  summary: 'refund',
});

/** Work order by order, each safe to repeat; what is not done is left to the next sweep. */
export const sweepSurely = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '30 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '2s', maximumAttempts: 5 },
});

/** A person waits for the end of it, so it ends soon, one way or the other. */
export const forPerson = proxyActivities<AlipayQueueActivities>({
  taskQueue: TASK_QUEUES.alipay,
  startToCloseTimeout: '2 minutes',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', maximumAttempts: 5 },
});
