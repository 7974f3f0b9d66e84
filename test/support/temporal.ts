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

/** What is bundled where it is not the application as it runs in clear. */
interface BundleOptions {
  /** Other workflows than the application's, for instance a broken one. */
  workflowsPath?: string;
  /** As the data converter of the worker has it. */
  failureConverterPath?: string | undefined;
  /** What intercepts them, for instance tracing. */
  workflowInterceptorModules?: string[] | undefined;
}

/** The workflows as `Worker.create` takes them (`workflowBundle`), bundled once however many workers a test file makes. */
export function workflowBundle(options: BundleOptions = {}): Promise<WorkflowBundleWithSourceMap> {
  const key = JSON.stringify(options);
  let bundle = bundles.get(key);
  if (!bundle) {
    bundle = bundleQuietly(options);
    bundles.set(key, bundle);
  }
  return bundle;
}

async function bundleQuietly({
  workflowsPath = join(__dirname, '..', '..', 'workflows'),
  failureConverterPath,
  workflowInterceptorModules = [],
}: BundleOptions): Promise<WorkflowBundleWithSourceMap> {
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  return bundleWorkflowCode({
    workflowsPath,
    failureConverterPath,
    workflowInterceptorModules,
    logger: new DefaultLogger('ERROR'),
  });
}
