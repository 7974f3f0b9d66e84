import type { ClosablePayment } from '../../db/due';
import { findRechecks, planPageCheck, setRecheck } from '../../db/due';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { RECHECK_AFTER_MS, handOver } from '../closing';
import type { ActivityDependencies } from '../dependencies';
import { ASK_AGAIN_MS, IN_BACKGROUND, wasAsked } from './dependencies';
import { inLanesByMerchant } from './in-lanes';

/** It bounds how many checkouts a second a shop may have: each payment that nobody came for is queried a day later. */
const BATCH = 1_000;

export function createRecheckActivities(deps: ActivityDependencies) {
  const { db, alipay, log, slowChecksMs } = deps;

  async function recheck(payment: ClosablePayment): Promise<boolean> {
    const { outTradeNo, isPaused } = payment;
    const gateway = alipay.of(payment);
    try {
      const answer = await gateway.query(outTradeNo, IN_BACKGROUND);
      if (answer.answer === 'paid' || answer.paidAt !== null) {
        await handOver(deps, payment, answer, 'follow-up');
        // What Alipay said is stored now, and owed until it is recorded.
        await setRecheck(db, outTradeNo, null);
      } else if (await planPageCheck(db, outTradeNo, slowChecksMs)) {
        // The buyer has begun a trade on a page of an order that the shop has cancelled.
        if (answer.answer === 'waiting' && !isPaused) await gateway.close(outTradeNo, IN_BACKGROUND);
      } else {
        await setRecheck(db, outTradeNo, answer.answer === 'waiting' ? RECHECK_AFTER_MS : null);
      }
      return true;
    } catch (error) {
      if (error instanceof AlipayError && wasAsked(error)) await setRecheck(db, outTradeNo, ASK_AGAIN_MS);
      throw error;
    }
  }

  return {
    /**
     * Asks Alipay once more about payments that were closed here 25 hours ago, and again and again about those of a cancelled
     * order whose page is still open. Safe to repeat.
     */
    async recheckClosed(): Promise<KindReport> {
      const due = await findRechecks(db, { merchants: alipay.reachableIds, limit: BATCH });
      return inLanesByMerchant(log, { kind: 'rechecks', due, limit: BATCH }, recheck);
    },
  };
}
