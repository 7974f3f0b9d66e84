import { isGrpcServiceError } from '@temporalio/client';
import { databaseError } from '../db/faults';
import { PaymentError } from '../workflows/errors';

/**
 * What a caller is told when Postgres or Temporal fails: which one, why, and what to do. Errors that are part of the
 * interface pass as they are.
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
      'Temporal refuses us: the API key or certificate has expired, or lacks rights in this namespace. Fix ' +
        'TEMPORAL_API_KEY or TEMPORAL_TLS_*; trying again is safe.',
      { cause: error },
    );
  }
  return databaseError(error) ?? error;
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
