import { Chance } from './chance';
import type { Fault } from './faults';

/** One fault: when it begins and how long it lasts, in seconds from the start of the storm. */
export interface Planned {
  fault: Fault;
  at: number;
  seconds: number;
  /** The fault's own dice: what it hits does not depend on what came before. */
  seed: number;
}

/** How often a kind is drawn; 0: this run does without it. */
const RATES = [0, 1, 1, 2, 4] as const;

/** Between two faults, seconds. After every few faults nothing breaks for a while: then checkouts must work. */
const PAUSE = [2, 5] as const;
const QUIET_S = 14;
const UNTIL_QUIET = 6;

/** The last seconds of a storm, kept free of faults so that everything recovers. */
const TAIL_S = 5;

/**
 * Which faults strike when; the same seed makes the same plan. First the seed draws how often each kind comes, so that
 * some runs have many of one kind and none of another; then each kind drawn comes once, in any order, then by its rate.
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
    // After any fault that takes the same; otherwise it may overlap the one before, if the dice say so.
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
