import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SingleBar } from 'cli-progress';
import { planBuyers } from './buyers';
import { Chance } from './chance';
import { breakNotifications, letThingsGoRight, strikeCalls } from './mishaps';
import { refundSomeByHand } from './portal';
import type { Done } from './profiles';
import type { Settings } from './settings';
import { superviseParts } from './storm';
import { letBuyersCome } from './stream';
import type { World } from './world';

/** Side effects that every run must have died at, on both sides, whatever else it meets: who does what. */
const EFFECTS: readonly string[] = [
  ...['rows written', 'confirmPayment started', 'answered well'].map((what) => `POST /checkout: ${what}`),
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

/** How long somebody is waited for at a step before the next one is taken; it gets its turn again. */
const PATIENCE_MS = 4_000;

/** The files by which processes are told to die, see failpoints.ts. */
class Steps {
  constructor(private readonly folder: string) {
    for (const place of ['armed', 'met', 'killed']) mkdirSync(join(folder, place), { recursive: true });
  }

  in(place: 'armed' | 'met' | 'killed'): string[] {
    return readdirSync(join(this.folder, place)).map(decodeURIComponent);
  }

  /** Nobody else dies. */
  disarm(): void {
    for (const step of this.in('armed'))
      rmSync(join(this.folder, 'armed', encodeURIComponent(step)), { force: true });
  }

  arm(step: string): void {
    writeFileSync(join(this.folder, 'armed', encodeURIComponent(step)), '');
  }
}

export const prepareFailpoints = (folder: string): Steps => new Steps(folder);

/** Kills whoever comes to a step, one step after the other, until each that anybody has come to has had its turn. */
export async function killAtEveryStep(
  world: World,
  { seed, minutes, rate }: Settings,
  bar: SingleBar,
): Promise<Done> {
  const steps = new Steps(join(world.folder, 'failpoints'));
  const chance = new Chance(seed);
  const orchestrator = superviseParts(world);
  const deadline = Date.now() + minutes * 60_000;
  await strikeCalls(world.alipay, 0.05);
  await breakNotifications(world.alipay, { lost: 0.4 });
  const expected = expectedSteps(world.reception ? 'webhook' : 'workflow');
  const tried = new Map<string, number>();
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
      const fewest = Math.min(...rest.map((step) => tried.get(step) ?? 0));
      const due = rest.filter((step) => (tried.get(step) ?? 0) === fewest);
      if (due.length > 0) {
        const step = chance.one(due);
        tried.set(step, fewest + 1);
        await killOnce(steps, step);
      }
      await sleep(200);
    }
    isOver = true;
    steps.disarm();
  })();
  const plans = planBuyers(minutes * 60 * rate, seed);
  const stream = await letBuyersCome(world, plans, { rate, onDone: () => undefined, isOver: () => isOver });
  await killing;
  await refundSomeByHand(world.alipay, seed);
  await letThingsGoRight(world.alipay);
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

async function killOnce(steps: Steps, step: string): Promise<void> {
  steps.arm(step);
  const until = Date.now() + PATIENCE_MS;
  while (Date.now() < until && !steps.in('killed').includes(step)) await sleep(50);
  steps.disarm();
}

/** What died at the very end is there again. */
async function startAll({ parts: { server, workers } }: World): Promise<void> {
  await Promise.all([server, ...workers.map(({ part }) => part)].map((part) => part.start()));
}
