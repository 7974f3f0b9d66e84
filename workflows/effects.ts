import { isFinal } from './failures';

/**
 * Runs a short, idempotent write inside the workflow task that happens anyway, and where that does not work, as a normal
 * activity that is retried until it is done.
 */
export async function locallyOrUntilDone<T>(local: () => Promise<T>, normal: () => Promise<T>): Promise<T> {
  try {
    return await local();
  } catch (error) {
    if (isFinal(error)) throw error;
    return normal();
  }
}
