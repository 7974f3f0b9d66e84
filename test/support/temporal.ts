import { join } from 'node:path';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundleWithSourceMap } from '@temporalio/worker';
import { registerSearchAttributes } from '../../sandbox/dev/search-attributes';
import { surroundings } from './surroundings';

/** `host:port` of the real Temporal server of this run. */
export function temporalAddress(): string {
  return surroundings('servers').temporalAddress;
}

/** Path of the Temporal CLI, for tests that do what an operator does. */
export function temporalCli(): string {
  return surroundings('servers').temporalCli;
}

/** A new time-skipping server, knowing the search attributes; the file ends it: `await environment.teardown()`. */
export async function timeSkippingEnvironment(): Promise<TestWorkflowEnvironment> {
  const { TestWorkflowEnvironment: Environment } = await import('@temporalio/testing');
  const environment = await Environment.createTimeSkipping({
    server: { executable: surroundings('timeSkipping') },
  });
  await registerSearchAttributes(environment.connection, environment.namespace ?? 'default');
  return environment;
}

const bundles = new Map<string, Promise<WorkflowBundleWithSourceMap>>();

/**
 * The workflows as `Worker.create` takes them (`workflowBundle`), bundled once however many workers a test file makes.
 *
 * @param workflowsPath - other workflows than the application's, for instance a broken one
 */
export function workflowBundle(
  workflowsPath = join(__dirname, '..', '..', 'workflows'),
): Promise<WorkflowBundleWithSourceMap> {
  let bundle = bundles.get(workflowsPath);
  if (!bundle) {
    bundle = bundleQuietly(workflowsPath);
    bundles.set(workflowsPath, bundle);
  }
  return bundle;
}

async function bundleQuietly(workflowsPath: string): Promise<WorkflowBundleWithSourceMap> {
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  return bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
}
