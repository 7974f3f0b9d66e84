import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../db/connect';
import type {
  AlipayQueueActivities,
  LatePaymentPolicy,
  OrderServiceQueueActivities,
  PostActivities,
  PaymentsQueueActivities,
} from '../workflows/messages';
import type { AlipayGateways } from './alipay/gateways';
import { createAuditActivities } from './audit';
import { createBillActivities, createFetchActivities, createRepairActivities } from './bills';
import { createClosingActivities, createExpiryActivities } from './closing';
import { mapFailures } from './failures';
import { createAskingFollowUpActivities, createFollowUpActivities } from './follow-up';
import { withHeartbeats } from './heartbeat';
import type { Metrics } from './metrics';
import { createFulfillmentActivities, createOrderActivities, createPostActivities } from './orders';
import { createQueryActivities, createRecordActivities } from './payments';
import { createRefundActivities } from './refunds';
import { createReviewActivities } from './reviews';
import type { ResultReceiver } from './result-receiver';

/** The outside worlds that activities reach, and the settings that they need. */
export interface ActivityDependencies {
  db: Database;
  alipay: AlipayGateways;
  temporal: Client;
  /** Where the order service is handed results directly; else it is a workflow. */
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
  /** `BILL_ORIGINS`: where bills are fetched from, beside the gateway's own. */
  billOrigins: readonly string[];
  /** `BILL_PREFIXES`: what our `out_trade_no` begin with; none: any may be ours. */
  billPrefixes: readonly string[];
}

/** What a worker on queue `payments` runs, also as local activities. */
export function createPaymentsQueueActivities(deps: ActivityDependencies): PaymentsQueueActivities {
  return mapFailures(
    {
      ...createRecordActivities(deps),
      ...createOrderActivities(deps),
      ...createExpiryActivities(deps),
      ...createFollowUpActivities(deps),
      ...createBillActivities(deps),
      ...createAuditActivities(deps),
    },
    deps.log,
  );
}

/** What a worker on queue `alipay` runs: all that calls the gateway and may take its time. */
export function createAlipayQueueActivities(deps: ActivityDependencies): AlipayQueueActivities {
  return withHeartbeats(
    mapFailures(
      {
        ...createQueryActivities(deps),
        ...createClosingActivities(deps),
        ...createRefundActivities(deps),
        ...createReviewActivities(deps),
        ...createAskingFollowUpActivities(deps),
        ...createFetchActivities(deps),
        ...createRepairActivities(deps),
      },
      deps.log,
    ),
  );
}

/** What a worker on queue `order-service` runs: hands results to the shop directly, or the built-in order service. */
export function createOrderServiceQueueActivities(
  deps: ActivityDependencies,
): PostActivities | OrderServiceQueueActivities {
  return deps.receiver
    ? mapFailures(createPostActivities(deps), deps.log)
    : mapFailures(createFulfillmentActivities(deps), deps.log);
}
