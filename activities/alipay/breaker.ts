import { once } from 'node:events';
import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import { AlipayError } from './errors';

/** After so many failures in a row the breaker opens, and lets one call through again after the pause. */
const BREAKER = { failures: 10, pauseMs: 10_000 };

/** The call was made and is not over, but its caller does not wait any longer. */
export class OutOfPatience extends Error {
  override readonly name = 'OutOfPatience';
}

/** The call was not made: the gateway has failed too often. */
export class NotMade extends Error {
  override readonly name = 'NotMade';
}

/**
 * Refuses calls while the gateway has failed too often.
 *
 * A call counts for what comes of it by its own deadline, however long its caller waits: a caller who goes away leaves it
 * running. Cut short, it would say nothing of the gateway, and a gateway that is slow would look like one that is down;
 * passed over, a gateway that hangs would look well to a process whose callers never wait to the end.
 */
export class GatewayBreaker {
  readonly #policy = circuitBreaker(
    handleWhen((error) => error instanceof AlipayError && error.outage),
    { halfOpenAfter: BREAKER.pauseMs, breaker: new ConsecutiveBreaker(BREAKER.failures) },
  );

  /** Whether calls are refused without being made. */
  get isOpen(): boolean {
    return this.#policy.state === CircuitState.Open;
  }

  /**
   * Makes the call, unless the breaker is open, and waits for it for `patienceMs`, or to its end.
   *
   * @throws NotMade, OutOfPatience, and what `make` throws
   */
  async run<T>(make: () => Promise<T>, patienceMs?: number): Promise<T> {
    try {
      if (patienceMs === undefined) return await this.#policy.execute(make);
      return await this.#runFor(patienceMs, make);
    } catch (error) {
      throw error instanceof BrokenCircuitError ? new NotMade() : error;
    }
  }

  #runFor<T>(patienceMs: number, make: () => Promise<T>): Promise<T> {
    // The policy, too, heeds it: a call that stands in line behind the one question is not made for a caller who is gone.
    const patience = AbortSignal.timeout(patienceMs);
    let isMade = false;
    const call = this.#policy.execute(() => {
      isMade = true;
      return make();
    }, patience);
    const end = once(patience, 'abort').then(() => {
      throw isMade ? new OutOfPatience() : new NotMade();
    });
    return Promise.race([call, end]);
  }
}
