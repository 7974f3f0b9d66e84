import { watchPayment } from '../../activities/payment-workflow';
import { rows } from '../../db/connect';
import { waitFor } from '../../dev/wait-for';
import { TASK_QUEUES } from '../../workflows/messages';
import { inLanes } from './pace';
import type { Progress } from './row';
import { THE_TEA } from './row';
import { ROWS_AT_ONCE } from './shop';
import type { Rig } from './rig';

/** Longer than any bench run takes: no sleeper wakes while the others are measured. */
const ASLEEP_FOR_MS = 6 * 3_600_000;

/** Concurrent starts: enough to keep the server busy, few enough that none exceeds its deadline. */
const LANES = 48;

interface Sleeper {
  outTradeNo: string;
  orderId: string;
  totalAmount: string;
  status: string;
  deadline: Date;
}

/**
 * Payments that were checked out and are queried hours later, numbered `from` up to `to`. The rows of a checkout are
 * written in bulk; their workflows are started as a checkout does, each with its own call, and each runs its first task
 * on the worker: see {@link allAsleep}.
 */
export async function putToSleep(
  rig: Rig,
  { from, to, progress }: { from: number; to: number; progress: Progress },
): Promise<void> {
  for (let first = from; first < to; first += ROWS_AT_ONCE) {
    const sleepers = await writeRows(rig, first + 1, Math.min(first + ROWS_AT_ONCE, to));
    await inLanes(sleepers.length, LANES, async (index) => {
      await start(rig, sleepers[index] as Sleeper);
      progress.advance();
    });
  }
}

function writeRows({ db }: Rig, first: number, last: number): Promise<Sleeper[]> {
  return rows<Sleeper>(
    db,
    `WITH placed AS (
       INSERT INTO orders (id, subject, total_amount, expires_at)
       SELECT 'sleeper-' || n, :subject, CAST(:amount AS numeric), now() + interval '1 day'
       FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS n
       RETURNING id, total_amount, expires_at
     ), opened AS (
       INSERT INTO payments (out_trade_no, order_id, total_amount, time_expire)
       SELECT replace(id, '-', '_'), id, total_amount, expires_at - interval '1 second' FROM placed
       RETURNING out_trade_no, order_id, total_amount, status
     ), told AS (
       INSERT INTO payment_events (out_trade_no, actor, event)
       SELECT out_trade_no, 'checkout', 'checked-out' FROM opened
     )
     SELECT out_trade_no AS "outTradeNo", order_id AS "orderId", opened.total_amount AS "totalAmount", status,
       expires_at AS deadline
     FROM opened JOIN placed ON placed.id = order_id`,
    { first, last, subject: THE_TEA.subject, amount: THE_TEA.totalAmount },
  );
}

function start({ temporal }: Rig, { deadline, ...payment }: Sleeper): Promise<void> {
  return watchPayment(temporal, payment, {
    outTradeNo: payment.outTradeNo,
    checks: 3,
    intervalMs: ASLEEP_FOR_MS,
    closeBy: 'sweep',
    deadline: deadline.toISOString(),
  });
}

/** Resolves when no workflow task of the payments queue waits for the worker. */
export async function allAsleep({ temporal }: Rig): Promise<void> {
  await waitFor(
    async () => {
      const { stats } = await temporal.workflowService.describeTaskQueue({
        namespace: temporal.options.namespace,
        taskQueue: { name: TASK_QUEUES.payments },
        reportStats: true,
      });
      return Number(stats?.approximateBacklogCount) === 0;
    },
    { what: 'all sleepers to be asleep', timeoutMs: 600_000, everyMs: 200 },
  );
}
