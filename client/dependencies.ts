import { isGrpcServiceError } from '@temporalio/client';
import { PaymentError } from '../workflows/errors';

/**
 * What a caller is told when Postgres or Temporal fails: which one, and that trying again is safe. Errors that are
 * part of the interface pass as they are.
 */
export function explain(error: unknown): unknown {
  if (error instanceof PaymentError) return error;
  if (isTemporalDown(error)) {
    return new PaymentError('TEMPORAL_UNAVAILABLE', 'Temporal did not answer. Trying again is safe.', {
      cause: error,
    });
  }
  if (isUnmigrated(error)) {
    return new PaymentError('DATABASE_UNAVAILABLE', 'The database lacks tables. Run: npm run migrate', {
      cause: error,
    });
  }
  if (isDatabaseDown(error)) {
    return new PaymentError('DATABASE_UNAVAILABLE', 'Postgres did not answer. Trying again is safe.', {
      cause: error,
    });
  }
  return error;
}

/** gRPC: CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE. */
const DOWN: ReadonlySet<number> = new Set([1, 4, 8, 14]);

function isTemporalDown(error: unknown): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return [error, cause].some((one) => isGrpcServiceError(one) && DOWN.has(one.code));
}

/** SQLSTATE: no such schema, table or column. */
const isUnmigrated = (error: unknown): boolean =>
  /^(3F000|42P01|42703)$/.test(String((error as { code?: unknown } | null)?.code));

/** Classes of SQLSTATE: connection, resources, operator intervention, lock time-outs, authorisation. */
const DATABASE_DOWN = /^(08|53|57|55P03|25P03|28)/;

function isDatabaseDown(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === 'KnexTimeoutError' || error.name === 'AggregateError') return true;
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string') return /Connection terminated|timeout expired/i.test(error.message);
  return DATABASE_DOWN.test(code) || /^E[A-Z]+$/.test(code);
}
