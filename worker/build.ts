import type { WorkerOptions } from '@temporalio/worker';
import type { Config } from './config';

/**
 * PINNED, all workflows: a run ends on the build that began it, whatever the next build changes. Most runs take minutes,
 * a sweep seconds; what waits for a person may be moved by hand (docs/upgrades.md). AUTO_UPGRADE would save the old build
 * some hours, and would let a run meet code that its history does not fit.
 */
const BEHAVIOUR = 'PINNED';

/** What a worker must know of its own build, where it has a version. */
export function buildOptions({ deploymentName, buildId }: Config['build'] = {}): Pick<
  WorkerOptions,
  'workerDeploymentOptions'
> {
  if (deploymentName === undefined || buildId === undefined) return {};
  const version = { deploymentName, buildId };
  return {
    workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: BEHAVIOUR },
  };
}

/** The same for the log. */
export function buildInWords(build: Config['build']): Record<string, unknown> {
  const options = buildOptions(build).workerDeploymentOptions;
  return options ? { ...options.version, versioningBehavior: BEHAVIOUR } : {};
}
