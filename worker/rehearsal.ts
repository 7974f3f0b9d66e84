import { Client } from '@temporalio/client';
import type { HistoryAndWorkflowId } from '@temporalio/client';
import type { WorkflowBundleOption } from '@temporalio/worker';
import { Worker } from '@temporalio/worker';
import { whereSearchable } from '../activities/temporal-calls';
import { WORKFLOWS } from '../workflows/messages';
import { readConfig } from './config';
import type { Logger } from './log';
import { dataConverterWith } from './payload-codec';
import { connectTemporal } from './startup';
import { readTemporalConfig } from './temporal-config';
import { shapeFor, workflowCode } from './workflow-code';

/** How many runs are replayed at most; each takes a few ms and one call to Temporal. */
export const MOST_RUNS = 10_000;

/** How a build copes with the runs under way. */
interface Rehearsal {
  replayed: number;
  /** How many runs were not replayed, because there are more than `mostRuns`. */
  leftOut: number;
  /** Runs that it could not continue. */
  refused: Array<{ workflowId: string; runId: string; why: string }>;
}

const UNDER_WAY = `ExecutionStatus = "Running" AND WorkflowType IN (${Object.values(WORKFLOWS)
  .map((name) => `"${name}"`)
  .join(', ')})`;

/**
 * Reviews first: they wait longest, so they are the most likely to have begun on a forgotten build. Temporal lists the
 * newest runs first, and would reach them last.
 */
const IN_ORDER = [
  `${UNDER_WAY} AND PaymentStatus = "REVIEW"`,
  `${UNDER_WAY} AND (PaymentStatus IS NULL OR PaymentStatus != "REVIEW")`,
];

/**
 * Replays the histories of the runs under way with this build's workflows. It only reads and serves no queue: run it
 * before a rollout, while the current workers run.
 */
export async function rehearse(
  { workflow, options }: Client,
  workflowBundle: WorkflowBundleOption,
  mostRuns = MOST_RUNS,
): Promise<Rehearsal> {
  const rehearsal: Rehearsal = { replayed: 0, leftOut: 0, refused: [] };
  const { queries, count } = await underWay(workflow);
  const replays = Worker.runReplayHistories(
    { workflowBundle, dataConverter: options.dataConverter },
    historiesOf(workflow, queries),
  );
  for await (const { workflowId, runId, error } of replays) {
    rehearsal.replayed += 1;
    if (error) rehearsal.refused.push({ workflowId, runId, why: error.message });
    if (rehearsal.replayed < mostRuns) continue;
    rehearsal.leftOut = Math.max(0, count - mostRuns);
    break;
  }
  return rehearsal;
}

/** How to list the runs under way, and how many there are. Without PaymentStatus, reviews cannot be first. */
const underWay = (workflow: Client['workflow']): Promise<{ queries: string[]; count: number }> =>
  whereSearchable(async (searchable) => {
    const queries = searchable ? IN_ORDER : [UNDER_WAY];
    const counts = await Promise.all(queries.map((query) => workflow.count(query)));
    return { queries, count: counts.reduce((sum, { count }) => sum + count, 0) };
  });

async function* historiesOf(
  workflow: Client['workflow'],
  queries: string[],
): AsyncIterable<HistoryAndWorkflowId> {
  for (const query of queries) yield* workflow.list({ query }).intoHistories();
}

/**
 * `durable-alipay worker --rehearse`: {@link rehearse} with the environment; returns whether to roll out.
 *
 * @throws PaymentError CONFIG_INVALID, TEMPORAL_UNAVAILABLE
 */
export async function runRehearsal({
  log,
  env = process.env,
  workflowBundle,
  mostRuns,
}: {
  log: Logger;
  env?: NodeJS.ProcessEnv;
  workflowBundle?: WorkflowBundleOption;
  /** @defaultValue {@link MOST_RUNS} */
  mostRuns?: number;
}): Promise<boolean> {
  const { payloads } = readConfig(env, { needs: ['payloads'] });
  const dataConverter = dataConverterWith(payloads.keys);
  const { connectionOptions, namespace = 'default' } = readTemporalConfig(env);
  const connection = await connectTemporal(connectionOptions, log);
  try {
    const temporal = new Client({ connection, namespace, dataConverter });
    const { replayed, leftOut, refused } = await rehearse(
      temporal,
      workflowBundle ?? (await workflowCode(shapeFor(dataConverter), log)),
      mostRuns,
    );
    for (const run of refused)
      log.error({ ...run, code: 'NOT_REPLAYED' }, 'this build cannot continue a run');
    if (leftOut > 0) {
      log.warn({ replayed, leftOut, code: 'REHEARSAL_PARTIAL' }, 'not all runs under way were replayed');
    }
    log.info({ replayed, leftOut, refused: refused.length, namespace }, 'rehearsal over');
    return refused.length === 0;
  } finally {
    await connection.close();
  }
}
