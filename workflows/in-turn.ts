/**
 * Takes local activities one after the other. Two at once may be replayed in another order than they ran in: both
 * results then come before the code that the first one led to, and the run never leaves that task again (seen: a
 * notification beside the reading of the row, "Missing associated machine for LocalActivity").
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
