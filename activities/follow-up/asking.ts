import type { ClosablePayment, DuePayment, LeftoverPayment } from '../../db/due';
import { planPageCheck, planSlowCheck, setRecheck } from '../../db/due';
import { closeLeftover } from '../../db/ledger';
import { AlipayError } from '../alipay/errors';
import { RECHECK_AFTER_MS, askAlipay, closeAtAlipay, handOver } from '../closing';
import type { ActivityDependencies } from '../dependencies';

/** Slow checks and re-checks wait behind the checks of buyers who are at the cashier now. */
const IN_BACKGROUND = { background: true, maxWaitMs: 1_000 } as const;

/** A question that got no answer is asked again after this. */
const ASK_AGAIN_MS = 3_600_000;

/** After an unknown answer, or while its merchant is paused: a leftover may still be paid, so it is queried again soon. */
const UNKNOWN_AGAIN_MS = 60_000;

/** Whether Alipay was asked, which uses up the turn; what could not be asked, or is our own fault, does not. */
export const usedUpTurn = ({ kind }: AlipayError): boolean => kind === 'unknown' || kind === 'refused';

/** Asks about a payment still open after its checks. A turn is used up once Alipay was asked, whatever the outcome. */
export async function askSlowly(deps: ActivityDependencies, payment: DuePayment): Promise<boolean> {
  const { db, alipay, slowChecksMs } = deps;
  const { outTradeNo } = payment;
  try {
    const answer = await alipay.of(payment).query(outTradeNo, IN_BACKGROUND);
    if (answer.answer === 'paid' || answer.answer === 'closed') {
      await handOver(deps, payment, answer, 'slow-check');
    }
  } catch (error) {
    if (error instanceof AlipayError && usedUpTurn(error)) await planSlowCheck(db, outTradeNo, slowChecksMs);
    throw error;
  }
  await planSlowCheck(db, outTradeNo, slowChecksMs);
  return true;
}

/** Closes an UNPAID payment of a settled order, at Alipay first. */
export async function closeUnpaid(deps: ActivityDependencies, payment: LeftoverPayment): Promise<boolean> {
  const { db, alipay } = deps;
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
    if (error instanceof AlipayError && usedUpTurn(error)) await setRecheck(db, outTradeNo, UNKNOWN_AGAIN_MS);
    throw error;
  }
}

/** A page that nobody has opened may be opened until the order expires; an existing trade is closed as soon as Alipay lets us. */
function pauseOf(
  { expired, remainingMs }: LeftoverPayment,
  { isThere = false }: { isThere?: boolean },
): number {
  if (expired) return ASK_AGAIN_MS;
  return isThere ? UNKNOWN_AGAIN_MS : Math.max(remainingMs, 0);
}

/**
 * Asks once more about a payment that was closed here 25 hours ago, and repeatedly about one of a cancelled order whose
 * page is still open.
 */
export async function recheck(deps: ActivityDependencies, payment: ClosablePayment): Promise<boolean> {
  const { db, alipay, slowChecksMs } = deps;
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
    // A page that is still open keeps its turns.
    if (
      error instanceof AlipayError &&
      usedUpTurn(error) &&
      !(await planPageCheck(db, outTradeNo, slowChecksMs))
    )
      await setRecheck(db, outTradeNo, ASK_AGAIN_MS);
    throw error;
  }
}
