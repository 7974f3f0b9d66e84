import { claimUndelivered, findUndeliveredOrders } from '../../db/due';
import type { KindReport } from '../../workflows/messages';
import { logUndelivered, needsPerson, tellFromOutbox } from '../orders';
import type { ActivityDependencies } from '../dependencies';
import { inLanes } from './in-lanes';

const BATCH = 1_000;

export function createTellActivities(deps: ActivityDependencies) {
  const { db, log, receiver } = deps;

  async function tell(orderId: string): Promise<boolean> {
    // Only a real attempt counts: what this process cannot try is left to another one.
    receiver?.assertReachable();
    const attempts = await claimUndelivered(db, orderId);
    try {
      return (await tellFromOutbox(deps, orderId)).told > 0;
    } catch (error) {
      if (needsPerson(error, attempts)) logUndelivered(log, orderId, error, attempts);
      throw error;
    }
  }

  return {
    /** Tells the order service what it has not been told for a minute. Safe to repeat. */
    async tellUndelivered(): Promise<KindReport> {
      const due = await findUndeliveredOrders(db, { merchants: deps.alipay.ids, limit: BATCH });
      return inLanes(log, { kind: 'undelivered', due, limit: BATCH }, tell);
    },
  };
}
