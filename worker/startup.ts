import { NativeConnection } from '@temporalio/worker';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { ExponentialBackoff, TimeoutStrategy, handleAll, retry, timeout, wrap } from 'cockatiel';
import type { Database } from '../db/connect';
import { databaseError } from '../db/faults';
import { lackOf, pendingMigrations } from '../db/migrator';
import { PaymentError } from '../workflows/errors';
import type { Logger } from './log';
import { temporalError } from './temporal-faults';

/** A container often starts before what it needs; this many retries take about a minute. */
const RETRIES = 12;

/** The time for one attempt: a server that accepts the connection and never responds must not be waited for forever. */
const ATTEMPT_MS = 10_000;

interface Wait {
  what: string;
  retries: number;
  log: Logger;
  /** Turns the error of an attempt into one of the public interface. */
  explain: (error: unknown) => unknown;
}

/** @throws what `explain` makes of the last error */
async function patiently<T>(
  { what, retries, log, explain }: Wait,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const again = retry(handleAll, {
    maxAttempts: retries,
    backoff: new ExponentialBackoff({ initialDelay: 250, maxDelay: 8_000 }),
  });
  again.onRetry(({ delay, ...failed }) => {
    const error = 'error' in failed ? explain(failed.error) : undefined;
    const reason = error instanceof Error ? error.message : undefined;
    log.warn({ what, againInMs: Math.round(delay), reason }, 'not reachable yet');
  });
  try {
    return await wrap(again, timeout(ATTEMPT_MS, TimeoutStrategy.Aggressive)).execute(({ signal }) =>
      attempt(signal),
    );
  } catch (error) {
    throw explain(error);
  }
}

/**
 * The first connection, which the SDK itself does not retry; it does retry later ones.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE after about a minute, with the cause
 */
export function connectTemporal(
  options: NativeConnectionOptions,
  log: Logger,
  retries = RETRIES,
): Promise<NativeConnection> {
  const explain = (error: unknown): PaymentError => temporalError(error, options.address ?? 'localhost:7233');
  return patiently({ what: 'Temporal', retries, log, explain }, async (signal) => {
    const connection = await NativeConnection.connect(options);
    // The attempt has timed out, and nobody waits for the connection any more.
    if (signal.aborted) await connection.close();
    return connection;
  });
}

/**
 * Waits for Postgres and refuses a schema with a pending migration.
 *
 * @throws PaymentError DATABASE_UNAVAILABLE after about a minute, with the cause; CONFIG_INVALID
 */
export async function checkDatabase(db: Database, schema: string, log: Logger): Promise<void> {
  const explain = (error: unknown): unknown => databaseError(error) ?? error;
  const pending = await patiently({ what: 'Postgres', retries: RETRIES, log, explain }, () =>
    pendingMigrations(db, schema),
  );
  if (pending.length === 0) return;
  throw new PaymentError(
    'CONFIG_INVALID',
    `${lackOf(`Schema ${schema}`, pending)}. Run: durable-alipay migrate`,
  );
}
