import type { LeftoverPayment } from '../../db/due';
import { findLeftovers, setRecheck } from '../../db/due';
import { closeLeftover } from '../../db/ledger';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { askAlipay, closeAtAlipay, handOver } from '../closing';
import type { ActivityDependencies } from '../dependencies';
import { ASK_AGAIN_MS, wasAsked } from './dependencies';
import { inLanesByMerchant } from './in-lanes';

const BATCH = 500;

/** After an answer that nobody understands, or while its merchant is paused: a leftover may still be paid, so it is queried again soon. */
const UNKNOWN_AGAIN_MS = 60_000;

/** A page that nobody has opened may be opened until the order expires; a trade that is there is closed as soon as Alipay lets us. */
function pauseOf(
  { expired, remainingMs }: LeftoverPayment,
  { isThere = false }: { isThere?: boolean },
): number {
  if (expired) return ASK_AGAIN_MS;
  return isThere ? UNKNOWN_AGAIN_MS : Math.max(remainingMs, 0);
}

export function createLeftoverActivities(deps: ActivityDependencies) {
  const { db, alipay, log } = deps;

  async function close(payment: LeftoverPayment): Promise<boolean> {
    const { outTradeNo, expired, isPaused } = payment;
    try {
      const gateway = alipay.of(payment);
      const asked = await askAlipay(gateway, outTradeNo, { expired });
      const settlement =
        asked.kind === 'open' && !isPaused ? await closeAtAlipay(gateway, outTradeNo, asked) : asked;
      switch (settlement.kind) {
        case 'evidence':
          await handOver(deps, payment, settlement.answer, 'follow-up');
          await setRecheck(db, outTradeNo, ASK_AGAIN_MS);
          return true;
        case 'closable':
          return await closeLeftover(db, { outTradeNo, recheckInMs: settlement.recheckInMs }, 'follow-up');
        case 'open':
          await setRecheck(db, outTradeNo, UNKNOWN_AGAIN_MS);
          return false;
        case 'held':
          await setRecheck(db, outTradeNo, pauseOf(payment, settlement));
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
      const due = await findLeftovers(db, { merchants: alipay.reachableIds, limit: BATCH });
      return inLanesByMerchant(log, { kind: 'leftovers', due, limit: BATCH }, close);
    },
  };
}
