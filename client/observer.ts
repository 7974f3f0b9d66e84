import { PaymentError } from '../workflows/errors';

/** What can be counted about a client's work. Outcomes and codes are closed sets: they become labels. */
export interface Observer {
  /**
   * `repeated`: genuine, but nothing new. `other`: from Alipay, but not about a payment. `failed`: a dependency did not
   * respond. `merchant`: its name; of a refused notification, only the claimed one.
   */
  notification(
    outcome: 'taken' | 'repeated' | 'unmatched' | 'other' | 'refused' | 'failed',
    labels?: { code?: string; merchant?: string | undefined },
  ): void;
  /** `refused`: the caller's fault, or the order's state. `failed`: ours, or a dependency's. */
  checkout(outcome: 'opened' | 'refused' | 'failed', code?: string): void;
}

/** Counts nothing. */
export const NO_OBSERVER: Observer = { notification: () => undefined, checkout: () => undefined };

/** Counts an error, and throws it again. */
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
