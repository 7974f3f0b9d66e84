import { ALIPAY } from './alipay';
import { PAYMENTS } from './payments';
import { PROCESSES } from './processes';
import { STORES } from './stores';

export { CERTIFICATES } from './alipay';
export { LONGEST_ORDER } from './payments';
export type { Variable } from './variable';

/** Every variable and every default. They are written in this folder and nowhere else. */
export const VARIABLES = { ...STORES, ...ALIPAY, ...PAYMENTS, ...PROCESSES } as const;
