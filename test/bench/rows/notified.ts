import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { row } from '../../../db/connect';
import { waitFor } from '../../../dev/wait-for';
import { startBarePayment } from '../bare/checkout';
import { BARE_WORKFLOWS } from '../bare/names';
import { cpuSeconds } from '../cpu';
import { inLanes } from '../pace';
import type { Bench, Finding, Progress, Row } from '../row';
import { median, spread } from '../statistics';
import { countEnded, verify } from '../verify';
import type { Rig } from '../rig';
import { SENDERS, cpuOf, send, signedBodies } from './notify';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** How the result of a notified payment reaches the shop; bare: by an empty workflow. */
type Side = 'bare' | 'workflow' | 'webhook';

/** The HTTP server is counted separately: the bare side has none, since the bench itself sends its signals. */
interface Measured {
  perSecond: number;
  /** CPU milliseconds per payment. */
  cpu: { server: number; worker: number; temporal: number; postgres: number };
}

/** One side: its payments are opened, then notified as fast as they are taken, until the last result is acted on. */
interface Way {
  open(rig: Rig, run: Run): Promise<() => Promise<unknown>>;
  /** How many results have been acted on since the rig was opened. */
  acted(rig: Rig): Promise<number>;
  worker: number;
}

interface Run {
  count: number;
  round: number;
  progress: Progress;
}

export const notified: Row = {
  name: 'notified',
  summary:
    'CPU and rate of notified payments: by order workflow against bare workflows, by webhook against both',
  async run(bench) {
    const count = bench.quick ? 150 : 400;
    const heard = new Set<string>();
    const receiver = createServer((request, response) => {
      void json(request).then((result) => {
        heard.add((result as { messageId: string }).messageId);
        response.writeHead(204).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const { port } = receiver.address() as AddressInfo;
    const all: Record<Side, Measured[]> = { bare: [], workflow: [], webhook: [] };
    try {
      const rig = await openRig(bench);
      const bareWorker = await rig.startBareWorker();
      await measure(bench, rig, {
        count,
        sides: { workflow: viaServer(rig), bare: bare(bareWorker.pid) },
        all,
      });
      await verify(rig, { paid: count * (bench.pairs + 1) });
      // One rig after the other: two at once would distort each other's figures.
      const posting = await openRig(bench, {
        ORDER_SERVICE_URL: `http://127.0.0.1:${port}/`,
        ORDER_SERVICE_SECRET: SECRET,
      });
      await measure(bench, posting, { count, sides: { webhook: viaServer(posting) }, all });
      if (heard.size !== count * (bench.pairs + 1)) throw new Error(`${heard.size} results were posted`);
    } finally {
      receiver.closeAllConnections();
      receiver.close();
    }
    return findingsOf(all);
  },
};

const openRig = (bench: Bench, env: Record<string, string> = {}): Promise<Rig> =>
  bench.open({ server: true, env: { PAYMENT_CHECK_INTERVAL: '1h', ...env } });

/** Sends signed notifications through the HTTP server. */
const viaServer = ({ workers }: Rig): Way => ({
  async open(rig, { count, round, progress }) {
    const bodies = await signedBodies(rig, count, () => progress.advance(), `round${round}`);
    return () => send(rig, bodies, () => progress.advance());
  },
  // An order workflow records what it acts on; a posted result counts as told once the shop has taken it.
  acted: async ({ db }) =>
    (
      await row<{ acted: number }>(
        db,
        `SELECT count(*)::int AS acted FROM order_messages m WHERE told_at IS NOT NULL
           AND (told_by <> 'signal' OR EXISTS (SELECT FROM order_log l WHERE l.message_id = m.id))`,
      )
    )?.acted ?? 0,
  worker: workers[0]?.pid ?? 0,
});

/** Sends, directly from the bench, the signal that a notification becomes. */
const bare = (pid: number): Way => ({
  async open({ temporal }, { count, round, progress }) {
    const ids: string[] = [];
    await inLanes(count, 8, async (index) => {
      const outTradeNo = `round${round}_${index}`;
      ids.push(await startBarePayment(temporal, { outTradeNo, orderId: outTradeNo, intervalMs: 3_600_000 }));
      progress.advance();
    });
    return () =>
      inLanes(count, SENDERS, async (index) => {
        await temporal.workflow.getHandle(ids[index] ?? '').signal('alipayNotified');
        progress.advance();
      });
  },
  acted: async ({ temporal }) => (await countEnded(temporal, BARE_WORKFLOWS.order)).completed,
  worker: pid,
});

/** The first round warms up; then the sides alternate, since the second one always meets a larger database. */
async function measure(
  bench: Bench,
  rig: Rig,
  { count, sides, all }: { count: number; sides: Partial<Record<Side, Way>>; all: Record<Side, Measured[]> },
): Promise<void> {
  const ways = Object.entries(sides) as [Side, Way][];
  for (let round = 0; round <= bench.pairs; round += 1) {
    for (const [side, way] of round % 2 === 0 ? ways : ways.toReversed()) {
      const progress = bench.progress(`notified: ${side}, round ${round}`, 2 * count);
      const measured = await measureOne(rig, way, { count, round, progress });
      progress.end();
      if (round > 0) all[side].push(measured);
    }
  }
}

/** From the first notification until the last result is acted on. */
async function measureOne(rig: Rig, way: Way, run: Run): Promise<Measured> {
  const notifyAll = await way.open(rig, run);
  const read = () => ({ ...cpuOf(rig), worker: cpuSeconds(way.worker) });
  const before = read();
  const startedAt = performance.now();
  await notifyAll();
  await waitFor(async () => (await way.acted(rig)) === run.count * (run.round + 1), {
    what: 'all results to be acted on',
    timeoutMs: 240_000,
    everyMs: 50,
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  const after = read();
  const each = (part: keyof Measured['cpu']): number => (1_000 * (after[part] - before[part])) / run.count;
  return {
    perSecond: run.count / seconds,
    cpu: {
      server: each('server'),
      worker: each('worker'),
      temporal: each('temporal'),
      postgres: each('postgres'),
    },
  };
}

function findingsOf(all: Record<Side, Measured[]>): Finding[] {
  const withoutServer = ({ cpu }: Measured): number => cpu.worker + cpu.temporal + cpu.postgres;
  const whole = (one: Measured): number => one.cpu.server + withoutServer(one);
  const pairs = (of: (one: Measured) => number): number[] =>
    all.workflow.map((one, pair) => of(one) / of(all.bare[pair] ?? one));
  const middle = (side: Side, of: (one: Measured) => number): number => median(all[side].map(of));
  const byPart = (side: Side): string =>
    (['worker', 'temporal', 'postgres'] as const)
      .map((part) => `${part} ${middle(side, ({ cpu }) => cpu[part]).toFixed(1)}`)
      .join(' + ');
  const rates = pairs(({ perSecond }) => perSecond);
  const costs = pairs(withoutServer);
  const webhook = middle('webhook', whole) / middle('workflow', whole);
  return [
    {
      what: 'notified payments a second ÷ bare',
      figure: `${spread(rates, 2)}: ${middle('workflow', (one) => one.perSecond).toFixed(0)} ÷ ${middle('bare', (one) => one.perSecond).toFixed(0)}`,
      target: '≥ 0.85',
      met: median(rates) >= 0.85,
      detail: { ...all },
    },
    {
      what: 'CPU of a notified payment ÷ bare',
      figure: `${spread(costs, 2)}: ${byPart('workflow')} ms ÷ ${byPart('bare')} ms`,
      target: '≤ 1.15',
      met: median(costs) <= 1.15,
      detail: { server: all.workflow.map(({ cpu }) => cpu.server) },
    },
    {
      what: 'CPU of a notified payment by webhook, of that by order workflow',
      figure: `${webhook.toFixed(2)} (${middle('webhook', whole).toFixed(1)} against ${middle('workflow', whole).toFixed(1)} ms, the HTTP server's among them)`,
      target: '≤ 0.7',
      met: webhook <= 0.7,
      detail: {},
    },
  ];
}
