import type { AlipayError } from '../alipay/errors';
import type { ActivityDependencies } from '../dependencies';

const TEMPORAL_DEADLINE_MS = 5_000;

/** A few calls of Temporal, which end after 5 s whatever happens. */
export const soon = <T>(
  { temporal }: Pick<ActivityDependencies, 'temporal'>,
  call: () => Promise<T>,
): Promise<T> => temporal.withDeadline(Date.now() + TEMPORAL_DEADLINE_MS, call);

/** Slow checks and re-checks wait behind the checks of buyers who are at the cashier now. */
export const IN_BACKGROUND = { background: true, maxWaitMs: 1_000 } as const;

/** A question that brought no answer is put again after this. */
export const ASK_AGAIN_MS = 3_600_000;

/** Whether Alipay was asked, so that the turn is used up; what could not be asked, or is our own fault, keeps it. */
export const wasAsked = ({ kind }: AlipayError): boolean => kind === 'unknown' || kind === 'refused';
