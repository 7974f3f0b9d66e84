import { join } from 'node:path';
import type { WorkflowBundlePath } from '@temporalio/worker';
import { workflowBundle } from '../../support';

/**
 * Builds of the workflow code, for tests of upgrades: the present one, one with the same workflows, and one that cannot
 * continue any run of the others.
 */
export const BUNDLES = {
  present: () => workflowBundle(),
  rebuilt: () => workflowBundle({ workflowsPath: join(__dirname, 'rebuilt.ts') }),
  incompatible: () => workflowBundle({ workflowsPath: join(__dirname, 'incompatible.ts') }),
} as const satisfies Record<string, () => Promise<WorkflowBundlePath>>;

export type BundleName = keyof typeof BUNDLES;
