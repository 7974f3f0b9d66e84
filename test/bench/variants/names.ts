// What workflows, worker and row of the variants call each other's things. Imports nothing: workflow code reads it too.

/** `normal`: the shipped workflows without local activities. `retries`: no loop, one activity that the server retries. */
export type Variant = 'normal' | 'retries';

/** Where the activity of `retries` runs. */
export const ASKING_QUEUE = 'ask-until-paid';

/** Fails an attempt that found the payment unpaid, so that the server makes the next. */
export const NOT_PAID_YET = 'NOT_PAID_YET';
