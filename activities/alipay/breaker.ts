import { BrokenCircuitError, CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import { AlipayError } from './errors';

/** After so many failures in a row the circuit opens. After the pause it lets one call through, the probe. */
const BREAKER = { failures: 10, pauseMs: 10_000 };

/** The call was not made: too many calls have failed in a row. */
export class CircuitOpen extends Error {
  override readonly name = 'CircuitOpen';
}

/** What others may know of a circuit, for example to take less work while it is open. */
export interface Circuit {
  /** Whether calls are refused: after too many failures in a row, until a probe succeeds. */
  readonly isOpen: boolean;
  /**
   * Epoch ms from which the next call is let through as a probe. Undefined while the circuit is closed, and while a probe
   * is under way: calls made then wait for its end.
   */
  readonly probeAt: number | undefined;
}

/** Refuses calls while the gateway fails. Only an {@link AlipayError} that is an outage counts as a failure. */
export class GatewayBreaker implements Circuit {
  readonly #policy = circuitBreaker(
    handleWhen((error) => error instanceof AlipayError && error.outage),
    { halfOpenAfter: BREAKER.pauseMs, breaker: new ConsecutiveBreaker(BREAKER.failures) },
  );
  #probeAt: number | undefined;

  constructor() {
    this.#policy.onStateChange((state) => {
      this.#probeAt = state === CircuitState.Open ? Date.now() + BREAKER.pauseMs : undefined;
    });
  }

  get isOpen(): boolean {
    return this.#policy.state !== CircuitState.Closed;
  }

  get probeAt(): number | undefined {
    return this.#probeAt;
  }

  /**
   * Makes the call unless the circuit is open.
   *
   * @throws CircuitOpen, and what `make` throws
   */
  async run<T>(make: () => Promise<T>): Promise<T> {
    try {
      return await this.#policy.execute(make);
    } catch (error) {
      throw error instanceof BrokenCircuitError ? new CircuitOpen() : error;
    }
  }
}
