import type {
  AlipayQueueActivities,
  OrderServiceQueueActivities,
  PostActivities,
  PaymentsQueueActivities,
} from '../workflows/messages';
import { createAuditActivities } from './audit';
import { createBillActivities, createFetchActivities, createRepairActivities } from './bills';
import { createClosingActivities, createExpiryActivities } from './closing';
import type { ActivityDependencies } from './dependencies';
import { mapFailures } from './failures';
import { createAskingFollowUpActivities, createFollowUpActivities } from './follow-up';
import { withHeartbeats } from './heartbeat';
import { createFulfillmentActivities, createOrderActivities, createPostActivities } from './orders';
import { createQueryActivities, createRecordActivities } from './payments';
import { createRefundActivities } from './refunds';
import { createReviewActivities } from './reviews';

export type { ActivityDependencies } from './dependencies';

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

/** What a worker on queue `alipay` runs: everything that calls the gateway and may take long. */
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
