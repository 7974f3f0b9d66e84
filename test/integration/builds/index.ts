import { join } from 'node:path';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';

/**
 * Builds of the workflow code, for tests of upgrades: the present one, one with the same workflows, and one that cannot
 * carry on a single run of the others.
 */
export const BUNDLES = {
  present: once(() => bundle('../../../workflows')),
  rebuilt: once(() => bundle('rebuilt.ts')),
  incompatible: once(() => bundle('incompatible.ts')),
} as const satisfies Record<string, () => Promise<WorkflowBundleWithSourceMap>>;

export type BundleName = keyof typeof BUNDLES;

function bundle(workflows: string): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath: join(__dirname, workflows),
    logger: new DefaultLogger('ERROR'),
  });
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
