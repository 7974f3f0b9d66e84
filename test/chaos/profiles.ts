import { setTimeout as sleep } from 'node:timers/promises';
import type { SingleBar } from 'cli-progress';
import { paymentsOf, planBuyers } from './buyers';
import { Chance } from './chance';
import { FAULTS } from './faults';
import { breakNotifications, letThingsGoRight, loseDeliveriesOnly, strikeCalls } from './mishaps';
import { refundSomeByHand } from './portal';
import type { Planned } from './schedule';
import { planFaults } from './schedule';
import { paySentinel, pesterSentinel } from './sentinel';
import type { Settings } from './settings';
import { storm, superviseParts } from './storm';
import type { Stream } from './stream';
import { letBuyersCome } from './stream';
import type { World } from './world';

/** What a profile has done to the world, for the report. */
export interface Done {
  stream: Stream;
  sentinel?: string;
  /** Processes that had to be restarted although nothing had killed them. */
  raised: string[];
  /** What was planned and did not happen. */
  missing: string[];
}

/** A schedule of every kind of fault that can strike in this world, by the seed. */
export const scheduleFor = (world: World, { only = '', seed, minutes }: Settings): Planned[] =>
  planFaults(
    FAULTS.filter(({ name, isPossible = () => true }) => name.includes(only) && isPossible(world)),
    { seed, seconds: minutes * 60 },
  );

/** Everything breaks, by the schedule; then only a core is healed. */
export async function chaos(
  world: World,
  settings: Settings,
  planned: readonly Planned[],
  bar: SingleBar,
): Promise<Done> {
  const { seed, minutes, rate } = settings;
  const sentinel = await paySentinel(world);
  const orchestrator = superviseParts(world);
  const trials = pesterSentinel(world, new Chance(seed));
  const ticking = setInterval(() => bar.increment(), 1_000);
  try {
    const plans = planBuyers(minutes * 60 * rate, seed);
    const [stream] = await Promise.all([
      letBuyersCome(world, plans, { rate, onDone: () => undefined }),
      storm(world, planned, (phase) => bar.update({ phase })),
    ]);
    await trials.stop();
    await refundSomeByHand(world.alipay, seed);
    await healCore(world);
    return { stream, sentinel, raised: orchestrator.raised, missing: vacuous(world, planned, trials.tried) };
  } finally {
    clearInterval(ticking);
    await trials.stop();
    await orchestrator.stop();
  }
}

/** One worker of each queue must be enough; the others stay as broken as can be. */
async function healCore(world: World): Promise<void> {
  const { workers } = world.parts;
  const spare = workers.filter(
    ({ queue }, place) => workers.findIndex((one) => one.queue === queue) !== place,
  );
  for (const [place, { part, egress }] of spare.entries()) {
    egress.cut();
    if (place % 3 === 0) await part.kill();
    if (place % 3 === 2) part.freeze();
  }
  await letThingsGoRight(world.alipay);
}

/** A run proves nothing about a planned fault that never happened. */
function vacuous(
  { history }: World,
  planned: readonly Planned[],
  tried: ReadonlyMap<string, number>,
): string[] {
  const names = [...new Set(planned.map(({ fault }) => fault.name))];
  const happened = (name: string): boolean =>
    history.windows.some((one) => one.name === name && one.times > 0);
  const whatOf = (name: string): string =>
    history.windows.find((one) => one.name === name)?.what ?? 'nothing hit';
  return [
    ...names.filter((name) => !happened(name)).map((name) => `${name} (${whatOf(name)})`),
    ...(tried.size < 3 ? ['trials of the sentinel'] : []),
    ...(history.windows.length < planned.length ? ['the whole schedule'] : []),
  ];
}

/** A given number of payments, in a storm between Alipay and us; processes are killed only on request. */
export async function ledger(world: World, settings: Settings, bar: SingleBar): Promise<Done> {
  const { payments, seed, rate, struck, lost, terminated, kill } = settings;
  const { alipay } = world;
  const plans = planBuyers(payments, seed);
  const chance = new Chance(seed);
  const killing: Promise<void>[] = [];
  const kills = kill ? [0.4, 0.7].map((part) => Math.floor(part * plans.length)) : [];
  await strikeCalls(alipay, struck);
  await breakNotifications(alipay, { lost });
  const stream = await letBuyersCome(world, plans, {
    rate,
    onDone: (plan) => bar.increment(paymentsOf(plan)),
    onCome: (place) => {
      if (kills.includes(place)) killing.push(killWorkers(world));
      if (chance.next() < terminated) killing.push(terminateSomeRun(world, chance));
    },
  });
  await Promise.all(killing);
  bar.update({ phase: 'the shop refunds some in the merchant portal' });
  await loseDeliveriesOnly(alipay, { struckCalls: struck, lostNotifications: lost });
  await refundSomeByHand(alipay, seed);
  await letThingsGoRight(alipay);
  return { stream, raised: [], missing: [] };
}

/** How long no worker runs after a kill. */
const WORKERLESS_MS = 2_000;

async function killWorkers({ parts: { workers } }: World): Promise<void> {
  await Promise.all(workers.map(({ part }) => part.kill()));
  await sleep(WORKERLESS_MS);
  await Promise.all(workers.map(({ part }) => part.start()));
}

async function terminateSomeRun(world: World, chance: Chance): Promise<void> {
  const termination = FAULTS.find(({ name }) => name === 'runs terminated by hand');
  await termination?.strike(world, chance);
}
