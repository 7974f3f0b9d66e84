import { PaymentError } from '../workflows/errors';

/** What can be counted of a client's work. Outcomes and codes are closed sets: they become labels. */
export interface Observer {
  /** `repeated`: genuine, and says nothing that is not known. `failed`: a dependency did not answer. */
  notification(outcome: 'taken' | 'repeated' | 'unmatched' | 'refused' | 'failed', code?: string): void;
  /** `refused`: the caller's fault, or the order's state. `failed`: ours, or a dependency's. */
  checkout(outcome: 'opened' | 'refused' | 'failed', code?: string): void;
}

/** Nobody counts. */
export const NO_OBSERVER: Observer = { notification: () => undefined, checkout: () => undefined };

/** Tells of an error, and passes it on. */
export async function observed<T>(
  work: Promise<T>,
  count: (outcome: 'refused' | 'failed', code: string) => void,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const code = error instanceof PaymentError ? error.code : 'INTERNAL';
    count(error instanceof PaymentError && error.status < 500 ? 'refused' : 'failed', code);
    throw error;
  }
}
