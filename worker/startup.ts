import { NativeConnection } from '@temporalio/worker';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import type { Database } from '../db/connect';
import { pendingMigrations } from '../db/migrator';
import { PaymentError } from '../workflows/errors';
import { SEARCH_ATTRIBUTES } from '../workflows/messages';
import type { Logger } from './log';

/** A container often starts before what it needs: so many tries, about a minute in all. */
const TRIES = 12;

const patiently = (log: Logger, what: string) => {
  const policy = retry(handleAll, {
    maxAttempts: TRIES,
    backoff: new ExponentialBackoff({ initialDelay: 250, maxDelay: 8_000 }),
  });
  policy.onRetry(({ delay }) => log.warn({ what, againInMs: Math.round(delay) }, 'not reachable yet'));
  return policy;
};

/**
 * The first connection, which the SDK does not retry by itself; later ones it does.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE after about a minute
 */
export async function connectTemporal(
  options: NativeConnectionOptions,
  log: Logger,
): Promise<NativeConnection> {
  try {
    return await patiently(log, 'Temporal').execute(() => NativeConnection.connect(options));
  } catch (cause) {
    throw new PaymentError(
      'TEMPORAL_UNAVAILABLE',
      `Temporal does not answer at ${options.address ?? 'localhost:7233'}. Start it, or set TEMPORAL_ADDRESS.`,
      { cause },
    );
  }
}

/**
 * Waits for Postgres and refuses a schema that lacks a migration.
 *
 * @throws PaymentError DATABASE_UNAVAILABLE, CONFIG_INVALID
 */
export async function checkDatabase(db: Database, schema: string, log: Logger): Promise<void> {
  try {
    await patiently(log, 'Postgres').execute(() => db.raw('SELECT 1'));
  } catch (cause) {
    throw new PaymentError(
      'DATABASE_UNAVAILABLE',
      'Postgres does not answer. Start it, or set DATABASE_URL.',
      { cause },
    );
  }
  const pending = await pendingMigrations(db, schema);
  if (pending.length === 0) return;
  throw new PaymentError(
    'CONFIG_INVALID',
    `Schema ${schema} lacks migrations (${pending.join(', ')}). Run: npm run migrate`,
  );
}

/** A worker that upserts an attribute which is not registered would fail every workflow task. Registers what lacks. */
export async function registerSearchAttributes(
  { operatorService }: NativeConnection,
  namespace: string,
  log: Logger,
): Promise<void> {
  const { customAttributes } = await operatorService.listSearchAttributes({ namespace });
  const missing = Object.values(SEARCH_ATTRIBUTES).filter((name) => !(name in customAttributes));
  if (missing.length === 0) return;
  const KEYWORD = 2;
  await operatorService.addSearchAttributes({
    namespace,
    searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
  });
  log.info({ namespace, missing }, 'search attributes registered');
}
