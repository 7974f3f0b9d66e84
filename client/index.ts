/**
 * The package's `durable-alipay/client`: what checkout calls. It loads neither the HTTP server nor a worker.
 * Types of what workflows say (`PaymentState`, `ResolveReview` …) are in `durable-alipay/messages`.
 */
export * from './payment-client';
export type { ErrorCode } from '../workflows/errors';
