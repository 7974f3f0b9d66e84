import type { UnrecordedPayment } from '../../db/due';
import { claimUnrecorded, findUnrecorded } from '../../db/due';
import { pruneEvidence } from '../../db/evidence';
import { pruneUnmatched } from '../../db/unmatched-notifications';
import { paymentWorkflowId } from '../../workflows/messages';
import type { KindReport } from '../../workflows/messages';
import { wakePayment } from '../payment-workflow';
import type { ActivityDependencies } from '../dependencies';
import { soon } from './dependencies';
import { inLanes } from './in-lanes';
import { StuckRuns } from './stuck-runs';

const BATCH = 1_000;

/** A run that exists, and was woken without effect, may be stuck. */
const LOOK_FROM = 3;

/** Evidence that is not recorded after so many wakings, half an hour, is poison: a person has to look at it. */
const ALERT_FROM = 5;

export function createWakeActivities(deps: ActivityDependencies) {
  const { db, temporal, log, evidenceRetentionMs } = deps;

  async function wake(runs: StuckRuns, payment: UnrecordedPayment): Promise<boolean> {
    const { outTradeNo, eventId } = payment;
    const attempts = await claimUnrecorded(db, outTradeNo);
    if (attempts === 0) return false;
    if (attempts >= ALERT_FROM) {
      log.error(
        { outTradeNo, eventId, attempts, code: 'EVIDENCE_UNRECORDED', alert: true },
        'evidence about a payment cannot be recorded',
      );
    }
    if (attempts >= LOOK_FROM) await runs.look(paymentWorkflowId(outTradeNo));
    await soon(deps, () => wakePayment(temporal, payment, eventId));
    return true;
  }

  return {
    /**
     * Wakes the runs of payments with evidence that nobody has recorded for a minute; and prunes what is recorded, or
     * resolved by a person, and older than `EVIDENCE_RETENTION`. Safe to repeat.
     */
    async wakeUnrecorded(): Promise<KindReport> {
      const due = await findUnrecorded(db, { merchants: deps.alipay.ids, limit: BATCH });
      const runs = new StuckRuns(deps);
      const report = await inLanes(log, { kind: 'unrecorded', due, limit: BATCH }, (payment) =>
        wake(runs, payment),
      );
      if (evidenceRetentionMs !== undefined) {
        const old = { olderThanMs: evidenceRetentionMs, limit: BATCH };
        await pruneEvidence(db, old);
        await pruneUnmatched(db, old);
      }
      return report;
    },
  };
}
