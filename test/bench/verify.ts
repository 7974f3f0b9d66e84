import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import { row } from '../../db/connect';
import { toFen } from '../../db/money';
import { waitFor } from '../../dev/wait-for';
import { WORKFLOWS } from '../../workflows/messages';
import { THE_TEA } from './row';
import type { Rig } from './rig';

/** What must have become of everything the rig has processed so far. */
export interface Expected {
  paid?: number;
  closed?: number;
  /** Queried three times, and left to the sweep. */
  unpaid?: number;
  /** Not queried yet: still running. */
  asleep?: number;
  /**
   * A killed worker may have told an order without recording it; the order is told again under the same message id, in
   * another run, and acted on once. So there may be more order workflow runs than orders.
   */
  toldAgain?: boolean;
  /** Runs that gave up on a payment for which another run was started. */
  reruns?: number;
  /** Where the workflows ran. @defaultValue the rig's own namespace */
  homes?: readonly Client[];
}

/**
 * A lot of work may lag behind by minutes, but then the counts keep changing. What a worker was delivering when it
 * died, the follow-up delivers a minute later, within its next half minute.
 */
const STANDSTILL_MS = 120_000;

interface Counted {
  paid: number;
  closed: number;
  unpaid: number;
  results: number;
  undelivered: number;
  actedOn: number;
  /** Orders that were not told and acted on exactly once, according to their status. */
  wrong: number;
}

/**
 * Waits until everything has ended, and counts it three times: in Postgres, Alipay's books, Temporal's visibility.
 *
 * @throws Error if something is lost or doubled
 */
export async function verify(
  rig: Rig,
  {
    paid = 0,
    closed = 0,
    unpaid = 0,
    asleep = 0,
    toldAgain = false,
    reruns = 0,
    homes = [rig.temporal],
  }: Expected,
): Promise<void> {
  let last = '';
  let movedAt = performance.now();
  await waitFor(
    async () => {
      const startedAt = performance.now();
      const now = await differences(rig, { paid, closed, unpaid, asleep, toldAgain, reruns, homes }).then(
        String,
        String,
      );
      // Counting 100,000 takes half a second of a core, and would halve the pace of the work it waits for.
      if (now !== '') await sleep(4 * (performance.now() - startedAt));
      if (now !== last) movedAt = performance.now();
      last = now;
      return last === '' || performance.now() - movedAt > STANDSTILL_MS;
    },
    { what: 'everything to have come to its end', timeoutMs: 3_600_000, everyMs: 250 },
  );
  if (last !== '') throw new Error(`Lost or doubled: ${last}`);
}

async function differences(rig: Rig, expected: Required<Expected>): Promise<string[]> {
  const { paid, closed, unpaid, asleep, toldAgain, reruns, homes } = expected;
  const counted = await count(rig);
  const books = (await rig.alipay.ledger()).filter(({ paidFen }) => paidFen > 0);
  const taken = books.reduce((sum, { paidFen, refundedFen }) => sum + paidFen - refundedFen, 0);
  const ended = await countAll(homes, WORKFLOWS.confirmPayment);
  const orders = await countAll(homes, WORKFLOWS.fulfillOrder);
  const pairs: [string, number, number][] = [
    ['payments PAID', counted.paid, paid],
    ['payments CLOSED', counted.closed, closed],
    ['payments UNPAID', counted.unpaid, unpaid + asleep],
    ['results written', counted.results, paid + closed],
    ['results undelivered', counted.undelivered, 0],
    ['results acted on', counted.actedOn, paid + closed],
    ['orders told wrongly', counted.wrong, 0],
    ['trades paid at Alipay', books.length, paid],
    ['fen that Alipay holds', taken, paid * toFen(THE_TEA.totalAmount)],
    ['payment workflows completed', ended.completed, paid + unpaid + reruns],
    ['payment workflows running', ended.running, asleep],
    ['payment workflows that ended otherwise', ended.others, 0],
    [
      'order workflows completed',
      toldAgain ? Math.min(orders.completed, paid + closed) : orders.completed,
      paid + closed,
    ],
    ['order workflows that ended otherwise or run', orders.running + orders.others, 0],
  ];
  return pairs
    .filter(([, is, should]) => is !== should)
    .map(([what, is, should]) => `${what}: ${is} instead of ${should}`);
}

async function count({ db }: Rig): Promise<Counted> {
  const counted = await row<Counted>(
    db,
    `SELECT count(*) FILTER (WHERE p.status = 'PAID' AND o.status = 'PAID')::int AS paid,
       count(*) FILTER (WHERE p.status = 'CLOSED' AND o.status = 'CLOSED')::int AS closed,
       count(*) FILTER (WHERE p.status = 'UNPAID' AND o.status = 'UNPAID')::int AS unpaid,
       (SELECT count(*)::int FROM order_messages) AS results,
       (SELECT count(*)::int FROM order_messages WHERE told_at IS NULL) AS undelivered,
       (SELECT count(*)::int FROM order_log) AS "actedOn",
       (SELECT count(*)::int FROM orders s WHERE s.status <> 'UNPAID'
        AND ((SELECT array_agg(l.status) FROM order_log l WHERE l.order_id = s.id) = ARRAY[s.status]) IS NOT TRUE) AS wrong
     FROM payments p JOIN orders o ON o.id = p.order_id`,
  );
  if (!counted) throw new Error('Postgres counted nothing');
  return counted;
}

async function countAll(homes: readonly Client[], type: string): ReturnType<typeof countEnded> {
  const counts = await Promise.all(homes.map((home) => countEnded(home, type)));
  const sum = (of: (one: (typeof counts)[number]) => number): number =>
    counts.reduce((all, one) => all + of(one), 0);
  return {
    completed: sum(({ completed }) => completed),
    running: sum(({ running }) => running),
    others: sum(({ others }) => others),
  };
}

/** How many workflows of a type have completed, are running, and have ended otherwise. */
export async function countEnded(
  temporal: Client,
  type: string,
): Promise<{ completed: number; running: number; others: number }> {
  const [all, completed, running] = await Promise.all(
    ['', ` AND ExecutionStatus = 'Completed'`, ` AND ExecutionStatus = 'Running'`].map((more) =>
      temporal.workflow.count(`WorkflowType = '${type}'${more}`),
    ),
  );
  if (!all || !completed || !running) throw new Error('Temporal counted nothing');
  return {
    completed: completed.count,
    running: running.count,
    others: all.count - completed.count - running.count,
  };
}
