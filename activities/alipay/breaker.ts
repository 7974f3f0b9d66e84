import type { IBackoff } from 'cockatiel';
import { CircuitState, ConsecutiveBreaker, circuitBreaker, handleWhen } from 'cockatiel';
import { AlipayError } from './errors';

/**
 * `failures`: how many in a row open the circuit. `pauseMs`: after this it lets one call through, the probe. `vouchesMs`: how
 * long an answer counts as a sign that this process has a network.
 */
const BREAKER = { failures: 10, pauseMs: 10_000, vouchesMs: 60_000 };

/** What others may know about a circuit, for example to take less work while it is open. */
export interface Circuit {
  /** Whether calls are refused: after too many failures in a row, until a probe succeeds. */
  readonly isOpen: boolean;
  /**
   * When the next call is let through as a probe, by `performance.now()`, which no change of the clock moves. Undefined
   * while the circuit is closed, and while a probe is under way: calls made then wait for its end.
   */
  readonly probeAt: number | undefined;
}

/** The circuit of one gateway. */
export interface GatewayCircuit extends Circuit {
  /** Whether it is closed and had an answer within the last minute: this process reaches the gateway, and so has a network. */
  readonly hasJustAnswered: boolean;
  /** Calls `act` whenever it opens, even after a failed probe. */
  onOpen(act: () => void): void;
}

/** Refuses calls while their target fails: by default the gateway, with an {@link AlipayError} that is an outage. */
export class Breaker implements GatewayCircuit {
  readonly #policy;
  /** See {@link Circuit}. */
  probeAt: number | undefined;
  #answeredAt = Number.NEGATIVE_INFINITY;

  constructor(isOutage = (error: unknown): boolean => error instanceof AlipayError && error.outage) {
    // cockatiel measures the pause with a clock that may be set back, so it is told an endless pause until it is over.
    const isOver = (): boolean => this.probeAt !== undefined && performance.now() >= this.probeAt;
    const pause: IBackoff<unknown> = {
      get duration() {
        return isOver() ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
      },
      next: () => pause,
    };
    this.#policy = circuitBreaker(handleWhen(isOutage), {
      halfOpenAfter: pause,
      breaker: new ConsecutiveBreaker(BREAKER.failures),
    });
    this.#policy.onStateChange((state) => {
      this.probeAt = state === CircuitState.Open ? performance.now() + BREAKER.pauseMs : undefined;
    });
    this.#policy.onSuccess(() => {
      this.#answeredAt = performance.now();
    });
    // An error that is not an outage is an answer, too.
    this.#policy.onFailure(({ handled }) => {
      if (!handled) this.#answeredAt = performance.now();
    });
  }

  get isOpen(): boolean {
    return this.#policy.state !== CircuitState.Closed;
  }

  get hasJustAnswered(): boolean {
    return !this.isOpen && performance.now() - this.#answeredAt < BREAKER.vouchesMs;
  }

  onOpen(act: () => void): void {
    this.#policy.onBreak(act);
  }

  /**
   * Makes the call unless the circuit is open.
   *
   * @throws BrokenCircuitError, and what `make` throws
   */
  run<T>(make: () => Promise<T>): Promise<T> {
    return this.#policy.execute(make);
  }
}
