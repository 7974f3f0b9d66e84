/** The package's `durable-alipay/worker`: what a project needs to run the workers in its own process. */
export { ALL_QUEUES, DEFAULT_QUEUES, runWorkers } from './worker';
export type { OnResult } from '../activities/result-handler';
export type { PaymentResult } from '../workflows/messages';
export { createLogger } from './log';
export type { Logger, LoggerOptions } from './log';
export { PaymentError } from '../workflows/errors';
