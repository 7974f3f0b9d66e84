import { AlipayError } from './alipay/errors';
import { closeLeftover } from '../db/ledger';
import { findOrdersToTell } from '../db/order-messages';
import type { LeftoverPayment, Payment } from '../db/payments';
import { findLeftovers, findRechecks, findUnattended, setRecheck } from '../db/payments';
import type { ClosingDependencies } from './closing';
import { PROBE_OUT_TRADE_NO, RECHECK_AFTER_MS, handOver, settleAtAlipay } from './closing';
import { tellFromOutbox } from './orders';
import { revivePayment } from './payment-workflow';

/**
 * What one sweep does of each kind at most; the rest waits for the next. Together with {@link LANES} it bounds how many
 * checkouts a second a shop may have: each payment that nobody came for is asked about once more a day later.
 */
const BATCH = 1_000;

/** How much of it at the same time: at 0.2 s a call, a full batch takes 20 s of the 30 to the next sweep. */
const LANES = 10;

const UNDELIVERED_FOR_MS = 60_000;
const REFUNDING_FOR_MS = 3_600_000;
/** A question that brought no answer is put again after this. */
const ASK_AGAIN_MS = 3_600_000;

/** What one sweep did of what was owed. */
export interface OwedReport {
  done: number;
  /** The gateway cannot be asked: what needs it was left alone. */
  gatewayDown: boolean;
}

/** What should have happened long ago and did not: the sweep makes it happen. */
export function createOwedActivities(deps: ClosingDependencies) {
  return {
    /**
     * Tells what stands undelivered, starts the workflows that should run, probes the gateway if it was down, and asks
     * about leftovers and re-checks. What breaks is logged and left to the next sweep. Safe to repeat.
     */
    async doWhatIsOwed({ dryRun }: { dryRun: boolean }): Promise<OwedReport> {
      if (dryRun) return { done: 0, gatewayDown: !(await gatewayIsUp(deps)) };
      let done = await tellUndelivered(deps);
      await reviveUnattended(deps);
      if (!(await gatewayIsUp(deps))) return { done, gatewayDown: true };
      done += await closeLeftovers(deps);
      done += await recheckClosed(deps);
      return { done, gatewayDown: false };
    },
  };
}

/** While the circuit breaker is open, one question is put to the gateway: any verified answer means up. */
async function gatewayIsUp({ alipay }: ClosingDependencies): Promise<boolean> {
  if (!alipay.circuit.isOpen) return true;
  try {
    await alipay.query(PROBE_OUT_TRADE_NO);
    return true;
  } catch (error) {
    return error instanceof AlipayError && error.kind !== 'down' && !error.outage;
  }
}

async function tellUndelivered(deps: ClosingDependencies): Promise<number> {
  const orderIds = await findOrdersToTell(deps.db, { olderThanMs: UNDELIVERED_FOR_MS, limit: BATCH });
  return doEach(deps, orderIds, async (orderId) => (await tellFromOutbox(deps, orderId)) > 0);
}

/** A payment in REVIEW, or REFUNDING for an hour, has a running workflow: starting one that runs changes nothing. */
async function reviveUnattended(deps: ClosingDependencies): Promise<void> {
  const payments = await findUnattended(deps.db, { refundingForMs: REFUNDING_FOR_MS, limit: BATCH });
  await doEach(deps, payments, async (payment) => {
    await revivePayment(deps.temporal, payment);
    return true;
  });
}

async function closeLeftovers(deps: ClosingDependencies): Promise<number> {
  const leftovers = await findLeftovers(deps.db, BATCH);
  return doEach(deps, leftovers, (payment) => settleLeftover(deps, payment));
}

async function recheckClosed(deps: ClosingDependencies): Promise<number> {
  const payments = await findRechecks(deps.db, BATCH);
  return doEach(deps, payments, (payment) => recheck(deps, payment));
}

async function settleLeftover(deps: ClosingDependencies, payment: LeftoverPayment): Promise<boolean> {
  const { outTradeNo, expired, remainingMs } = payment;
  try {
    const settlement = await settleAtAlipay(deps.alipay, payment, { expired });
    switch (settlement.is) {
      case 'evidence':
        await setRecheck(deps.db, outTradeNo, ASK_AGAIN_MS);
        await handOver(deps, payment, settlement.answer);
        return true;
      case 'closable':
        return await closeLeftover(deps.db, { outTradeNo, recheckInMs: settlement.recheckInMs }, 'sweep');
      case 'held':
        await setRecheck(deps.db, outTradeNo, expired ? ASK_AGAIN_MS : Math.max(remainingMs, 0));
        return false;
    }
  } catch (error) {
    if (error instanceof AlipayError) await setRecheck(deps.db, outTradeNo, UNDELIVERED_FOR_MS);
    throw error;
  }
}

async function recheck(deps: ClosingDependencies, payment: Payment): Promise<boolean> {
  try {
    const answer = await deps.alipay.query(payment.outTradeNo);
    if (answer.answer === 'paid' || answer.paidAt !== null) {
      // Only the row that moves away from CLOSED ends the asking: the run that is told may be terminated before that.
      await setRecheck(deps.db, payment.outTradeNo, ASK_AGAIN_MS);
      await handOver(deps, payment, answer);
    } else {
      await setRecheck(deps.db, payment.outTradeNo, answer.answer === 'waiting' ? RECHECK_AFTER_MS : null);
    }
    return true;
  } catch (error) {
    if (error instanceof AlipayError) await setRecheck(deps.db, payment.outTradeNo, ASK_AGAIN_MS);
    throw error;
  }
}

/** Does all of it, in {@link LANES}; what breaks is logged and left to the next sweep. Answers how many did something. */
async function doEach<T>(
  { log }: ClosingDependencies,
  all: T[],
  act: (one: T) => Promise<boolean>,
): Promise<number> {
  let done = 0;
  // One iterator for all lanes: each takes the next when it has done its last.
  const next = all.values();
  const lane = async (): Promise<void> => {
    for (const one of next) {
      try {
        if (await act(one)) done += 1;
      } catch (err) {
        log.warn({ code: 'OWED_FAILED', err }, 'owed work failed; the next sweep tries again');
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return done;
}
