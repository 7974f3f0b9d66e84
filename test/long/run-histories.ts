import type { History } from '@temporalio/common/lib/proto-utils';
import type { Shop } from '../support';

export interface RunHistory {
  workflowId: string;
  runId: string;
  events: NonNullable<History['events']>;
}

/** A message came while the task was worked on: the task is simply made again. As the gRPC interface numbers it. */
const UNHANDLED_COMMAND = 1;

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

/** The bundles whose workers completed tasks of a run; each bundle has a hash of its own. */
export function bundlesIn({ events }: RunHistory): Set<string> {
  const ids = events.map(
    ({ workflowTaskCompletedEventAttributes: completed }) => completed?.workerVersion?.buildId,
  );
  return new Set(ids.filter((id): id is string => typeof id === 'string' && id !== ''));
}

/** The build ids of the Worker Deployment whose workers completed tasks of a run. */
export function buildsIn({ events }: RunHistory): string[] {
  const ids = events.map(
    ({ workflowTaskCompletedEventAttributes: completed }) => completed?.deploymentVersion?.buildId,
  );
  return [...new Set(ids.filter((id): id is string => typeof id === 'string' && id !== ''))];
}
