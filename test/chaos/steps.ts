import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SingleBar } from 'cli-progress';
import { FAULT_MODES } from '../../sandbox';
import { AUDIT_SCHEDULE_ID, WORKFLOWS } from '../../workflows/messages';
import { planBuyers } from './buyers';
import { Chance } from './chance';
import { terminateSome } from './faults/hands';
import { breakNotifications, letThingsGoRight, strikeCalls } from './mishaps';
import { refundSomeByHand } from './portal';
import type { Done } from './profiles';
import type { Settings } from './settings';
import { bringForward } from './rest';
import { superviseParts } from './storm';
import { letBuyersCome } from './stream';
import type { World } from './world';

/** Side effects at which every run must kill, before and after them, whatever else it meets: who does what. */
const EFFECTS: readonly string[] = [
  ...['rows written', 'payment woken', 'answered well'].map((what) => `POST /checkout: ${what}`),
  ...['rows written', 'payment woken', 'answered well'].map((what) => `POST /alipay/notify: ${what}`),
  ...['rows written', 'answered well'].map((what) => `POST /refunds: ${what}`),
  ...['trade queried', 'rows written'].map((what) => `queryAlipay: ${what}`),
  ...['rows written', 'order told'].map((what) => `recordAndTell: ${what}`),
  ...['trade queried', 'trade closed', 'rows written'].map((what) => `closeExpiredOrders: ${what}`),
  ...['trade queried', 'rows written'].map((what) => `cancelOrder: ${what}`),
  ...['refund sent', 'rows written'].map((what) => `refundAtAlipay: ${what}`),
  ...['trade queried', 'rows written'].map((what) => `askSlowly: ${what}`),
];

/** How the results reach the shop. */
const TELLING = {
  workflow: ['recordAndTell: order told', 'actOnResult: rows written'],
  webhook: ['recordAndTell: result posted'],
} as const;

const expectedSteps = (way: keyof typeof TELLING): string[] =>
  [
    ...EFFECTS.filter((effect) => way === 'workflow' || effect !== 'recordAndTell: order told'),
    ...TELLING[way],
  ].flatMap((effect) => [`before ${effect}`, `after ${effect}`]);

/** How long everything works after a death, so that what comes late in a payment's life is reached too. */
const PEACE_MS = 2_000;

const REARM_MS = 1_000;

/** The files that tell processes to die, see failpoints.ts. */
class Steps {
  constructor(private readonly folder: string) {
    for (const place of ['armed', 'met', 'killed']) mkdirSync(join(folder, place), { recursive: true });
  }

  in(place: 'armed' | 'met' | 'killed'): string[] {
    return readdirSync(join(this.folder, place)).map(decodeURIComponent);
  }

  /** No other process dies. */
  disarm(): void {
    for (const step of this.in('armed'))
      rmSync(join(this.folder, 'armed', encodeURIComponent(step)), { force: true });
  }

  arm(step: string): void {
    writeFileSync(join(this.folder, 'armed', encodeURIComponent(step)), '');
  }
}

export const prepareFailpoints = (folder: string): Steps => new Steps(folder);

/**
 * Kills the first process to reach a step at which none has died yet, then lets the world work for a moment, and so on
 * until each step that any process has reached has had its turn. All are armed at once: most are reached seldom.
 */
export async function killAtEveryStep(
  world: World,
  { seed, minutes, rate }: Settings,
  bar: SingleBar,
): Promise<Done> {
  const steps = new Steps(join(world.folder, 'failpoints'));
  const orchestrator = superviseParts(world);
  const deadline = Date.now() + minutes * 60_000;
  // No stale answers: here the re-check that follows a close by 25 hours comes within seconds.
  await strikeCalls(
    world.alipay,
    0.05,
    FAULT_MODES.filter((mode) => mode !== 'stale'),
  );
  await breakNotifications(world.alipay, { lost: 0.4 });
  const expected = expectedSteps(world.reception ? 'webhook' : 'workflow');
  let isOver = false;
  const killing = (async () => {
    for (;;) {
      if (Date.now() >= deadline) break;
      const [met, killed] = [steps.in('met'), steps.in('killed')];
      const rest = met.filter((step) => !killed.includes(step));
      bar.update(Math.round(minutes * 60 - (deadline - Date.now()) / 1000), {
        phase: `killed at ${killed.length} of ${new Set([...met, ...expected]).size} steps`,
      });
      if (rest.length === 0 && expected.every((step) => killed.includes(step))) break;
      if (await killFirstOf(steps, rest, deadline)) await sleep(PEACE_MS);
    }
    isOver = true;
    steps.disarm();
  })();
  const plans = planBuyers(minutes * 60 * rate, seed);
  const [stream] = await Promise.all([
    letBuyersCome(world, plans, { rate, onDone: () => undefined, isOver: () => isOver }),
    killing,
    giveNetsWork(world, new Chance(seed), () => isOver),
  ]);
  await letThingsGoRight(world.alipay);
  // Not earlier: only the bill would find those whose notifications are lost for good.
  await refundSomeByHand(world.alipay, seed);
  await orchestrator.stop();
  await startAll(world);
  const killed = steps.in('killed').sort();
  process.stdout.write(
    `\nKilled at ${killed.length} steps:\n${killed.map((step) => `  ${step}\n`).join('')}`,
  );
  const met = steps.in('met').filter((step) => !killed.includes(step));
  const missing = [...new Set([...expected.filter((step) => !killed.includes(step)), ...met])];
  return { stream, raised: [], missing: missing.map((step) => `a death ${step}`) };
}

/** How often the nets are set to work, to find what would be due in minutes or hours, and runs that are gone. */
const NET_EVERY_MS = 4_000;

async function giveNetsWork(world: World, chance: Chance, isOver: () => boolean): Promise<void> {
  // No refunds by hand: some notifications are lost for good, and only the bill would find those refunds.
  const acts = [
    () => bringForward(world.db),
    () => terminateSome(world, chance),
    () => bringForward(world.db),
    () => terminateSome(world, chance, WORKFLOWS.refundPayment),
  ];
  // Too large to come from Alipay, so the response is an error, as otherwise only in an outage.
  const notAlipay = { method: 'POST', body: new URLSearchParams({ body: 'x'.repeat(200_000) }) };
  // By itself it runs once an hour.
  const audit = world.temporal.schedule.getHandle(AUDIT_SCHEDULE_ID);
  for (let turn = 0; !isOver(); turn += 1) {
    await sleep(NET_EVERY_MS);
    // The process it needs may just have died.
    await acts[turn % acts.length]?.().catch(() => undefined);
    void world.payments.followUp.run().catch(() => undefined);
    if (turn % acts.length === 0) void audit.trigger().catch(() => undefined);
    void fetch(`${world.url}/alipay/notify`, notAlipay).catch(() => undefined);
  }
}

/** Returns whether a process has died. */
async function killFirstOf(steps: Steps, rest: readonly string[], deadline: number): Promise<boolean> {
  for (const step of rest) steps.arm(step);
  const before = steps.in('killed').length;
  // Steps that were met in the meantime are armed next time.
  const until = Math.min(deadline, Date.now() + REARM_MS);
  const hasDied = (): boolean => steps.in('killed').length > before;
  while (Date.now() < until && !hasDied()) await sleep(50);
  steps.disarm();
  return hasDied();
}

/** Restarts what died at the very end. */
async function startAll({ parts: { server, workers } }: World): Promise<void> {
  await Promise.all([server, ...workers.map(({ part }) => part)].map((part) => part.start()));
}
