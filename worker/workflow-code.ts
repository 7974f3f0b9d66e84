import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DataConverter } from '@temporalio/common';
import type { BundleOptions, WorkflowBundleOption, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { DefaultLogger, bundleWorkflowCode } from '@temporalio/worker';
import { version } from '@temporalio/worker/package.json';
import type { Logger } from './log';
import { ENCRYPTED_FAILURES } from './payload-codec';
import type { Tracing } from './tracing';
import { tracedWorkflowModules } from './tracing';

/** What distinguishes the bundles of the workflow code. */
export interface Shape {
  /** Whether it contains OpenTelemetry's interceptors. */
  traced: boolean;
  /** Whether messages and stacks of failures are put where the payload codec encrypts them. */
  encrypted: boolean;
}

/** All possible ones. */
export const SHAPES: readonly Shape[] = [false, true].flatMap((traced) =>
  [false, true].map((encrypted) => ({ traced, encrypted })),
);

/** The one that fits a worker's settings. */
export const shapeFor = (dataConverter?: DataConverter, tracing?: Tracing): Shape => ({
  traced: tracing !== undefined,
  encrypted: dataConverter?.failureConverterPath !== undefined,
});

/**
 * Where the built package has a prebuilt bundle; the sources have none. Its name contains the SDK's version: a project
 * may force another version upon the package, which must not run this bundle.
 */
export function fileOfBundle({ traced, encrypted }: Shape): string {
  const name = ['workflows', version, ...(traced ? ['traced'] : []), ...(encrypted ? ['encrypted'] : [])];
  return join(__dirname, 'bundles', `${name.join('-')}.js`);
}

/** The prebuilt bundle, if there is one: bundling takes longer than the rest of a worker's start. */
export async function workflowCode(shape: Shape, log: Logger): Promise<WorkflowBundleOption> {
  const codePath = fileOfBundle(shape);
  return existsSync(codePath) ? { codePath } : bundleWorkflows(shape, log);
}

/**
 * Bundles the workflow code, from TypeScript or from the built package. Its modules are evaluated once for all runs of
 * a thread, so they must keep no state of a run: once per run took 2 ms of CPU a payment and 80 KB a run (measured).
 */
export function bundleWorkflows(
  { traced, encrypted }: Shape,
  log: Logger,
  {
    workflowsPath = require.resolve('../workflows'),
    ...options
  }: Partial<Pick<BundleOptions, 'webpackConfigHook' | 'workflowsPath'>> = {},
): Promise<WorkflowBundleWithSourceMap> {
  return bundleWorkflowCode({
    workflowsPath,
    preloadModules: [workflowsPath],
    workflowInterceptorModules: traced ? tracedWorkflowModules() : [],
    ...(encrypted && { failureConverterPath: ENCRYPTED_FAILURES }),
    // webpack's report about each module is not worth logging.
    logger: new DefaultLogger('WARN', ({ message }) => log.warn(message)),
    ...options,
  });
}
