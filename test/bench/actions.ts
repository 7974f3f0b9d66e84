import type { History } from '@temporalio/common/lib/proto-utils';

type Event = NonNullable<History['events']>[number];

/**
 * How many Actions Temporal Cloud would bill for a run, as its documentation counts them from a history
 * (https://docs.temporal.io/evaluate/cloud/actions). Not in a history, and not counted here: queries, heartbeats, and
 * retries of local activities.
 */
export function actionsOf({ events }: Pick<History, 'events'>): number {
  const all = events ?? [];
  const count = (of: (event: Event) => unknown): number => all.filter(of).length;
  // A signal-with-start is one Action, whether or not it starts a run.
  const startedBySignal = Boolean(all[1]?.workflowExecutionSignaledEventAttributes);
  // All local activities of one workflow task are one Action together.
  const tasksWithMarkers = new Set(
    all.flatMap(({ markerRecordedEventAttributes: marker }) =>
      marker ? [String(marker.workflowTaskCompletedEventId)] : [],
    ),
  );
  const retries = all.reduce(
    (sum, { activityTaskStartedEventAttributes: started }) => sum + Math.max(0, (started?.attempt ?? 1) - 1),
    0,
  );
  return (
    count((event) => event.workflowExecutionStartedEventAttributes) -
    (startedBySignal ? 1 : 0) +
    count((event) => event.workflowExecutionSignaledEventAttributes) +
    count((event) => event.workflowExecutionUpdateAcceptedEventAttributes) +
    count((event) => event.upsertWorkflowSearchAttributesEventAttributes) +
    count((event) => event.timerStartedEventAttributes) +
    count((event) => event.activityTaskScheduledEventAttributes) +
    retries +
    tasksWithMarkers.size
  );
}
