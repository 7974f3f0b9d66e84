import { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { ActivityDependencies } from '../../../activities';
import { atTheEdge } from '../../../activities/failures';
import { withHeartbeats } from '../../../activities/heartbeat';
import { createQueryActivities } from '../../../activities/payments';
import { NOT_PAID_YET } from './names';

/** The application's own ask, failing while nobody has paid: the attempt is the number of the check. */
export function createRetriesActivities(deps: ActivityDependencies) {
  const query = createQueryActivities(deps);
  return withHeartbeats(
    atTheEdge(
      {
        async askUntilPaid({ outTradeNo }: { outTradeNo: string }): Promise<'paid' | 'closed'> {
          const { answer } = await query.queryAlipay({ outTradeNo, check: Context.current().info.attempt });
          if (answer === 'paid' || answer === 'closed') return answer;
          throw ApplicationFailure.create({
            type: NOT_PAID_YET,
            message: answer,
            // As polling is written: no ERROR line, no failure metric.
            category: ApplicationFailureCategory.BENIGN,
          });
        },
      },
      deps.log,
    ),
  );
}

export type RetriesActivities = ReturnType<typeof createRetriesActivities>;
