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
  if (isRefusedByTemporal(error)) {
    return new PaymentError(
      'TEMPORAL_UNAVAILABLE',
      'Temporal refuses us: the API key or certificate has expired, or lacks rights in this namespace. Mend ' +
        'TEMPORAL_API_KEY or TEMPORAL_TLS_*; trying again is safe then.',
      { cause: error },
    );
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

/** gRPC: PERMISSION_DENIED, UNAUTHENTICATED. */
const REFUSED: ReadonlySet<number> = new Set([7, 16]);

const isTemporalDown = (error: unknown): boolean => hasStatus(error, DOWN);

const isRefusedByTemporal = (error: unknown): boolean => hasStatus(error, REFUSED);

/** Of the error itself, or of what the SDK wrapped in it. */
function hasStatus(error: unknown, statuses: ReadonlySet<number>): boolean {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return [error, cause].some((one) => isGrpcServiceError(one) && statuses.has(one.code));
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
