import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Database } from '../db/connect';
import type {
  AlipayQueueActivities,
  LatePaymentPolicy,
  OrderServiceQueueActivities,
  PaymentsQueueActivities,
} from '../workflows/messages';
import type { AlipayGateway } from './alipay/gateway';
import { createClosingActivities, createExpiryActivities } from './closing';
import { mapFailures } from './failures';
import { createAskingFollowUpActivities, createFollowUpActivities } from './follow-up';
import { withHeartbeats } from './heartbeat';
import type { Metrics } from './metrics';
import { createFulfillmentActivities, createOrderActivities } from './orders';
import { createQueryActivities, createRecordActivities } from './payments';
import { createRefundActivities } from './refunds';
import { createReviewActivities } from './reviews';

/** The outside worlds that activities reach, and the settings that they need. */
export interface ActivityDependencies {
  db: Database;
  alipay: AlipayGateway;
  /** Ids of the merchants that this process has (`db/merchants.ts`): it asks Alipay about no other's payments. */
  merchants: readonly string[];
  temporal: Client;
  log: Logger;
  metrics: Metrics;
  latePaymentPolicy: LatePaymentPolicy;
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
}

/** What a worker on queue `payments` runs, also as local activities. */
export function createPaymentsQueueActivities(deps: ActivityDependencies): PaymentsQueueActivities {
  return mapFailures(
    {
      ...createRecordActivities(deps),
      ...createOrderActivities(deps),
      ...createExpiryActivities(deps),
      ...createFollowUpActivities(deps),
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
      },
      deps.log,
    ),
  );
}

/** What a worker on queue `order-service` runs, unless the shop has its own. */
export function createOrderServiceQueueActivities(deps: ActivityDependencies): OrderServiceQueueActivities {
  return mapFailures(createFulfillmentActivities(deps), deps.log);
}
