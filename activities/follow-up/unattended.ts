import type { UnattendedPayment } from '../../db/due';
import { endAttending, findUnattended, postponeAttending } from '../../db/due';
import { resumeRefunds } from '../../db/ledger';
import { paymentWorkflowId } from '../../workflows/messages';
import type { KindReport } from '../../workflows/messages';
import { revivePayment, tellRowMoved } from '../payment-workflow';
import { startRefunds } from '../refund-workflow';
import type { ActivityDependencies } from '../dependencies';
import { soon } from './dependencies';
import { inLanes } from './in-lanes';
import { StuckRuns } from './stuck-runs';

const BATCH = 1_000;

export function createAttendActivities(deps: ActivityDependencies) {
  const { db, temporal, log } = deps;

  async function attend(runs: StuckRuns, payment: UnattendedPayment): Promise<boolean> {
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
      await soon(deps, () => revivePayment(temporal, payment));
      return true;
    }
    // A run without search attributes cannot be compared: it is told once after each change of the row, not for ever.
    const disagrees = run.shown === undefined ? revivals === 0 : run.shown !== shown;
    if (disagrees) await soon(deps, () => tellRowMoved(temporal, outTradeNo));
    return disagrees;
  }

  return {
    /**
     * Gives payments in REVIEW or REFUNDING a run where theirs is gone, and tells a run that shows another status to read the
     * row, also once they have left: whoever recorded that may have died before the run heard of it. One that is REFUNDING
     * without a refund under way gets one. Safe to repeat.
     */
    async attendUnattended(): Promise<KindReport> {
      const due = await findUnattended(db, { merchants: deps.alipay.ids, limit: BATCH });
      const runs = new StuckRuns(deps);
      return inLanes(log, { kind: 'unattended', due, limit: BATCH }, (payment) => attend(runs, payment));
    },
  };
}
