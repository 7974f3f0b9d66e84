import type { WorkerOptions } from '@temporalio/worker';
import type { Config } from './config';

/**
 * PINNED for all workflows: a run ends on the build on which it began, whatever the next build changes. Most runs take
 * minutes, a sweep seconds; runs that wait for a person can be moved by hand (docs/upgrades.md). AUTO_UPGRADE would let
 * the old build stop some hours earlier, but a run could then meet code that does not fit its history.
 */
const BEHAVIOUR = 'PINNED';

/** What a worker must know about its own build, if it has a version. */
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
