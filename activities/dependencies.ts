import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../db/connect';
import type { LatePaymentPolicy } from '../workflows/messages';
import type { AlipayGateways } from './alipay/gateways';
import type { Metrics } from './metrics';
import type { ResultReceiver } from './result-receiver';

/** The external systems that activities reach, and the settings that they need. */
export interface ActivityDependencies {
  db: Database;
  alipay: AlipayGateways;
  temporal: Client;
  /** If the shop takes results directly (`ORDER_SERVICE_URL`, `onResult`); else the order service is a workflow. */
  receiver?: ResultReceiver | undefined;
  log: Logger;
  metrics: Metrics;
  latePaymentPolicy: LatePaymentPolicy;
  /** `REFUND_BRAKE`, fen; null: none. */
  refundBrakeFen: number | null;
  /** `CLOSE_MARGIN`, ms. */
  closeMarginMs: number;
  /** `PAYMENT_CHECKS`. */
  checks: number;
  /** `PAYMENT_CHECK_INTERVAL`, ms. */
  intervalMs: number;
  /** `SLOW_CHECKS`, ms after checkout. */
  slowChecksMs: readonly number[];
  /** `EVIDENCE_RETENTION`, ms; undefined: evidence is kept. */
  evidenceRetentionMs?: number | undefined;
  /** `BILL_ORIGINS`: where bills are fetched from, besides the gateway's own origin. */
  billOrigins: readonly string[];
  /** `BILL_PREFIXES`: what our `out_trade_no` begin with; none: any may be ours. */
  billPrefixes: readonly string[];
}
