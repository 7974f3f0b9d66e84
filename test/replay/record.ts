/*
 * Records the histories that the replay test replays: plays every scenario of scenarios.ts with the present workflows
 * on a real dev server, and rewrites test/replay/histories/. Run it when a workflow change is meant for new runs only
 * and no run of the old code is left, or when a scenario is added:
 *
 *   npx tsx test/replay/record.ts                    # all of them
 *   npx tsx test/replay/record.ts sweep-by-cron …    # these
 *
 * It needs the Temporal CLI (found as everywhere: TEMPORAL_CLI, PATH, the repository's cache) and takes two minutes.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import type { NativeConnection, WorkflowBundleWithSourceMap } from '@temporalio/worker';
import {
  DefaultLogger,
  Runtime,
  Worker,
  bundleWorkflowCode,
  makeTelemetryFilterString,
} from '@temporalio/worker';
import { findTemporalCli } from '../../dev/temporal-cli';
import { SEARCH_ATTRIBUTES } from '../../workflows/messages';
import { TASK_QUEUES } from '../../workflows/messages';
import { FakeWorld } from '../time-skipping/world';
import type { Scenario } from './scenarios';
import { SCENARIOS } from './scenarios';
import { HISTORIES, toJson } from './histories';

/** The server suggests continue-as-new after this few events, so that a continued sweep is a small file. */
const SUGGEST_CONTINUE_AS_NEW_AFTER = 60;

const say = (line: string): boolean => process.stderr.write(`${line}\n`);

async function record(names: string[]): Promise<void> {
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
  });
  const namespaces = names.map(namespaceOf);
  const environment = await TestWorkflowEnvironment.createLocal({
    server: {
      executable: { type: 'existing-path', path: await findTemporalCli({ say }) },
      extraArgs: [
        ...[
          '--dynamic-config-value',
          `limit.historyCount.suggestContinueAsNew=${SUGGEST_CONTINUE_AS_NEW_AFTER}`,
        ],
        ...Object.values(SEARCH_ATTRIBUTES).flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
        ...namespaces.flatMap((name) => ['--namespace', name]),
      ],
    },
  });
  try {
    const workflowsPath = join(__dirname, '..', '..', 'workflows');
    const workflowBundle = await bundleWorkflowCode({
      workflowsPath,
      preloadModules: [workflowsPath],
      logger: new DefaultLogger('ERROR'),
    });
    for (const name of names) await play(name, SCENARIOS[name] as Scenario, environment, workflowBundle);
  } finally {
    await environment.teardown();
  }
}

/** Scenarios share ids, so each has its own namespace. */
const namespaceOf = (name: string): string => `record-${name}`;

async function play(
  name: string,
  scenario: Scenario,
  { connection, nativeConnection }: TestWorkflowEnvironment,
  workflowBundle: WorkflowBundleWithSourceMap,
): Promise<void> {
  const namespace = namespaceOf(name);
  const client = new Client({ connection, namespace, identity: 'client' });
  const world = new FakeWorld(() => Promise.resolve(Date.now()));
  const workers = await createWorkers(nativeConnection, namespace, world, workflowBundle);
  const running = Promise.all(workers.map((worker) => worker.run()));
  try {
    const handles = await scenario({ client, world });
    for (const [i, handle] of handles.entries()) {
      const file = join(HISTORIES, `${name}${handles.length > 1 ? `-${i + 1}` : ''}.json`);
      writeFileSync(file, toJson(await handle.fetchHistory()));
    }
    say(`${name}: ${handles.length}`);
  } finally {
    for (const worker of workers) worker.shutdown();
    await running;
  }
}

function createWorkers(
  connection: NativeConnection,
  namespace: string,
  world: FakeWorld,
  workflowBundle: WorkflowBundleWithSourceMap,
): Promise<Worker[]> {
  const common = { connection, namespace, identity: 'worker', shutdownGraceTime: '1s' as const };
  return Promise.all([
    Worker.create({
      ...common,
      taskQueue: TASK_QUEUES.payments,
      workflowBundle,
      activities: world.paymentsQueue(),
    }),
    Worker.create({ ...common, taskQueue: TASK_QUEUES.alipay, activities: world.alipayQueue() }),
    Worker.create({
      ...common,
      taskQueue: TASK_QUEUES.orderService,
      workflowBundle,
      activities: world.orderServiceQueue(),
    }),
  ]);
}

function wanted(names: string[]): string[] {
  const stranger = names.find((name) => !(name in SCENARIOS));
  if (stranger !== undefined) throw new Error(`There is no scenario ${stranger}: see scenarios.ts`);
  if (names.length > 0) return names;
  rmSync(HISTORIES, { recursive: true, force: true });
  return Object.keys(SCENARIOS);
}

async function main(): Promise<void> {
  const names = wanted(process.argv.slice(2));
  mkdirSync(HISTORIES, { recursive: true });
  await record(names);
}

main().catch((error: unknown) => {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exitCode = 1;
});
