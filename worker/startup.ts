import { NativeConnection } from '@temporalio/worker';
import type { NativeConnectionOptions } from '@temporalio/worker';
import { ExponentialBackoff, TimeoutStrategy, handleAll, handleWhen, retry, timeout, wrap } from 'cockatiel';
import type { Database } from '../db/connect';
import { databaseError } from '../db/faults';
import { pendingMigrations } from '../db/migrator';
import { PaymentError } from '../workflows/errors';
import type { TaskQueue } from '../workflows/messages';
import { SEARCH_ATTRIBUTES, TASK_QUEUES } from '../workflows/messages';
import type { Logger } from './log';
import type { Home } from './pollers';
import { bothServe, orderServices } from './pollers';
import type { AttributeServices } from './search-attributes';
import { KEYWORD, findSearchAttributes, howToRegister, isRefused } from './search-attributes';
import { temporalError } from './temporal-faults';

/** A container often starts before what it needs: so many more attempts, about a minute in all. */
const RETRIES = 12;

/** How long one attempt may take: a server that takes the connection and says nothing would be waited for without end. */
const ATTEMPT_MS = 10_000;

interface Wait {
  what: string;
  retries: number;
  log: Logger;
  /** The error of our interface for one that an attempt ended with. */
  explain: (error: unknown) => unknown;
}

/** @throws what `explain` makes of the last attempt's error */
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
 * The first connection, which the SDK does not retry by itself; later ones it does.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE after about a minute, which names the cause
 */
export function connectTemporal(
  options: NativeConnectionOptions,
  log: Logger,
  retries = RETRIES,
): Promise<NativeConnection> {
  const explain = (error: unknown): PaymentError => temporalError(error, options.address ?? 'localhost:7233');
  return patiently({ what: 'Temporal', retries, log, explain }, async (signal) => {
    const connection = await NativeConnection.connect(options);
    // Nobody waits for it any more.
    if (signal.aborted) await connection.close();
    return connection;
  });
}

/**
 * Waits for Postgres and refuses a schema that lacks a migration.
 *
 * @throws PaymentError DATABASE_UNAVAILABLE after about a minute, which names the cause; CONFIG_INVALID
 */
export async function checkDatabase(db: Database, schema: string, log: Logger): Promise<void> {
  const explain = (error: unknown): unknown => databaseError(error) ?? error;
  await patiently({ what: 'Postgres', retries: RETRIES, log, explain }, () => db.raw('SELECT 1'));
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

/**
 * Says so where results are told to two order services, the built-in one and another: each would act on a part of them.
 *
 * @param queues what this process is about to serve
 */
export async function warnOfTwoOrderServices(
  home: Home,
  queues: readonly TaskQueue[],
  log: Logger,
): Promise<void> {
  try {
    const { builtIn, others } = await orderServices(home);
    const ours = builtIn.length > 0 || queues.includes(TASK_QUEUES.orderService);
    if (!ours || others.length === 0) return;
    const { says, advice } = bothServe(others);
    log.warn({ code: 'TWO_ORDER_SERVICES', others }, `${says}. ${advice}`);
  } catch (err) {
    log.warn({ err }, 'who polls order-service could not be asked');
  }
}
