import type { LeftoverPayment } from '../../db/due';
import { findLeftovers, setRecheck } from '../../db/due';
import { closeLeftover } from '../../db/ledger';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { handOver, settleAtAlipay } from '../closing';
import type { FollowUpDependencies } from './dependencies';
import { ASK_AGAIN_MS, soon, wasAsked } from './dependencies';
import { inLanes } from './in-lanes';

const BATCH = 500;

/** After an answer that nobody understands; a leftover may still be paid, so it is asked about again soon. */
const UNKNOWN_AGAIN_MS = 60_000;

export function createLeftoverActivities(deps: FollowUpDependencies) {
  const { db, alipay, log } = deps;

  async function close(payment: LeftoverPayment): Promise<boolean> {
    const { outTradeNo, expired, remainingMs } = payment;
    try {
      const settlement = await settleAtAlipay(alipay, payment, { expired });
      switch (settlement.is) {
        case 'evidence':
          await soon(deps, () => handOver(deps, payment, settlement.answer));
          await setRecheck(db, outTradeNo, ASK_AGAIN_MS);
          return true;
        case 'closable':
          return await closeLeftover(db, { outTradeNo, recheckInMs: settlement.recheckInMs }, 'follow-up');
        case 'held':
          await setRecheck(db, outTradeNo, expired ? ASK_AGAIN_MS : Math.max(remainingMs, 0));
          return false;
      }
    } catch (error) {
      if (error instanceof AlipayError && wasAsked(error)) await setRecheck(db, outTradeNo, UNKNOWN_AGAIN_MS);
      throw error;
    }
  }

  return {
    /** Closes UNPAID payments of settled orders, at Alipay first. Safe to repeat. */
    async closeLeftovers(): Promise<KindReport> {
      const due = await findLeftovers(db, { merchants: deps.merchants, limit: BATCH });
      return inLanes(log, { kind: 'leftovers', due, limit: BATCH }, close);
    },
  };
}
