import { Chance } from './chance';
import type { Fault } from './faults';

/** One fault, when it begins and for how long, seconds from the start of the storm. */
export interface Planned {
  fault: Fault;
  at: number;
  seconds: number;
  /** The fault's own dice: what it hits does not depend on what came before. */
  seed: number;
}

/** How often a kind is drawn: this run may be without it. */
const RATES = [0, 1, 1, 2, 4] as const;

/** Between two faults, seconds. Every few of them nothing breaks for a while: then checkouts must work. */
const PAUSE = [2, 5] as const;
const QUIET_S = 14;
const UNTIL_QUIET = 6;

/** Storms of so many seconds leave this much to come to themselves at the end. */
const TAIL_S = 5;

/**
 * Which faults strike when; the same seed plans the same. First the seed draws how often each kind comes, so that some runs
 * have all of one kind and none of another; then each that comes at all comes once, in any order, and again by its rate.
 */
export function planFaults(
  kinds: readonly Fault[],
  { seed, seconds }: { seed: number; seconds: number },
): Planned[] {
  const chance = new Chance(seed);
  const rated = kinds.map((fault) => ({ fault, rate: chance.one(RATES) }));
  const drawn = rated.filter(({ rate }) => rate > 0);
  const once = chance.shuffled(drawn.map(({ fault }) => fault));
  const urn = drawn.flatMap(({ fault, rate }) => Array.from({ length: rate }, () => fault));
  const planned: Planned[] = [];
  let at: number = PAUSE[1];
  while (drawn.length > 0) {
    const fault = once.shift() ?? chance.one(urn);
    const length = Math.round(chance.between(...fault.seconds) * 10) / 10;
    // Later than whatever takes the same; else beside the one before, if the dice say so.
    const free = Math.max(0, ...planned.filter((other) => collide(other.fault, fault)).map(endOf));
    at = Math.max(at, free + 1);
    if (at + length > seconds - TAIL_S) break;
    planned.push({ fault, at, seconds: length, seed: chance.below(2 ** 31) });
    const overlaps = chance.next() < 0.4;
    at += overlaps ? chance.between(1, 3) : length + chance.between(...PAUSE);
    if (planned.length % UNTIL_QUIET === 0) at = Math.max(...planned.map(endOf)) + QUIET_S;
    at = Math.round(at * 10) / 10;
  }
  return planned;
}

const endOf = ({ at, seconds }: Planned): number => at + seconds;

const collide = (one: Fault, other: Fault): boolean => one.takes.some((taken) => other.takes.includes(taken));

/** The schedule as a person reads it. */
export function scheduleInWords(planned: readonly Planned[]): string {
  const clock = (seconds: number): string => {
    const whole = Math.floor(seconds);
    return `${String(Math.floor(whole / 60)).padStart(2, '0')}:${String(whole % 60).padStart(2, '0')}`;
  };
  return planned
    .map(({ fault, at, seconds }) => `  ${clock(at)}  ${fault.name}, ${seconds.toFixed(1)} s`)
    .join('\n');
}
