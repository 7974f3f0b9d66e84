import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { rows } from '../../../db/connect';
import { query } from '../../../dev/postgres';
import { DEFAULT_APP_ID, DEFAULT_SELLER_ID } from '../../../sandbox';
import { WORKFLOWS } from '../../../workflows/messages';
import type { Chance } from '../chance';
import type { World } from '../world';
import type { Fault, Struck } from './fault';
import { over } from './fault';

/** If workers lag behind, runs started more recently than this have not begun. */
const BEGUN_AFTER_MS = 4_000;

/** Some runs under way, by default of payments. */
async function someRuns(
  { temporal }: World,
  chance: Chance,
  most: number,
  type: string = WORKFLOWS.confirmPayment,
): Promise<string[]> {
  const before = new Date(Date.now() - BEGUN_AFTER_MS).toISOString();
  const { executions } = await temporal.workflowService.listWorkflowExecutions({
    namespace: temporal.options.namespace,
    pageSize: 1_000,
    query: `ExecutionStatus = "Running" AND WorkflowType = "${type}" AND StartTime < "${before}"`,
  });
  const ids = executions.map(({ execution }) => execution?.workflowId ?? '');
  return chance.shuffled(ids).slice(0, most);
}

/** How many of these succeeded; a run may have ended since it was listed. @throws the first error, if none did */
async function countDone(acts: readonly Promise<unknown>[]): Promise<number> {
  const ended = await Promise.allSettled(acts);
  const done = ended.filter(({ status }) => status === 'fulfilled').length;
  const refused = ended.find(({ status }) => status === 'rejected');
  if (done === 0 && refused) await acts[ended.indexOf(refused)];
  return done;
}

/** Returns how many it terminated. */
export async function terminateSome(world: World, chance: Chance, type?: string): Promise<number> {
  const ids = await someRuns(world, chance, 10, type);
  const { workflow } = world.temporal;
  return countDone(ids.map((id) => workflow.getHandle(id).terminate('chaos')));
}

/** What people and other programs do to a running Postgres and Temporal. */
export const HAND_FAULTS: readonly Fault[] = [
  {
    name: 'runs terminated by hand',
    takes: ['temporal', 'line to temporal'],
    seconds: [1, 1],
    strike: async (world, chance) => over(await terminateSome(world, chance)),
  },
  {
    name: 'runs reset by hand',
    takes: ['temporal', 'line to temporal'],
    seconds: [1, 1],
    strike: async (world, chance) => {
      const ids = await someRuns(world, chance, 5);
      return over(await countDone(ids.map((id) => resetToStart(world, id))));
    },
  },
  {
    name: 'two sweeps at once',
    takes: ['temporal', 'workers', 'postgres'],
    seconds: [1, 1],
    strike: async ({ payments }) => over(await countDone([payments.sweep.run(), payments.sweep.run()])),
  },
  {
    name: '1,000 expired orders wait',
    takes: ['postgres'],
    seconds: [1, 1],
    strike: async ({ db }, chance) => {
      const batch = `expired-${chance.below(2 ** 31)}`;
      const inserted = await insertExpired(db, batch);
      return { end: () => untilClosed(db, batch).then(() => inserted) };
    },
  },
  {
    name: 'Postgres read-only',
    takes: ['postgres', 'temporal'],
    seconds: [3, 6],
    strike: async ({ adminUrl }) => {
      await setReadOnly(adminUrl, 'on');
      return { end: () => setReadOnly(adminUrl, 'off').then(() => 1) };
    },
  },
  {
    name: 'Postgres out of connections',
    takes: ['postgres'],
    seconds: [3, 6],
    strike: ({ adminUrl }) => exhaust(adminUrl),
  },
];

/** Orders that expired while no sweep ran: checked out two hours ago, and no buyer has opened the page. */
async function insertExpired(db: World['db'], batch: string): Promise<number> {
  const inserted = await rows(
    db,
    `WITH expired AS (
       INSERT INTO orders (id, subject, total_amount, merchant, created_at, expires_at)
       SELECT :batch || '-' || n, 'tea', 12.30, :merchant, now() - interval '2 hours', now() - interval '1 minute'
       FROM generate_series(1, 1000) AS n RETURNING id, total_amount, merchant, created_at)
     INSERT INTO payments (out_trade_no, order_id, total_amount, merchant, created_at, checked_out_at)
     SELECT replace(id, '-', '_'), id, total_amount, merchant, created_at, created_at FROM expired RETURNING order_id`,
    { batch, merchant: `${DEFAULT_APP_ID}/${DEFAULT_SELLER_ID}` },
  );
  return inserted.length;
}

/** The backlog is over when the sweep has closed it, or after two minutes: the rules judge what is still open then. */
async function untilClosed(db: World['db'], batch: string): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (Date.now() < deadline) {
    const open = await rows(
      db,
      `SELECT 1 FROM orders WHERE status = 'UNPAID' AND expires_at <= now() AND id LIKE :batch || '-%' LIMIT 1`,
      { batch },
    ).catch(() => [undefined]);
    if (open.length === 0) return;
    await sleep(1_000);
  }
}

/** As a full disk or a failover leaves it: it reads, but does not write. */
async function setReadOnly(adminUrl: string, value: 'on' | 'off'): Promise<void> {
  // This session itself can always write.
  const url = `${adminUrl}?options=${encodeURIComponent('-c default_transaction_read_only=off')}`;
  await query(url, `ALTER SYSTEM SET default_transaction_read_only = ${value}`);
  await query(url, `SELECT pg_reload_conf()`);
}

async function resetToStart({ temporal, history: witness }: World, workflowId: string): Promise<void> {
  const { namespace } = temporal.options;
  const { history } = await temporal.workflowService.getWorkflowExecutionHistory({
    namespace,
    execution: { workflowId },
  });
  const first = history?.events?.find(({ workflowTaskCompletedEventAttributes: done }) => done);
  if (!first?.eventId) throw new Error('It has not begun');
  const from = Date.now();
  await temporal.workflowService.resetWorkflowExecution({
    namespace,
    workflowExecution: { workflowId },
    workflowTaskFinishEventId: first.eventId,
    requestId: `chaos-${workflowId}-${Date.now()}`,
    reason: 'chaos',
  });
  witness.resets.push({ workflowId, from, to: Date.now() });
}

/** Takes every connection that the server has left, and keeps them. */
async function exhaust(adminUrl: string): Promise<Struck> {
  const taken: Client[] = [];
  for (let isFull = false; !isFull && taken.length < 250;) {
    const client = new Client({ connectionString: adminUrl, connectionTimeoutMillis: 5_000 });
    client.on('error', () => undefined);
    isFull = await client.connect().then(
      () => taken.push(client) === 0,
      () => true,
    );
  }
  return {
    what: `${taken.length} taken`,
    end: async () => {
      await Promise.all(taken.map((client) => client.end()));
      return taken.length;
    },
  };
}
