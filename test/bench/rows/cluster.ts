import type { Checkout } from '../../../client/index';
import { orderWorkflowId, paymentWorkflowId, TASK_QUEUES, WORKFLOWS } from '../../../workflows/messages';
import type { Service } from '../../../dev/services';
import { DATABASES } from '../../support/cluster/node-config';
import { actionsOf } from '../actions';
import { cpuSeconds, machineSeconds, memoryOf } from '../cpu';
import type { DatabaseWork } from '../database-work';
import { databaseWork, workPer, workPerSecond } from '../database-work';
import { inLanes } from '../pace';
import type { Finding, Progress, Row } from '../row';
import { checkOutAndPay, untilDone } from '../shop';
import { median } from '../statistics';
import { countEnded, verify } from '../verify';
import { rows } from '../../../db/connect';
import { waitFor } from '../../../dev/wait-for';
import type { Rig } from '../rig';

/** Payments open at the same time: fewer than in `throughput`, since the machine runs twice as many processes. */
const OPEN = 24;

/** How many payments' histories and state transitions are counted. */
const LOOKED_AT = 20;

const QUEUES = [
  [TASK_QUEUES.payments],
  [TASK_QUEUES.payments],
  [TASK_QUEUES.alipay],
  [TASK_QUEUES.orderService],
];

type Lived = Pick<Checkout, 'orderId' | 'outTradeNo'>;

interface Cost {
  transitions: number;
  actions: number;
  historyBytes: number;
}

export const cluster: Row = {
  name: 'cluster',
  summary:
    'the same on a Temporal server on PostgreSQL: 16 shards, four nodes, a worker process for each queue',
  async run(bench) {
    const payments = bench.quick ? 200 : 1_000;
    const rig = await bench.open({
      cluster: true,
      queues: QUEUES,
      env: { PAYMENT_CHECK_INTERVAL: '1s' },
    });
    const progress = bench.progress('cluster: payments', 1.25 * payments);
    const warmUp = payments / 4;
    await live(rig, 0, warmUp, progress);
    await verify(rig, { paid: warmUp });

    let lived: Lived[] = [];
    const measured = await withDatabases(rig, async () => {
      const before = cpuOf(rig);
      const startedAt = performance.now();
      lived = await live(rig, warmUp, payments, progress);
      const seconds = (performance.now() - startedAt) / 1000;
      await ordersToEnd(rig, warmUp + payments);
      return { seconds, payments, cpu: cpuBetween(before, cpuOf(rig), payments) };
    });
    progress.end();
    await verify(rig, { paid: warmUp + payments });
    const looked = lived.slice(-LOOKED_AT);
    const costs = {
      payment: await costsOf(
        rig,
        looked.map(({ outTradeNo }) => paymentWorkflowId(outTradeNo)),
      ),
      order: await costsOf(
        rig,
        looked.map(({ orderId }) => orderWorkflowId(orderId)),
      ),
    };
    return findingsOf(measured, costs, { memory: memoryIn(rig), tables: await tablesOf(rig) });
  },
};

/** A closed loop; the delay queue finds each payment. */
async function live(rig: Rig, first: number, count: number, progress: Progress): Promise<Lived[]> {
  const lived: Lived[] = [];
  await inLanes(count, OPEN, async (index) => {
    const { orderId, outTradeNo } = await checkOutAndPay(rig, `order-${first + index}`);
    await untilDone(rig, outTradeNo);
    lived.push({ orderId, outTradeNo });
    progress.advance();
  });
  return lived;
}

/** An order workflow ends a moment after its payment's. */
async function ordersToEnd({ temporal }: Rig, count: number): Promise<void> {
  await waitFor(async () => (await countEnded(temporal, WORKFLOWS.fulfillOrder)).completed === count, {
    what: `${count} order workflows to have completed`,
    timeoutMs: 120_000,
    everyMs: 200,
  });
}

/** Every process of the shop and of Temporal, by role. */
function processes({ cluster: temporal, workers, postgres }: Rig): Record<string, readonly Service[]> {
  if (!temporal) throw new Error('No cluster');
  const [first, second, alipay, orders] = workers;
  return {
    'payments workers': present(first, second),
    'alipay worker': present(alipay),
    'order worker': present(orders),
    ledger: [postgres],
    ...Object.fromEntries([...temporal.nodes].map(([name, node]) => [name, [node]])),
    'Temporal’s Postgres': [temporal.postgres],
  };
}

const present = (...services: (Service | undefined)[]): Service[] =>
  services.filter((service) => service !== undefined);

interface Cpu {
  parts: Record<string, number>;
  machine: { busy: number; all: number };
}

const cpuOf = (rig: Rig): Cpu => ({
  parts: Object.fromEntries(
    Object.entries(processes(rig)).map(([name, services]) => [
      name,
      services.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0),
    ]),
  ),
  machine: machineSeconds(),
});

/** CPU milliseconds per payment by part, and the share of the machine that was busy. */
function cpuBetween(before: Cpu, after: Cpu, count: number): { parts: Record<string, number>; busy: number } {
  const parts = Object.entries(after.parts).map(([name, seconds]): [string, number] => [
    name,
    ((seconds - (before.parts[name] ?? 0)) * 1000) / count,
  ]);
  return {
    parts: Object.fromEntries(parts),
    busy: (after.machine.busy - before.machine.busy) / (after.machine.all - before.machine.all),
  };
}

/** Resident MB of each process. */
const memoryIn = (rig: Rig): Record<string, number[]> =>
  Object.fromEntries(
    Object.entries(processes(rig)).map(([name, services]) => [
      name,
      services.map(({ pid }) => memoryOf(pid).now),
    ]),
  );

interface Measured {
  seconds: number;
  payments: number;
  cpu: { parts: Record<string, number>; busy: number };
}

type Work = ReturnType<typeof workPer> & {
  connections: number;
  /** What it does every second without any payment; not included in the rest. */
  idlePerSecond: ReturnType<typeof workPerSecond>;
};

type WithDatabases = Measured & Record<'ledger' | 'temporal', Work>;

/** Also measures what both PostgreSQL instances do meanwhile. */
async function withDatabases(rig: Rig, act: () => Promise<Measured>): Promise<WithDatabases> {
  const read = (): Promise<[DatabaseWork, DatabaseWork]> =>
    Promise.all([
      databaseWork(rig.databaseUrl, ['bench']),
      databaseWork(rig.cluster?.postgres.url ?? '', Object.values(DATABASES)),
    ]);
  const idle = await read();
  const before = await read();
  const measured = await act();
  const after = await read();
  const work = (which: 0 | 1): Work => {
    const idlePerSecond = workPerSecond(idle[which], before[which]);
    return {
      ...workPer(measured.payments, before[which], after[which], idlePerSecond),
      connections: after[which].connections,
      idlePerSecond,
    };
  };
  return { ...measured, ledger: work(0), temporal: work(1) };
}

interface Table {
  name: string;
  rows: number;
  /** With its indexes. */
  bytes: number;
}

/** For all payments, including the warm-up. */
const tablesOf = ({ db }: Rig): Promise<Table[]> =>
  rows<Table>(
    db,
    `SELECT relname AS name, n_live_tup::int AS rows, pg_total_relation_size(relid)::float8 AS bytes
     FROM pg_stat_user_tables WHERE n_live_tup > 0 ORDER BY bytes DESC`,
  );

function costsOf({ temporal }: Rig, workflowIds: string[]): Promise<Cost[]> {
  return Promise.all(
    workflowIds.map(async (id) => {
      const handle = temporal.workflow.getHandle(id);
      const [{ raw, historySize }, history] = await Promise.all([handle.describe(), handle.fetchHistory()]);
      return {
        transitions: Number(raw.workflowExecutionInfo?.stateTransitionCount),
        actions: actionsOf(history),
        historyBytes: historySize ?? 0,
      };
    }),
  );
}

/** Their only target is that it works: a lost or doubled payment fails the row. */
function findingsOf(
  measured: WithDatabases,
  costs: Record<'payment' | 'order', Cost[]>,
  also: { memory: Record<string, number[]>; tables: Table[] },
): Finding[] {
  const { payments, seconds, cpu, ledger, temporal } = measured;
  const middle = (of: (cost: Cost) => number): string =>
    `${median(costs.payment.map(of)).toFixed(0)} + ${median(costs.order.map(of)).toFixed(0)}`;
  const all = Object.values(cpu.parts).reduce((sum, part) => sum + part, 0);
  const parts = Object.entries(cpu.parts).map(([name, milliseconds]) => `${name} ${milliseconds.toFixed(1)}`);
  const database = (name: string, work: Work): string =>
    `${name} ${work.commits.toFixed(1)} commits, ${work.rowsWritten.toFixed(1)} rows, ` +
    `${(work.walBytes / 1024).toFixed(1)} KB of WAL, ${(work.bytes / 1024).toFixed(1)} KB kept`;
  const detail = { ...measured, costs, ...also };
  const figure = (what: string, text: string): Finding => ({
    what,
    figure: text,
    target: 'works; nothing lost',
    met: true,
    detail,
  });
  return [
    figure(
      'on PostgreSQL with 16 shards, 4 nodes, 4 workers',
      `${(payments / seconds).toFixed(0)} payments/s, transitions ${middle(({ transitions }) => transitions)} ` +
        `(payment + order), machine ${(100 * cpu.busy).toFixed(0)} % busy`,
    ),
    figure('the same: CPU per payment', `${all.toFixed(1)} ms: ${parts.join(' + ')}`),
    figure(
      'the same: databases per payment',
      `${database('ledger', ledger)}; ${database('Temporal', temporal)}, ` +
        `idle ${temporal.idlePerSecond.commits.toFixed(0)} commits/s`,
    ),
    figure('the same: Actions on Temporal Cloud', `${middle(({ actions }) => actions)} (payment + order)`),
  ];
}
