import type { WorkerOptions } from '@temporalio/worker';
import type { Config } from './config';

/**
 * PINNED, all workflows: a run ends on the build that began it, whatever the next build changes. Most runs take minutes,
 * a sweep seconds; what waits for a person may be moved by hand (docs/upgrades.md). AUTO_UPGRADE would save the old build
 * some hours and want every change of a workflow patched, which is what those who are not versioned do anyway.
 */
const BEHAVIOUR = 'PINNED';

/** What a worker must know of its own build: its version, and the patches that it does not take yet. */
export function buildOptions(
  { version, heldPatches }: Config['build'] = { heldPatches: [] },
): WorkerOptionsOfBuild {
  return {
    ...(version && {
      workerDeploymentOptions: { version, useWorkerVersioning: true, defaultVersioningBehavior: BEHAVIOUR },
    }),
    ...(heldPatches.length > 0 && {
      patchActivationCallback: ({ patchId }) =>
        !heldPatches.includes(patchId) && !heldPatches.includes(ALL_PATCHES),
    }),
  };
}

type WorkerOptionsOfBuild = Pick<WorkerOptions, 'workerDeploymentOptions' | 'patchActivationCallback'>;

const ALL_PATCHES = 'all';

/** The same for the log. */
export function buildInWords({ version, heldPatches }: Config['build']): Record<string, unknown> {
  return {
    ...(version && { ...version, versioningBehavior: BEHAVIOUR }),
    ...(heldPatches.length > 0 && { heldPatches }),
  };
}
