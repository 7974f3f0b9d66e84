import { claimUndelivered, findUndeliveredOrders } from '../../db/due';
import type { KindReport } from '../../workflows/messages';
import { tellFromOutbox } from '../orders';
import type { FollowUpDependencies } from './dependencies';
import { inLanes } from './in-lanes';

const BATCH = 1_000;

/** Told so often in vain, some 15 minutes, a person has to look at the order service. */
const ALERT_FROM = 5;

export function createTellActivities(deps: FollowUpDependencies) {
  const { db, log } = deps;

  async function tell(orderId: string): Promise<boolean> {
    const attempts = await claimUndelivered(db, orderId);
    try {
      return (await tellFromOutbox(deps, orderId)) > 0;
    } catch (error) {
      if (attempts >= ALERT_FROM) {
        log.error(
          { orderId, attempts, code: 'UNDELIVERED', alert: true },
          'the order service cannot be told',
        );
      }
      throw error;
    }
  }

  return {
    /** Tells the order service what it has not been told for a minute. Safe to repeat. */
    async tellUndelivered(): Promise<KindReport> {
      const due = await findUndeliveredOrders(db, { merchants: deps.merchants, limit: BATCH });
      return inLanes(log, { kind: 'undelivered', due, limit: BATCH }, tell);
    },
  };
}
