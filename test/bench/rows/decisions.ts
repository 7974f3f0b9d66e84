import { cpuSeconds } from '../cpu';
import { inLanes } from '../pace';
import { PACKAGED } from '../package';
import type { Bench, Finding, Row } from '../row';
import { THE_TEA } from '../row';
import { checkOutAndPay, untilDone } from '../shop';
import { median, spread } from '../statistics';
import type { Side } from '../variants/side';
import { openSide } from '../variants/side';
import type { Troubled } from '../variants/trouble';
import { hang, slow } from '../variants/trouble';
import { verify } from '../verify';
import type { World } from '../world';
import { paymentWorkflowId } from '../../../workflows/messages';

/** Timers of less take about one second too, on the dev server. */
const INTERVAL_MS = 1_000;

/** Open at the same time; each takes its three checks, three seconds and more. */
const OPEN = 60;

/** Payments whose state transitions are looked at. One that is taken up late has fewer, so the median counts. */
const LOOKED_AT = 10;

const NAMES = ['shipped', 'normal', 'retries'] as const;

type Name = (typeof NAMES)[number];
type Each<T> = Record<Name, T>;

interface Measured {
  perSecond: number;
  /** CPU milliseconds per payment. */
  cpu: { worker: number; temporal: number; postgres: number; all: number };
}

/** The three applications on one set of servers, and what they have left behind so far. */
interface Field {
  world: World;
  sides: Each<Side>;
  paid: number;
  unpaid: number;
  reruns: number;
}

export const decisions: Row = {
  name: 'decisions',
  summary: 'the loop with its fast path, against normal activities only, and against retries by the server',
  async run(bench) {
    const world = await bench.open({
      workers: 0,
      namespaces: NAMES,
      env: { PAYMENT_CHECK_INTERVAL: `${INTERVAL_MS}ms` },
    });
    const variant = (name: Name): Promise<Side> =>
      openSide(world, name, { file: PACKAGED.variantWorker, args: [name] });
    const sides = {
      shipped: await openSide(world, 'shipped', { file: PACKAGED.worker }),
      normal: await variant('normal'),
      retries: await variant('retries'),
    };
    const field: Field = { world, sides, paid: 0, unpaid: 0, reruns: 0 };
    const paidAtOnce = await transitionsOfPaid(field);
    const { measured, unpaidAfterThree } = await alternate(bench, field);
    const count = bench.quick ? 15 : 40;
    const late = await inTrouble(bench, field, { what: 'slow', count, live: slow });
    const dark = await inTrouble(bench, field, { what: 'hanging', count, live: hang });
    await each((name) => sides[name].payments.close());
    return [
      transitionsFinding(paidAtOnce, unpaidAfterThree),
      ...costFindings(measured),
      troubleFinding('gateway answers after 2 s', late),
      troubleFinding('gateway hangs for 15 s', dark),
    ];
  },
};

/** Warms up, too. */
async function transitionsOfPaid(field: Field): Promise<Each<number>> {
  const transitions = await each(async (name) => {
    const side = field.sides[name];
    const bought = await Promise.all(
      Array.from({ length: LOOKED_AT }, (_, index) =>
        checkOutAndPay({ ...field.world, payments: side.payments }, `paid-${name}-${index}`),
      ),
    );
    const ids = bought.map(({ outTradeNo }) => outTradeNo);
    for (const outTradeNo of ids) await untilDone(side, outTradeNo);
    return transitionsOf(side, ids);
  });
  field.paid += LOOKED_AT * NAMES.length;
  await verifyAll(field);
  return transitions;
}

/** Payments that nobody pays, asked about three times each, side after side in turn; who goes first changes. */
async function alternate(
  bench: Bench,
  field: Field,
): Promise<{ measured: Each<Measured[]>; unpaidAfterThree: Each<number> }> {
  const rounds = bench.quick ? 2 : 4;
  const count = bench.quick ? OPEN : 2 * OPEN;
  const measured: Each<Measured[]> = { shipped: [], normal: [], retries: [] };
  const seen: Each<string[]> = { shipped: [], normal: [], retries: [] };
  const progress = bench.progress('decisions: payments', rounds * NAMES.length * count);
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < NAMES.length; turn += 1) {
      const name = NAMES[(round + turn) % NAMES.length] as Name;
      const { outTradeNos, ...result } = await measureOne(field, name, `unpaid-${name}-${round}`, count);
      measured[name].push(result);
      seen[name] = outTradeNos;
      field.unpaid += count;
      await verifyAll(field);
      progress.advance(count);
    }
  }
  progress.end();
  return {
    measured,
    unpaidAfterThree: await each((name) => transitionsOf(field.sides[name], seen[name].slice(-LOOKED_AT))),
  };
}

async function measureOne(
  { world, sides }: Field,
  name: Name,
  prefix: string,
  count: number,
): Promise<Measured & { outTradeNos: string[] }> {
  const side = sides[name];
  const read = () => ({
    worker: cpuSeconds(side.worker.pid),
    temporal: cpuSeconds(world.temporalServer.pid),
    postgres: cpuSeconds(world.postgres.pid),
  });
  const outTradeNos: string[] = [];
  const start = read();
  const startedAt = performance.now();
  await inLanes(count, OPEN, async (index) => {
    const { outTradeNo, paymentUrl } = await side.payments.checkout({
      orderId: `${prefix}-${index}`,
      ...THE_TEA,
    });
    await world.alipay.open(paymentUrl);
    await untilDone(side, outTradeNo);
    outTradeNos.push(outTradeNo);
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const end = read();
  const perPayment = (part: keyof typeof start): number => ((end[part] - start[part]) * 1000) / count;
  const cpu = {
    worker: perPayment('worker'),
    temporal: perPayment('temporal'),
    postgres: perPayment('postgres'),
  };
  return {
    outTradeNos,
    perSecond: count / seconds,
    cpu: { ...cpu, all: cpu.worker + cpu.temporal + cpu.postgres },
  };
}

/** All three meet the same trouble at the same time: it is waiting that is looked at, not work. */
async function inTrouble(
  bench: Bench,
  field: Field,
  {
    what,
    count,
    live,
  }: {
    what: string;
    count: number;
    live: (world: World, sides: Side[], count: number) => Promise<Troubled[]>;
  },
): Promise<Each<Troubled>> {
  const progress = bench.progress(`decisions: payments, gateway ${what}`, count * NAMES.length);
  const [shipped, normal, retries] = await live(
    field.world,
    NAMES.map((name) => field.sides[name]),
    count,
  );
  if (!shipped || !normal || !retries) throw new Error('A side is missing');
  field.paid += count * NAMES.length;
  field.reruns += shipped.reruns + normal.reruns + retries.reruns;
  await verifyAll(field);
  progress.advance(count * NAMES.length);
  progress.end();
  return { shipped, normal, retries };
}

function verifyAll({ world, sides, paid, unpaid, reruns }: Field): Promise<void> {
  return verify(world, {
    paid,
    unpaid,
    reruns,
    homes: Object.values(sides).map(({ temporal }) => temporal),
  });
}

async function each<T>(of: (name: Name) => Promise<T>): Promise<Each<T>> {
  return { shipped: await of('shipped'), normal: await of('normal'), retries: await of('retries') };
}

async function transitionsOf({ temporal }: Side, outTradeNos: string[]): Promise<number> {
  const counts = await Promise.all(
    outTradeNos.map(async (outTradeNo) => {
      const { raw } = await temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
      return Number(raw.workflowExecutionInfo?.stateTransitionCount);
    }),
  );
  return median(counts);
}

const TARGET = 'the shipped one wins';

const inTurn = (text: (name: Name) => string): string =>
  NAMES.map((name) => `${name} ${text(name)}`).join(' · ');

const isLeast = (of: Each<number>): boolean => of.shipped <= Math.min(of.normal, of.retries);

function transitionsFinding(paidAtOnce: Each<number>, unpaidAfterThree: Each<number>): Finding {
  return {
    what: 'transitions: paid at check 1 / unpaid after 3',
    figure: inTurn((name) => `${paidAtOnce[name]} / ${unpaidAfterThree[name]}`),
    target: TARGET,
    met: isLeast(paidAtOnce) && isLeast(unpaidAfterThree),
    detail: { paidAtOnce, unpaidAfterThree },
  };
}

function costFindings(measured: Each<Measured[]>): Finding[] {
  const middle = (name: Name, of: (one: Measured) => number): number => median(measured[name].map(of));
  const all: Each<number> = {
    shipped: middle('shipped', ({ cpu }) => cpu.all),
    normal: middle('normal', ({ cpu }) => cpu.all),
    retries: middle('retries', ({ cpu }) => cpu.all),
  };
  const parts = (name: Name): string =>
    (['worker', 'temporal', 'postgres'] as const)
      .map((part) => middle(name, ({ cpu }) => cpu[part]).toFixed(0))
      .join(' + ');
  const rates = (name: Name): string =>
    spread(
      measured[name].map(({ perSecond }) => perSecond),
      1,
    );
  return [
    {
      what: 'CPU per payment of three checks: worker + Temporal + Postgres',
      figure: inTurn((name) => `${all[name].toFixed(0)} (${parts(name)}) ms`),
      target: TARGET,
      met: isLeast(all),
      detail: { measured },
    },
    {
      what: `payments/s of three checks, ${OPEN} open at a time`,
      figure: inTurn(rates),
      target: 'none: see the CPU',
      met: true,
      detail: { measured },
    },
  ];
}

function troubleFinding(what: string, troubled: Each<Troubled>): Finding {
  const of = (name: Name): string => {
    const { done, count, lateMs, tasksLost, reruns } = troubled[name];
    const late = `${(median(lateMs) / 1000).toFixed(1)} (≤ ${(Math.max(...lateMs) / 1000).toFixed(1)}) s late`;
    return `${done}/${count} done in time, ${late}, ${tasksLost} tasks lost, ${reruns} given up`;
  };
  const behind = (name: Name): boolean =>
    troubled.shipped.done < troubled[name].done || troubled.shipped.reruns > troubled[name].reruns;
  return {
    what,
    figure: inTurn(of),
    target: TARGET,
    met: !behind('normal') && !behind('retries') && troubled.shipped.tasksLost === 0,
    detail: { troubled },
  };
}
