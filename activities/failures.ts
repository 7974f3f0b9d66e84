import { asyncLocalStorage } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Logger } from 'pino';
import { databaseError } from '../db/faults';
import { PaymentError } from '../workflows/errors';
import { RATE_LIMIT } from './alipay/classify';
import { AlipayError } from './alipay/errors';

const ALIPAY_FAILURES = {
  unknown: 'ALIPAY_UNKNOWN',
  'no-quota': 'ALIPAY_BUSY',
  down: 'ALIPAY_DOWN',
  misconfigured: 'ALIPAY_MISCONFIGURED',
  refused: 'ALIPAY_REFUSED',
} as const;

/**
 * A throttled call is repeated after this, doubled with each attempt of a patient activity, and spread over twice the
 * time. The longest, doubled by the spread, is how long `refundAtAlipay` notes that its run may be silent.
 */
const THROTTLED_PAUSE_MS = { first: 5_000, longest: 300_000 };

/** Activities that nobody waits for. The others answer soon: a person, or work behind a person's decision, waits. */
const PATIENT: ReadonlySet<string> = new Set(['refundAtAlipay', 'fetchBill']);

/** The pause when Alipay reports a rate limit: it asks for a minute. */
const RATE_LIMIT_PAUSE_MS = 60_000;

/**
 * Wraps activities so that only the closed set of failures leaves them: a type, codes and ids. History is read by many
 * and kept long, so the cause, which may quote a body, goes only to the log.
 */
export function mapFailures<A extends object>(activities: A, log: Logger): A {
  return Object.fromEntries(
    Object.entries(activities).map(([name, run]: [string, (...args: unknown[]) => Promise<unknown>]) => [
      name,
      async (...args: unknown[]) => {
        try {
          return await run(...args);
        } catch (error) {
          // Without a context it was called by a test.
          const attempt = PATIENT.has(name) ? asyncLocalStorage.getStore()?.info.attempt : 1;
          const failure = toFailure(error, attempt);
          logFailure(log, name, failure, error);
          throw failure;
        }
      },
    ]),
  ) as A;
}

/**
 * Translates whatever was thrown into the closed set.
 *
 * @param attempt of the activity, from 1
 */
export function toFailure(error: unknown, attempt = 1): ApplicationFailure {
  if (error instanceof ApplicationFailure) return error;
  if (error instanceof AlipayError) return fromAlipay(error, attempt);
  const known = error instanceof PaymentError ? error : databaseError(error);
  if (known) {
    return ApplicationFailure.create({
      type: known.code,
      message: known.message,
      nonRetryable: !known.retryable,
    });
  }
  return ApplicationFailure.create({
    type: 'INTERNAL',
    message: 'An unexpected error; the log of the worker has its cause.',
  });
}

/** All of them may be tried again; the caller knows for which of them that makes sense. */
function fromAlipay(error: AlipayError, attempt: number): ApplicationFailure {
  const notAsked = error.kind === 'down' || error.kind === 'no-quota';
  return ApplicationFailure.create({
    type: ALIPAY_FAILURES[error.kind],
    message: error.message,
    ...(error.throttled && { nextRetryDelay: throttledPause(error, attempt) }),
    // Nothing was asked, so nothing went wrong with this payment: no ERROR line, no failure metric.
    ...(notAsked && { category: ApplicationFailureCategory.BENIGN }),
  });
}

/** Spread; otherwise all calls throttled together would come back together. */
function throttledPause({ subCode }: AlipayError, attempt: number): number {
  const { first, longest } = THROTTLED_PAUSE_MS;
  const least = RATE_LIMIT.test(subCode ?? '') ? RATE_LIMIT_PAUSE_MS : first;
  return Math.round(Math.min(least * 2 ** (attempt - 1), longest) * (1 + Math.random()));
}

/** Logs at the level, and with the alert, that a failed activity of this type deserves. */
export function logFailure(log: Logger, activity: string, failure: ApplicationFailure, error: unknown): void {
  const facts = { activity, code: failure.type, ...(error instanceof AlipayError && alipayFacts(error)) };
  if (failure.type === 'INTERNAL' || failure.type === 'DATABASE_UNAVAILABLE') {
    log.error({ ...facts, err: error }, failure.message);
  } else if (failure.category === ApplicationFailureCategory.BENIGN) {
    log.warn(facts, failure.message);
  } else if (failure.type === 'ALIPAY_MISCONFIGURED' || failure.type === 'MERCHANT_UNKNOWN') {
    log.error({ ...facts, alert: true }, failure.message);
  } else {
    log.warn(facts, failure.message);
  }
}

function alipayFacts({ method, outTradeNo, code, subCode }: AlipayError): object {
  return { method, outTradeNo, alipayCode: code, alipaySubCode: subCode };
}
