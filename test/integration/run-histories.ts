import type { History } from '@temporalio/common/lib/proto-utils';
import type { Shop } from '../support';

export interface RunHistory {
  workflowId: string;
  runId: string;
  events: NonNullable<History['events']>;
}

// As the gRPC interface numbers them.
/** A message came while the task was worked on: the task is simply made again. */
const UNHANDLED_COMMAND = 1;
const NON_DETERMINISM = 24;

/** The histories of every run of these workflows. */
export async function historiesOf({ temporal }: Shop, workflowIds: string[]): Promise<RunHistory[]> {
  const ids = workflowIds.map((id) => `'${id}'`).join(', ');
  const found: RunHistory[] = [];
  for await (const { workflowId, runId } of temporal.workflow.list({ query: `WorkflowId IN (${ids})` })) {
    const { events } = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
    found.push({ workflowId, runId, events: events ?? [] });
  }
  return found;
}

/** The workflow tasks that failed by the fault of a worker, in words. */
export function failedTasks(histories: RunHistory[]): string[] {
  return histories.flatMap(({ workflowId, events }) =>
    events.flatMap(({ workflowTaskFailedEventAttributes: failed }) =>
      failed && Number(failed.cause) !== UNHANDLED_COMMAND
        ? [`${workflowId}: ${failed.failure?.message ?? ''} (${failed.cause})`]
        : [],
    ),
  );
}

/** How many workflow tasks failed since the code did not fit the history. */
export function countNonDeterminism(histories: RunHistory[]): number {
  return histories
    .flatMap(({ events }) => events)
    .filter(({ workflowTaskFailedEventAttributes: failed }) => Number(failed?.cause) === NON_DETERMINISM)
    .length;
}

/** The bundles whose workers completed tasks of a run; each bundle has a hash of its own. */
export function bundlesIn({ events }: RunHistory): Set<string> {
  const ids = events.map(
    ({ workflowTaskCompletedEventAttributes: completed }) => completed?.workerVersion?.buildId,
  );
  return new Set(ids.filter((id): id is string => typeof id === 'string' && id !== ''));
}

/** Whether the run took this patched change. */
export function tookPatch({ events }: RunHistory, patchId: string): boolean {
  return events.some(({ markerRecordedEventAttributes: marker }) => {
    const data = marker?.details?.['patch-data']?.payloads?.[0]?.data;
    return data != null && Buffer.from(data).toString().includes(patchId);
  });
}

/** The build ids of the Worker Deployment whose workers completed tasks of a run. */
export function buildsIn({ events }: RunHistory): string[] {
  const ids = events.map(
    ({ workflowTaskCompletedEventAttributes: completed }) => completed?.deploymentVersion?.buildId,
  );
  return [...new Set(ids.filter((id): id is string => typeof id === 'string' && id !== ''))];
}
