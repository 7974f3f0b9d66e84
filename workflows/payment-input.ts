import { fieldsOf, isCount, isLike, requireInput } from './failures';
import type { CheckedOut, ConfirmPaymentInput, ResolveReview } from './messages';
import { REVIEW_OUTCOMES } from './messages';

/** Longer ones lead to times that no Date can hold. */
const LONGEST_INTERVAL_MS = 365 * 24 * 3_600_000;

const isTime = (text: unknown): boolean => typeof text === 'string' && !Number.isNaN(Date.parse(text));

const isInterval = (ms: unknown): ms is number => isCount(ms, 1) && ms <= LONGEST_INTERVAL_MS;

/** @throws ApplicationFailure INVALID_INPUT */
export function assertInput(input: ConfirmPaymentInput): void {
  const { outTradeNo, checks, intervalMs, closeBy, deadline, firstCheckAt, checksMade } = fieldsOf(input);
  requireInput(isLike(/^[A-Za-z0-9_]{1,64}$/, outTradeNo), 'outTradeNo: 1 to 64 of A-Z a-z 0-9 _');
  requireInput(isCount(checks, 0), 'checks: an integer, 0 or more');
  requireInput(
    checks === 0 || isInterval(intervalMs),
    'intervalMs: a whole number of milliseconds, from 1 to a year',
  );
  requireInput(
    isTime(deadline) || (closeBy !== 'timer' && !deadline),
    'deadline: ISO 8601; required only for closeBy "timer"',
  );
  // Clients in other languages send null or an empty string for omitted fields.
  requireInput(!firstCheckAt || isTime(firstCheckAt), 'firstCheckAt: ISO 8601');
  requireInput(!checksMade || isCount(checksMade, 0), 'checksMade: an integer, 0 or more');
}

/** Whether a `checkedOut` signal is well formed; a malformed one must not fail the run. */
export function isCheckout(sent: CheckedOut): boolean {
  const { checks, intervalMs } = fieldsOf(sent);
  return isCount(checks, 1) && isInterval(intervalMs);
}

/** @throws ApplicationFailure INVALID_INPUT */
export function assertDecision(decision: ResolveReview): void {
  const { to, actor, reason, outside, because } = fieldsOf(decision);
  requireInput(
    (REVIEW_OUTCOMES as readonly unknown[]).includes(to),
    `to: one of ${REVIEW_OUTCOMES.join(', ')}`,
  );
  requireInput(isLike(/\S/, actor), 'actor: who decides');
  requireInput(isLike(/^(?=.*\S)\P{Cc}{1,256}$/u, reason), 'reason: why, one line of 1 to 256 characters');
  const { reference } = fieldsOf(outside as ResolveReview['outside']);
  requireInput(
    outside === undefined || outside === null || (to === 'REFUNDED' && isLike(/\S/, reference)),
    'outside: only with to "REFUNDED", as {"reference": "how the money went back"}',
  );
  requireInput(!because || isLike(/\S/, because), 'because: the reason why it is in review');
}
