import type { TaskQueue } from '../../workflows/messages';
import { TASK_QUEUES } from '../../workflows/messages';
import type { Home } from '../../worker/pollers';
import { QUEUE_TYPES, describeQueue } from '../../worker/pollers';
import type { Found } from './examination';
import { Fault } from './examination';

/**
 * Whether workers serve the builds to which runs are sent. Without Worker Versioning there is nothing to check.
 *
 * @throws Fault if no worker serves the current or ramping version of a queue, or a version to which runs are pinned
 */
export async function testDeployment(home: Home): Promise<Found> {
  const queues = await Promise.all(Object.values(TASK_QUEUES).map((queue) => versionsOf(home, queue)));
  const served = new Set(queues.flatMap(({ polled }) => polled));
  const wanted = [...new Set(queues.flatMap(({ routed }) => routed))];
  if (wanted.length === 0) {
    if (served.size === 0) return { says: 'workers are not versioned' };
    return {
      says: `${[...served].join(', ')} polls but is not current: it gets no work`,
      advice: 'Run: temporal worker deployment set-current-version (docs/upgrades.md)',
    };
  }
  const deserted = wanted.filter((version) => !served.has(version));
  if (deserted.length > 0) {
    throw new Fault(
      `no worker polls as ${deserted.join(', ')}, where new payments go`,
      'Start workers of that build, or make another one current: temporal worker deployment set-current-version',
    );
  }
  const names = new Set(wanted.map((version) => version.split(':')[0] ?? ''));
  const stranded = (await Promise.all([...names].map((name) => findStranded(home, name, served)))).flat();
  if (stranded.length > 0) {
    throw new Fault(
      `${stranded.join(', ')}, and no worker of that build is running`,
      'Start workers of that build until they are done, or move the runs (docs/upgrades.md).',
    );
  }
  return { says: `current: ${wanted.join(', ')}` };
}

/** The versions to which a queue's tasks are routed, and those as which workers poll it. */
async function versionsOf(home: Home, queue: TaskQueue): Promise<{ routed: string[]; polled: string[] }> {
  const found = await Promise.all(QUEUE_TYPES.map((type) => describeQueue(home, queue, type)));
  const routed = found.flatMap(({ versioningInfo }) => [
    ...nameOf(versioningInfo?.currentDeploymentVersion),
    ...nameOf(versioningInfo?.rampingDeploymentVersion),
  ]);
  const pollers = found.flatMap((queueOfType) => queueOfType.pollers);
  return { routed, polled: pollers.flatMap(({ deploymentOptions }) => nameOf(deploymentOptions)) };
}

/** The name as in the search attribute `TemporalWorkerDeploymentVersion`; empty if it is not versioned. */
function nameOf(
  version: { deploymentName?: string | null; buildId?: string | null } | null | undefined,
): string[] {
  return version?.deploymentName && version.buildId ? [`${version.deploymentName}:${version.buildId}`] : [];
}

/** The runs pinned to builds that have no worker left, in words. */
async function findStranded(
  { connection, namespace }: Home,
  deploymentName: string,
  served: ReadonlySet<string>,
): Promise<string[]> {
  const { workerDeploymentInfo } = await connection.workflowService.describeWorkerDeployment({
    namespace,
    deploymentName,
  });
  const versions = (workerDeploymentInfo?.versionSummaries ?? []).flatMap(({ deploymentVersion }) =>
    nameOf(deploymentVersion),
  );
  const counted = await Promise.all(
    versions
      .filter((version) => !served.has(version))
      .map(async (version) => {
        const query = `TemporalWorkerDeploymentVersion = "${version}" AND ExecutionStatus = "Running"`;
        const { count } = await connection.workflowService.countWorkflowExecutions({ namespace, query });
        return { version, count: Number(count) };
      }),
  );
  return counted
    .filter(({ count }) => count > 0)
    .map(({ version, count }) => `${count} run${count === 1 ? ' is' : 's are'} pinned to ${version}`);
}
