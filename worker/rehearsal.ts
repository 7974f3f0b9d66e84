import { Client } from '@temporalio/client';
import type { WorkflowBundleOption } from '@temporalio/worker';
import { Worker } from '@temporalio/worker';
import { WORKFLOWS } from '../workflows/messages';
import { readConfig } from './config';
import type { Logger } from './log';
import { dataConverterWith } from './payload-codec';
import { connectTemporal } from './startup';
import { readTemporalConfig } from './temporal-config';
import { shapeFor, workflowCode } from './workflow-code';

/** The newest so many runs under way are replayed; each costs a few ms and one call of Temporal. */
const MOST_RUNS = 2_000;

/** What a build makes of the runs under way. */
export interface Rehearsal {
  replayed: number;
  /** Those that it could not carry on. */
  refused: Array<{ workflowId: string; runId: string; why: string }>;
}

/**
 * Replays the histories of all runs under way with this build's workflows. Reads only, serves no queue: it is made
 * before a rollout, beside the workers that run.
 */
export async function rehearse(
  { workflow, options }: Client,
  workflowBundle: WorkflowBundleOption,
  mostRuns = MOST_RUNS,
): Promise<Rehearsal> {
  const types = Object.values(WORKFLOWS).map((name) => `"${name}"`);
  const runs = workflow.list({
    query: `ExecutionStatus = "Running" AND WorkflowType IN (${types.join(', ')})`,
  });
  const rehearsal: Rehearsal = { replayed: 0, refused: [] };
  const replays = Worker.runReplayHistories(
    { workflowBundle, dataConverter: options.dataConverter },
    runs.intoHistories(),
  );
  for await (const { workflowId, runId, error } of replays) {
    rehearsal.replayed += 1;
    if (error) rehearsal.refused.push({ workflowId, runId, why: error.message });
    if (rehearsal.replayed >= mostRuns) break;
  }
  return rehearsal;
}

/**
 * `npm run worker -- --rehearse`: {@link rehearse} by the environment alone. Answers whether this build may be rolled out.
 *
 * @throws PaymentError CONFIG_INVALID, TEMPORAL_UNAVAILABLE
 */
export async function runRehearsal({
  log,
  env = process.env,
  workflowBundle,
}: {
  log: Logger;
  env?: NodeJS.ProcessEnv;
  workflowBundle?: WorkflowBundleOption;
}): Promise<boolean> {
  const { payloads } = readConfig(env, { needs: ['payloads'] });
  const dataConverter = dataConverterWith(payloads.keys);
  const { connectionOptions, namespace = 'default' } = readTemporalConfig(env);
  const connection = await connectTemporal(connectionOptions, log);
  try {
    const temporal = new Client({ connection, namespace, dataConverter });
    const { replayed, refused } = await rehearse(
      temporal,
      workflowBundle ?? (await workflowCode(shapeFor(dataConverter), log)),
    );
    for (const run of refused)
      log.error({ ...run, code: 'NOT_REPLAYED' }, 'this build cannot carry on a run');
    log.info({ replayed, refused: refused.length, namespace }, 'rehearsal over');
    return refused.length === 0;
  } finally {
    await connection.close();
  }
}
