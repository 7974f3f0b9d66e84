import { isCancellation, log, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import { failureType } from './failures';
import { followUpInWords } from './in-words';
import type {
  AlipayQueueActivities,
  FollowUpKind,
  FollowUpReport,
  KindReport,
  PaymentsQueueActivities,
} from './messages';
import { FOLLOW_UP_KINDS, TASK_QUEUES } from './messages';
import { measureFollowUp } from './metrics';

/**
 * An activity starts no new work after 20 s; finishing what it has started takes a few more calls. A process that cannot do the
 * work fails the activity, and another takes over. All this ends soon enough not to delay the next follow-ups for long.
 */
const TIME_BOX = {
  startToCloseTimeout: '45s',
  scheduleToCloseTimeout: '60s',
  retry: { initialInterval: '1s', backoffCoefficient: 1, maximumAttempts: 5 },
} as const;

const { tellUndelivered, wakeUnrecorded, watchUnwatched, attendUnattended, startRefunds } =
  proxyActivities<PaymentsQueueActivities>({ ...TIME_BOX, taskQueue: TASK_QUEUES.payments });

const { askSlowly, closeLeftovers, recheckClosed } = proxyActivities<AlipayQueueActivities>({
  ...TIME_BOX,
  taskQueue: TASK_QUEUES.alipay,
  heartbeatTimeout: '15s',
});

const ACTIVITIES: Readonly<Record<FollowUpKind, () => Promise<KindReport>>> = {
  undelivered: tellUndelivered,
  unrecorded: wakeUnrecorded,
  slowChecks: askSlowly,
  unwatched: watchUnwatched,
  unattended: attendUnattended,
  leftovers: closeLeftovers,
  rechecks: recheckClosed,
  refunds: startRefunds,
};

/**
 * Does all work that the rows show to be due, each kind in its own activity, in parallel. If one fails, the others are
 * still done, and the next follow-up tries it again.
 */
export async function followUp(): Promise<FollowUpReport> {
  const report: Partial<FollowUpReport> = {};
  setCurrentDetails(followUpInWords(report));
  await Promise.all(
    FOLLOW_UP_KINDS.map(async (kind) => {
      report[kind] = await attempt(kind);
      setCurrentDetails(followUpInWords(report));
    }),
  );
  measureFollowUp(Date.now());
  return report as FollowUpReport;
}

async function attempt(kind: FollowUpKind): Promise<KindReport | null> {
  try {
    return await ACTIVITIES[kind]();
  } catch (error) {
    if (isCancellation(error)) throw error;
    log.warn('a kind of follow-up failed as a whole', { kind, code: failureType(error) ?? 'TIMEOUT' });
    return null;
  }
}
