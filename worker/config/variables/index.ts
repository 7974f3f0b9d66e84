import { ALIPAY } from './alipay';
import { PAYMENTS } from './payments';
import { PROCESSES } from './processes';
import { STORES } from './stores';

export { CERTIFICATES } from './alipay';
export { LONGEST_ORDER } from './payments';
export type { Variable } from './variable';

/** All variables and defaults. They are defined only in this folder. */
export const VARIABLES = { ...STORES, ...ALIPAY, ...PAYMENTS, ...PROCESSES } as const;
