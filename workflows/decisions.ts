import { condition, isCancellation } from '@temporalio/workflow';

interface Waiting<Wanted, State> {
  wanted: Wanted;
  end?: { kind: 'done'; state: State } | { kind: 'failed'; error: unknown };
}

/** People's decisions. Each caller waits until the loop has carried out its decision, or gets the error. */
export class Decisions<Wanted, State> {
  readonly #waiting: Waiting<Wanted, State>[] = [];

  get areWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** @throws what carrying it out threw */
  async carriedOut(wanted: Wanted): Promise<State> {
    const decision: Waiting<Wanted, State> = { wanted };
    this.#waiting.push(decision);
    await condition(() => decision.end !== undefined);
    if (decision.end?.kind === 'done') return decision.end.state;
    throw decision.end?.error;
  }

  /**
   * Carries out the oldest decision.
   *
   * @returns the error, if it failed; the person has already received it
   */
  async carryOutNext(act: (wanted: Wanted) => Promise<State>): Promise<unknown> {
    const decision = this.#waiting.shift();
    if (!decision) return undefined;
    try {
      decision.end = { kind: 'done', state: await act(decision.wanted) };
      return undefined;
    } catch (error) {
      decision.end = { kind: 'failed', error };
      if (isCancellation(error)) throw error;
      return error;
    }
  }
}
