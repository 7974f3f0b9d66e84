import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { AlipayGateway } from '../activities/alipay/gateway';
import type { Database } from '../db/connect';
import type { SweepSettings } from '../worker/schedules';
import type { Observer } from './observer';

/** Durations are milliseconds. */
export interface PaymentSettings {
  checks: number;
  intervalMs: number;
  orderTtlMs: number;
  closeMarginMs: number;
  /** When Alipay is asked about a payment that stays open after its checks, ms after checkout. */
  slowChecksMs: readonly number[];
  sweep: SweepSettings;
}

/** What a {@link PaymentClient} works with. */
export interface ClientDependencies {
  temporal: Client;
  db: Database;
  alipay: AlipayGateway;
  settings: PaymentSettings;
  log: Logger;
  observer: Observer;
}

/** One call of Temporal that does not wait for work to be done. */
const CALL_MS = 5_000;

/** Calls Temporal with a deadline of 5 s. */
export function callTemporal<T>(temporal: Client, call: () => Promise<T>): Promise<T> {
  return temporal.withDeadline(Date.now() + CALL_MS, call);
}
