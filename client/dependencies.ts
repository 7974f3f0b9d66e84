import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { AlipayGateways } from '../activities/alipay/gateways';
import { CODES, hasStatus, within } from '../activities/temporal-calls';
import type { Database } from '../db/connect';
import { databaseError } from '../db/faults';
import type { SweepSettings } from '../worker/schedules';
import { isTemporalFault, knownTemporalFault } from '../worker/temporal-faults';
import { PaymentError } from '../workflows/errors';
import type { Observer } from './observer';

/** Durations are milliseconds. */
export interface PaymentSettings {
  checks: number;
  intervalMs: number;
  orderTtlMs: number;
  closeMarginMs: number;
  /** When Alipay is queried about a payment that stays open after its checks, ms after checkout. */
  slowChecksMs: readonly number[];
  sweep: SweepSettings;
}

/** What a {@link PaymentClient} works with. */
export interface ClientDependencies {
  temporal: Client;
  db: Database;
  alipay: AlipayGateways;
  settings: PaymentSettings;
  log: Logger;
  observer: Observer;
}

/**
 * Calls Temporal and waits until a worker has done the work.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE if that takes longer than `withinMs`
 */
export async function awaitWorker<T>(temporal: Client, withinMs: number, call: () => Promise<T>): Promise<T> {
  try {
    return await within(temporal, withinMs, call);
  } catch (cause) {
    if (!hasStatus(cause, [CODES.deadlineExceeded]) || knownTemporalFault(cause, 'TEMPORAL_ADDRESS'))
      throw cause;
    throw new PaymentError(
      'TEMPORAL_UNAVAILABLE',
      `No result within ${withinMs / 1_000} s: no worker is running, all are busy, or Temporal is down. ` +
        'What was started continues. Trying again is safe.',
      { cause },
    );
  }
}

/** Runs `act`, and explains what it throws: see {@link explain}. */
export async function explained<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw explain(error);
  }
}

/**
 * What a caller is told when Postgres or Temporal fails: which one, why, and what to do. Errors of the public interface
 * pass through unchanged.
 */
export function explain(error: unknown): unknown {
  if (error instanceof PaymentError) return error;
  if (!isTemporalFault(error)) return databaseError(error) ?? error;
  // Names the variable, not the address: strangers can read the health route.
  const { what, todo } = knownTemporalFault(error, 'TEMPORAL_ADDRESS') ?? {
    what: 'Temporal did not answer',
    todo: 'Start it, or set the right TEMPORAL_ADDRESS.',
  };
  return new PaymentError('TEMPORAL_UNAVAILABLE', `${what}. ${todo} Trying again is safe.`, { cause: error });
}
