import type { History } from '@temporalio/common/lib/proto-utils';

type Event = NonNullable<History['events']>[number];

/**
 * How many Actions Temporal Cloud bills for a run, counted from its history as the documentation says
 * (https://docs.temporal.io/evaluate/cloud/actions). Queries, heartbeats, and retries of local activities are not in a
 * history, so not counted here.
 */
export function actionsOf({ events }: Pick<History, 'events'>): number {
  const all = events ?? [];
  const count = (of: (event: Event) => unknown): number => all.filter(of).length;
  // A signal-with-start is one Action, whether it starts a run or not.
  const startedBySignal = Boolean(all[1]?.workflowExecutionSignaledEventAttributes);
  // All local activities of one workflow task together are one Action.
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
