import type { DuePayment } from '../../db/due';
import { findRechecks, setRecheck } from '../../db/due';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { RECHECK_AFTER_MS, handOver } from '../closing';
import type { FollowUpDependencies } from './dependencies';
import { ASK_AGAIN_MS, IN_BACKGROUND, soon, wasAsked } from './dependencies';
import { inLanes } from './in-lanes';

/** It bounds how many checkouts a second a shop may have: each payment that nobody came for is asked about a day later. */
const BATCH = 1_000;

export function createRecheckActivities(deps: FollowUpDependencies) {
  const { db, alipay, log } = deps;

  async function recheck(payment: DuePayment): Promise<boolean> {
    const { outTradeNo } = payment;
    try {
      const answer = await alipay.query(outTradeNo, IN_BACKGROUND);
      if (answer.answer === 'paid' || answer.paidAt !== null) {
        await soon(deps, () => handOver(deps, payment, answer));
        // What Alipay said is stored now, and owed until it is recorded.
        await setRecheck(db, outTradeNo, null);
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
    /** Asks Alipay once more about payments that were closed here 25 hours ago. Safe to repeat. */
    async recheckClosed(): Promise<KindReport> {
      const due = await findRechecks(db, { merchants: deps.merchants, limit: BATCH });
      return inLanes(log, { kind: 'rechecks', due, limit: BATCH }, recheck);
    },
  };
}
