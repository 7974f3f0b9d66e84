import type { DuePayment } from '../../db/due';
import { findSlowChecks, planSlowCheck } from '../../db/due';
import type { KindReport } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import { handOver } from '../closing';
import type { ActivityDependencies } from '../dependencies';
import { IN_BACKGROUND, wasAsked } from './dependencies';
import { inLanesByMerchant } from './in-lanes';

const BATCH = 2_000;

export function createSlowCheckActivities(deps: ActivityDependencies) {
  const { db, alipay, log, slowChecksMs } = deps;

  /** A turn is used up once Alipay was asked, whatever came of it; what could not be asked keeps it. */
  async function ask(payment: DuePayment): Promise<boolean> {
    const { outTradeNo } = payment;
    try {
      const answer = await alipay.of(payment).query(outTradeNo, IN_BACKGROUND);
      if (answer.answer === 'paid' || answer.answer === 'closed') {
        await handOver(deps, payment, answer, 'slow-check');
      }
    } catch (error) {
      if (error instanceof AlipayError && wasAsked(error)) await planSlowCheck(db, outTradeNo, slowChecksMs);
      throw error;
    }
    await planSlowCheck(db, outTradeNo, slowChecksMs);
    return true;
  }

  return {
    /** Asks Alipay about payments that stay open after their checks, the youngest turn first. Safe to repeat. */
    async askSlowly(): Promise<KindReport> {
      const due = await findSlowChecks(db, { merchants: alipay.reachableIds, limit: BATCH });
      return inLanesByMerchant(log, { kind: 'slowChecks', due, limit: BATCH }, ask);
    },
  };
}
