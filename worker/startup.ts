import { NativeConnection } from '@temporalio/worker';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { ExponentialBackoff, handleAll, handleWhen, retry } from 'cockatiel';
import type { AttributeServices } from '../activities/search-attributes';
import { KEYWORD, findSearchAttributes, howToRegister, isRefused } from '../activities/search-attributes';
import type { Database } from '../db/connect';
import { databaseError } from '../db/faults';
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
  policy.onRetry(({ delay, ...failed }) => {
    const error = 'error' in failed ? (databaseError(failed.error) ?? failed.error) : undefined;
    log.warn({ what, againInMs: Math.round(delay), reason: error?.message }, 'not reachable yet');
  });
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
  } catch (error) {
    throw databaseError(error) ?? error;
  }
  const pending = await pendingMigrations(db, schema);
  if (pending.length === 0) return;
  throw new PaymentError(
    'CONFIG_INVALID',
    `Schema ${schema} lacks migrations (${pending.join(', ')}). Run: npm run migrate`,
  );
}

/**
 * Registers the search attributes that a namespace lacks: upserting one that is not registered fails every workflow task.
 * Several workers that start together may get into each other's way, so what fails is looked at again.
 *
 * @throws PaymentError CONFIG_INVALID where they lack and this worker may not register them, as on Temporal Cloud
 */
export async function registerSearchAttributes(
  connection: AttributeServices,
  namespace: string,
  log: Logger,
): Promise<void> {
  await again.execute(() => registerMissing(connection, namespace, log));
}

const again = retry(
  handleWhen((error) => !(error instanceof PaymentError)),
  { maxAttempts: 4, backoff: new ExponentialBackoff({ initialDelay: 250, maxDelay: 2_000 }) },
);

async function registerMissing(connection: AttributeServices, namespace: string, log: Logger): Promise<void> {
  const found = await findSearchAttributes(connection, namespace);
  if (!found) {
    log.warn(
      { namespace },
      `whether the search attributes are registered could not be asked; where they are not: ${howToRegister(namespace, Object.values(SEARCH_ATTRIBUTES))}`,
    );
    return;
  }
  const { missing } = found;
  if (missing.length === 0) return;
  try {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, KEYWORD])),
    });
  } catch (cause) {
    if (!isRefused(cause)) throw cause;
    throw new PaymentError(
      'CONFIG_INVALID',
      `Namespace ${namespace} lacks the search attributes ${missing.join(', ')}, and this worker may not register ` +
        `them. Run: ${howToRegister(namespace, missing)}`,
      { cause },
    );
  }
  log.info({ namespace, missing }, 'search attributes registered');
}
