import type { UnwatchedPayment } from '../../db/due';
import { claimUnwatched, findUnwatched, postponeUnwatched } from '../../db/due';
import { paymentWorkflowId } from '../../workflows/messages';
import type { ConfirmPaymentInput, KindReport } from '../../workflows/messages';
import { revivePayment } from '../payment-workflow';
import type { ActivityDependencies } from '../dependencies';
import { soon } from './dependencies';
import { inLanes } from './in-lanes';
import { StuckRuns } from './stuck-runs';

/** With the follow-up every 30 s, a lost store's payments ask Alipay again at 30 a second, not all at once. */
const BATCH = 1_000;

/** A payment that needs a new run again and again has something that a person should look at. */
const ALERT_FROM = 3;

export function createWatchActivities(deps: ActivityDependencies) {
  const { db, temporal, log } = deps;

  async function watch(runs: StuckRuns, payment: UnwatchedPayment): Promise<boolean> {
    const { outTradeNo } = payment;
    const run = await runs.look(paymentWorkflowId(outTradeNo));
    if (run.is === 'stuck') {
      await postponeUnwatched(db, outTradeNo);
      return false;
    }
    const revivals = await claimUnwatched(db, outTradeNo);
    if (revivals >= ALERT_FROM) {
      log.error(
        { outTradeNo, revivals, run: run.is, code: 'UNWATCHED', alert: true },
        'the checks of a payment are not made, time after time',
      );
    }
    // Late is not lost: a run that is there makes its checks when workers have time for it.
    if (revivals === 0 || run.is === 'running') return false;
    await soon(deps, () => revivePayment(temporal, payment, remainingChecks(deps, payment)));
    return true;
  }

  return {
    /** Gives payments that nobody watches a new run, with the checks that remain. Safe to repeat. */
    async watchUnwatched(): Promise<KindReport> {
      const due = await findUnwatched(db, { merchants: deps.alipay.ids, limit: BATCH });
      const runs = new StuckRuns(deps);
      return inLanes(log, { kind: 'unwatched', due, limit: BATCH }, (payment) => watch(runs, payment));
    },
  };
}

/** The check that is overdue is made at once: its time is Postgres', since a worker's clock may be ahead of Temporal's. */
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
