import type { Chance } from '../chance';
import type { World } from '../world';

/** Something that breaks, for a while. */
export interface Fault {
  name: string;
  /** What it takes: two faults that take the same never overlap. */
  takes: readonly string[];
  /** How long it lasts, seconds. */
  seconds: readonly [least: number, most: number];
  /** If it returns false, the fault is never drawn. */
  isPossible?: (world: World) => boolean;
  /** Breaks it. */
  strike: (world: World, chance: Chance) => Promise<Struck>;
}

/** A fault in force. */
export interface Struck {
  /** What it hit, for the log. */
  what?: string;
  /** Heals it; resolves once it is healed. Returns how often it really happened: 0 proves nothing. */
  end(): Promise<number>;
}

/** For what needs no healing. */
export const over = (times: number, what?: string): Struck => ({
  ...(what !== undefined && { what }),
  end: () => Promise.resolve(times),
});
