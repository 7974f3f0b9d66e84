/** How often something happens: a number is a probability from 0 to 1; `{times}` means the next `times` times. */
export type Chance = number | { times: number };

/** Draws from a chance; each draw uses up one of a count. */
export class Dice {
  #left: number;

  /**
   * @param chance undefined: never
   * @param random 0 ≤ x < 1
   */
  constructor(
    private readonly chance: Chance | undefined,
    private readonly random: () => number,
  ) {
    this.#left = typeof chance === 'object' ? chance.times : 0;
  }

  /** Whether it happens this time. */
  throw(): boolean {
    if (this.chance === undefined) return false;
    if (typeof this.chance === 'number') return this.random() < this.chance;
    if (this.#left <= 0) return false;
    this.#left -= 1;
    return true;
  }
}
