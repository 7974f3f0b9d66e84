import { setTimeout as sleep } from 'node:timers/promises';
import type { Plan } from './buyers';
import { Buyer } from './buyers';
import type { World } from './world';

/** The most buyers under way at once: if a machine cannot keep up, more would only pile up. */
const MOST_UNDER_WAY = 600;

export interface Stream {
  /** How many came. */
  came: number;
  /** How many were turned away because too many were under way. */
  turnedAway: number;
  seconds: number;
  /** How many came of each manner. */
  manners: Map<Plan['manner'], number>;
}

export interface StreamOptions {
  /** Buyers per second. */
  rate: number;
  onDone: (plan: Plan) => void;
  onCome?: (place: number) => void;
  /** Whether no more buyers are needed. */
  isOver?: () => boolean;
}

/** Buyers come at a steady rate and act at the same time; it ends when the last one has left. */
export async function letBuyersCome(
  world: World,
  plans: readonly Plan[],
  { rate, onDone, onCome, isOver }: StreamOptions,
): Promise<Stream> {
  const start = Date.now();
  const stream: Stream = { came: 0, turnedAway: 0, seconds: 0, manners: new Map() };
  const lives = new Set<Promise<void>>();
  const broken: unknown[] = [];
  for (const [place, plan] of plans.entries()) {
    await sleep(Math.max(0, start + (place * 1000) / rate - Date.now()));
    if (isOver?.()) break;
    onCome?.(place);
    if (lives.size >= MOST_UNDER_WAY) {
      stream.turnedAway += 1;
      continue;
    }
    stream.came += 1;
    stream.manners.set(plan.manner, (stream.manners.get(plan.manner) ?? 0) + 1);
    const life: Promise<void> = new Buyer({ ...world }, `order-${place + 1}`, plan)
      .live()
      .catch((error: unknown) => void broken.push(error))
      .finally(() => {
        lives.delete(life);
        onDone(plan);
      });
    lives.add(life);
  }
  stream.seconds = (Date.now() - start) / 1000;
  await Promise.all(lives);
  if (broken.length > 0) throw broken[0];
  return stream;
}
