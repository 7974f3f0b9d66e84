import { workflowInfo } from '@temporalio/workflow';
import type { CheckedOut, ConfirmPaymentInput } from './messages';
import { isCheckout } from './payment-input';

/** A check that could not be made waits one interval, then two, … at most this many. */
const LONGEST_POSTPONEMENT = 5;

/** The checks of one run: how many there are, how many were made, and when the next one is due. */
export class Checks {
  allowed: number;
  made: number;
  #intervalMs: number;
  #nextAt: number;
  #postponements = 0;
  /** A checkout that came while the last check was in flight. */
  #kept: CheckedOut | undefined;
  /** When the order expires, epoch ms: from then on the sweep looks after it. Infinity if the run does not know. */
  readonly expiresAt: number;

  constructor({ checks, checksMade, intervalMs, firstCheckAt, deadline }: ConfirmPaymentInput) {
    this.allowed = checks;
    // Clients in other languages send null or an empty string for omitted fields.
    this.made = checksMade || 0;
    this.#intervalMs = intervalMs || 0;
    this.expiresAt = deadline ? Date.parse(deadline) : Infinity;
    // Counted from the checkout, not from when a worker first picked it up.
    this.#nextAt = firstCheckAt
      ? Date.parse(firstCheckAt)
      : workflowInfo().startTime.getTime() + this.#intervalMs;
  }

  get remain(): boolean {
    return this.made < this.allowed;
  }

  get isPostponed(): boolean {
    return this.#postponements > 0;
  }

  /** ISO 8601. */
  get nextAt(): string {
    return new Date(this.#nextAt).toISOString();
  }

  /** Milliseconds to the next check, negative if it is late. */
  get dueInMs(): number {
    return this.#nextAt - Date.now();
  }

  /** Milliseconds from check number `check` to the one after it; null: it is the last. */
  afterCheck(check: number): number | null {
    return check < this.allowed ? this.#intervalMs : null;
  }

  /** Check number `check` was made. */
  count(check: number): void {
    this.made = check;
    this.#postponements = 0;
    this.#nextAt = Date.now() + this.#intervalMs;
  }

  /**
   * Nothing was asked, so no check is used up; but none is made after the order expires. Returns the milliseconds to
   * the next try, or null if there is none.
   */
  postpone(): number | null {
    const pauseMs = this.#intervalMs * Math.min(2 ** this.#postponements, LONGEST_POSTPONEMENT);
    this.#postponements += 1;
    this.#nextAt = Date.now() + pauseMs;
    if (this.#nextAt > this.expiresAt) this.allowed = this.made;
    return this.remain ? pauseMs : null;
  }

  /**
   * The buyer is at the cashier again: starts a new round, unless checks remain; returns whether it did. While check
   * `inFlight` is the last one, its answer decides: {@link startKeptRound}.
   */
  startOver(checkout: CheckedOut, inFlight = 0): boolean {
    if (inFlight > 0 && this.afterCheck(inFlight) === null) this.#kept = checkout;
    if (this.remain || !isCheckout(checkout)) return false;
    this.allowed = checkout.checks;
    this.made = 0;
    this.#intervalMs = checkout.intervalMs;
    this.#nextAt = Date.now() + checkout.intervalMs;
    return true;
  }

  /** The check in flight has ended: starts the round of a buyer who came meanwhile; returns whether it did. */
  startKeptRound(): boolean {
    const checkout = this.#kept;
    this.#kept = undefined;
    return checkout !== undefined && this.startOver(checkout);
  }

  /** The input of a run that continues these checks. */
  asInput(): Required<Pick<ConfirmPaymentInput, 'checks' | 'checksMade' | 'intervalMs' | 'firstCheckAt'>> {
    return {
      checks: this.allowed,
      checksMade: this.made,
      intervalMs: this.#intervalMs,
      firstCheckAt: this.nextAt,
    };
  }
}
