import { createHash } from 'node:crypto';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { WorkflowBundlePath } from '@temporalio/worker';
import { KEYWORD } from '../../worker/search-attributes';
import { SEARCH_ATTRIBUTES } from '../../workflows/messages';
import { measured } from './measuring';
import { surroundings } from './surroundings';

/** `host:port` of this run's real Temporal server. */
export function temporalAddress(): string {
  return surroundings('servers').temporalAddress;
}

/** Path of the Temporal CLI, for tests that do what an operator does. */
export function temporalCli(): string {
  return surroundings('servers').temporalCli;
}

/** A new time-skipping server with the search attributes; the file ends it: `await environment.teardown()`. */
export async function timeSkippingEnvironment(): Promise<TestWorkflowEnvironment> {
  const { TestWorkflowEnvironment: Environment } = await import('@temporalio/testing');
  const environment = await Environment.createTimeSkipping({
    server: { executable: surroundings('timeSkipping') },
  });
  const { connection, namespace = 'default' } = environment;
  for (const name of Object.values(SEARCH_ATTRIBUTES)) {
    const searchAttributes = { [name]: KEYWORD };
    await connection.operatorService.addSearchAttributes({ namespace, searchAttributes });
  }
  return environment;
}

/** What to bundle, if not the application as it runs without encryption. */
interface BundleOptions {
  /** Workflows other than the application's, for instance a broken one. */
  workflowsPath?: string;
  /** As in the worker's data converter. */
  failureConverterPath?: string | undefined;
  /** What intercepts the workflows, for instance tracing. */
  workflowInterceptorModules?: string[] | undefined;
}

/** The workflows as `Worker.create` takes them (`workflowBundle`), bundled once for all test files. */
export async function workflowBundle({
  workflowsPath = join(__dirname, '..', '..', 'workflows'),
  failureConverterPath,
  workflowInterceptorModules = [],
}: BundleOptions = {}): Promise<WorkflowBundlePath> {
  const options = { workflowsPath, failureConverterPath, workflowInterceptorModules };
  const name = createHash('sha256').update(JSON.stringify(options)).digest('hex');
  const codePath = join(surroundings('bundles'), `${name}.js`);
  const measuring = measured([workflowsPath]);
  if (!existsSync(codePath)) {
    const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
    const logger = new DefaultLogger('ERROR');
    const { code } = await bundleWorkflowCode({ ...options, ...measuring, logger });
    // Two test processes may do this at once.
    writeFileSync(`${codePath}.${process.pid}`, code);
    renameSync(`${codePath}.${process.pid}`, codePath);
  }
  return { codePath };
}
