import type { DueRefund, UnattendedPayment, UnrecordedPayment, UnwatchedPayment } from '../../db/due';
import {
  claimRefund,
  claimUndelivered,
  claimUnrecorded,
  claimUnwatched,
  endAttending,
  postponeAttending,
  postponeUnwatched,
} from '../../db/due';
import { resumeRefunds } from '../../db/ledger';
import { paymentWorkflowId, refundWorkflowId } from '../../workflows/messages';
import type { ConfirmPaymentInput } from '../../workflows/messages';
import type { ActivityDependencies } from '../dependencies';
import { logUndelivered, needsPerson, tellFromOutbox } from '../orders';
import { revivePayment, tellRowMoved, wakePayment } from '../payment-workflow';
import { soon } from '../temporal-calls';
import { startRefund, startRefunds } from '../refund-workflow';
import type { StuckRuns } from './stuck-runs';

/** A payment or refund that needs a new run again and again has a problem that a person should look at. */
const ALERT_FROM_RUNS = 3;

/** From this wake-up on, after about 15 minutes, unrecorded evidence is poison: a person has to look at it. */
const ALERT_FROM_WAKINGS = 5;

/** A run that exists, and was woken this often without effect, may be stuck. */
const LOOK_FROM = 3;

/** Tells the order service the results that have been undelivered for a minute. */
export async function tell(deps: ActivityDependencies, orderId: string): Promise<boolean> {
  // Only a real attempt counts: what this process cannot try is left to another one.
  deps.receiver?.assertReachable();
  const attempts = await claimUndelivered(deps.db, orderId);
  try {
    return (await tellFromOutbox(deps, orderId)).told > 0;
  } catch (error) {
    if (needsPerson(error, attempts)) logUndelivered(deps.log, orderId, error, attempts);
    throw error;
  }
}

/** Wakes the run of a payment with evidence that has been unrecorded for a minute. */
export async function wake(
  { db, temporal, log }: ActivityDependencies,
  payment: UnrecordedPayment,
  runs: StuckRuns,
): Promise<boolean> {
  const { outTradeNo, eventId } = payment;
  const attempts = await claimUnrecorded(db, outTradeNo);
  if (attempts === 0) return false;
  if (attempts >= ALERT_FROM_WAKINGS) {
    log.error(
      { outTradeNo, eventId, attempts, code: 'EVIDENCE_UNRECORDED', alert: true },
      'evidence about a payment cannot be recorded',
    );
  }
  if (attempts >= LOOK_FROM) await runs.look(paymentWorkflowId(outTradeNo));
  await soon(temporal, () => wakePayment(temporal, payment, eventId));
  return true;
}

/** Gives an unwatched payment a new run, with the checks that remain. */
export async function watch(
  deps: ActivityDependencies,
  payment: UnwatchedPayment,
  runs: StuckRuns,
): Promise<boolean> {
  const { db, temporal, log } = deps;
  const { outTradeNo } = payment;
  const run = await runs.look(paymentWorkflowId(outTradeNo));
  if (run.is === 'stuck') {
    await postponeUnwatched(db, outTradeNo);
    return false;
  }
  const revivals = await claimUnwatched(db, outTradeNo);
  if (revivals >= ALERT_FROM_RUNS) {
    log.error(
      { outTradeNo, revivals, run: run.is, code: 'UNWATCHED', alert: true },
      'the checks of a payment are repeatedly not made',
    );
  }
  // Late is not lost: an existing run makes its checks when workers have time for it.
  if (revivals === 0 || run.is === 'running') return false;
  await soon(temporal, () => revivePayment(temporal, payment, remainingChecks(deps, payment)));
  return true;
}

/** The overdue check is made at once: its time is from Postgres, as a worker's clock may be ahead of Temporal's. */
function remainingChecks(
  { checks, intervalMs }: ActivityDependencies,
  { outTradeNo, checks: checksMade, nextCheckAt, closeBy, expiresAt }: UnwatchedPayment,
): ConfirmPaymentInput {
  return {
    outTradeNo,
    checks: Math.max(checks, checksMade + 1),
    intervalMs,
    closeBy,
    deadline: expiresAt.toISOString(),
    firstCheckAt: nextCheckAt.toISOString(),
    checksMade,
  };
}

/**
 * Gives a payment in REVIEW or REFUNDING a new run if its own is gone, and tells a run that shows another status to
 * read the row, even after the payment has left that status: whoever recorded that may have died before telling the
 * run. If it is REFUNDING without a refund under way, it gets one.
 */
export async function attend(
  deps: ActivityDependencies,
  payment: UnattendedPayment,
  runs: StuckRuns,
): Promise<boolean> {
  const { db, temporal } = deps;
  const { outTradeNo, status, shown, isHeld, revivals } = payment;
  const run = await runs.look(paymentWorkflowId(outTradeNo));
  if (run.is === 'stuck') return false;
  if (!isHeld && (run.is === 'gone' || run.shown === shown)) {
    await endAttending(db, outTradeNo);
    return false;
  }
  await postponeAttending(db, outTradeNo);
  if (status === 'REFUNDING') await startRefunds(deps, (await resumeRefunds(deps, outTradeNo)).refunds);
  if (run.is === 'gone') {
    await soon(temporal, () => revivePayment(temporal, payment));
    return true;
  }
  // A run without search attributes cannot be compared: it is told once after each change of the row, not for ever.
  const disagrees = run.shown === undefined ? revivals === 0 : run.shown !== shown;
  if (disagrees) await soon(temporal, () => tellRowMoved(temporal, outTradeNo));
  return disagrees;
}

/** Gives a stalled refund a new run if its own is gone. */
export async function giveRun(
  { db, temporal, log }: ActivityDependencies,
  refund: DueRefund,
  runs: StuckRuns,
): Promise<boolean> {
  const run = await runs.look(refundWorkflowId(refund));
  const attempts = await claimRefund(db, refund);
  if (attempts === 0 || run.is !== 'gone') return false;
  const { outTradeNo, outRequestNo } = refund;
  if (attempts >= ALERT_FROM_RUNS) {
    log.error(
      { outTradeNo, outRequestNo, attempts, code: 'REFUND_STANDS_STILL', alert: true },
      'a refund repeatedly has no run',
    );
  }
  await soon(temporal, () => startRefund(temporal, refund));
  return true;
}
