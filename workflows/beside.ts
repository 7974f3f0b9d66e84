import { CancellationScope, isCancellation } from '@temporalio/workflow';

/**
 * Work that runs beside a workflow's loop, which waits for it to end or for something more urgent. Only the loop acts
 * on the result, so its steps never overlap.
 */
export class Beside<T> {
  readonly #scope = new CancellationScope();
  #end: { kind: 'done'; value: T } | { kind: 'failed'; error: unknown } | undefined;

  constructor(work: () => Promise<T>) {
    this.#scope.run(work).then(
      (value) => {
        this.#end = { kind: 'done', value };
      },
      (error: unknown) => {
        this.#end = { kind: 'failed', error };
      },
    );
  }

  get isOver(): boolean {
    return this.#end !== undefined;
  }

  /** Cancels the work: it ends as cancelled, or with its result if that is already on its way. */
  cancel(): void {
    this.#scope.cancel();
  }

  /**
   * The result, once the work is over; undefined if it was cancelled.
   *
   * @throws what the work threw
   */
  get result(): T | undefined {
    if (this.#end?.kind === 'done') return this.#end.value;
    if (this.failure) throw this.failure;
    return undefined;
  }

  /** What the work threw; undefined if it threw nothing or was cancelled. */
  get failure(): Error | undefined {
    if (this.#end?.kind !== 'failed' || isCancellation(this.#end.error)) return undefined;
    const { error } = this.#end;
    return error instanceof Error ? error : new Error(String(error));
  }
}
