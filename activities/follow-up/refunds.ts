import type { DueRefund } from '../../db/due';
import { claimRefund, findStandingRefunds } from '../../db/due';
import { refundWorkflowId } from '../../workflows/messages';
import type { KindReport } from '../../workflows/messages';
import { startRefund } from '../refund-workflow';
import type { ActivityDependencies } from '../dependencies';
import { soon } from './dependencies';
import { inLanes } from './in-lanes';
import { StuckRuns } from './stuck-runs';

const BATCH = 1_000;

/** A refund that needs a new run again and again has something that a person should look at. */
const ALERT_FROM = 3;

export function createRefundFollowUp(deps: ActivityDependencies) {
  const { db, temporal, log } = deps;

  async function start(runs: StuckRuns, refund: DueRefund): Promise<boolean> {
    const run = await runs.look(refundWorkflowId(refund));
    const attempts = await claimRefund(db, refund);
    if (attempts === 0 || run.is !== 'gone') return false;
    const { outTradeNo, outRequestNo } = refund;
    if (attempts >= ALERT_FROM) {
      log.error(
        { outTradeNo, outRequestNo, attempts, code: 'REFUND_STANDS_STILL', alert: true },
        'a refund has no run, time after time',
      );
    }
    await soon(deps, () => startRefund(temporal, refund));
    return true;
  }

  return {
    /** Gives refunds that stand still a run where theirs is gone. Safe to repeat. */
    async startRefunds(): Promise<KindReport> {
      const due = await findStandingRefunds(db, { merchants: deps.alipay.ids, limit: BATCH });
      const runs = new StuckRuns(deps);
      return inLanes(log, { kind: 'refunds', due, limit: BATCH }, (refund) => start(runs, refund));
    },
  };
}
