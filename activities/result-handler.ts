import type { PaymentResult } from '../workflows/messages';
import type { ResultReceiver } from './result-receiver';
import { NotTaken, PATIENCE_MS } from './result-receiver';

/**
 * Acts on one result. It may come again with the same `messageId`: act once. If it throws, the result stays owed and is
 * told again. `signal` aborts after 10 seconds, when the result counts as not taken.
 */
export type OnResult = (result: PaymentResult, options: { signal: AbortSignal }) => Promise<void> | void;

/** The shop's function has failed. The log gets its `cause`, the shop's own error, instead of this. */
export class OnResultFailed extends NotTaken {}

/** A shop's order service in this process: each result is passed to its function. */
export class ResultHandler implements ResultReceiver {
  readonly kind = 'process';
  readonly #onResult: OnResult;
  readonly #patienceMs: number;

  constructor(onResult: OnResult, { patienceMs = PATIENCE_MS }: { patienceMs?: number } = {}) {
    this.#onResult = onResult;
    this.#patienceMs = patienceMs;
  }

  assertReachable(): void {
    // A function in this process is always reachable.
  }

  /** @throws NotTaken ORDER_SERVICE_DOWN if the function throws, or does not end in time */
  async post(message: PaymentResult): Promise<void> {
    const { messageId } = message;
    const late = new AbortController();
    // A function that throws synchronously counts as one that fails.
    const acting = (async () => this.#onResult(message, { signal: late.signal }))();
    try {
      await within(acting, this.#patienceMs, messageId);
    } catch (cause) {
      late.abort();
      if (cause instanceof NotTaken) throw cause;
      // Its message may be about a buyer: it goes to the log, redacted, and into no row.
      const name = cause instanceof Error ? cause.name : typeof cause;
      throw new OnResultFailed('ORDER_SERVICE_DOWN', `onResult failed (${name}) for ${messageId}`, { cause });
    }
  }
}

/** @throws NotTaken if it does not end in time; that does not stop it */
async function within(work: Promise<void>, ms: number, messageId: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const message = `onResult did not end in time for ${messageId}`;
      reject(new NotTaken('ORDER_SERVICE_DOWN', message));
    }, ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
