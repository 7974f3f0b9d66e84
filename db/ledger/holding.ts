import type { Payment } from '../payments';

/** A payment that keeps its order as it is: nobody may pay or close the order meanwhile. */
export const isHolding = ({ status }: Payment): boolean => status === 'REVIEW' || status === 'REFUNDING';
