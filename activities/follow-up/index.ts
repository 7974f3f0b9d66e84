/** The work that the rows show to be due, each kind in its own activity, so none blocks another. All are safe to repeat. */
import type { Database } from '../../db/connect';
import type { DueScan } from '../../db/due';
import {
  findLeftovers,
  findRechecks,
  findSlowChecks,
  findStandingRefunds,
  findUnattended,
  findUndeliveredOrders,
  findUnrecorded,
  findUnwatched,
} from '../../db/due';
import { pruneEvidence } from '../../db/evidence';
import { pruneUnmatched } from '../../db/unmatched-notifications';
import type { FollowUpKind, KindReport } from '../../workflows/messages';
import type { ActivityDependencies } from '../dependencies';
import { askSlowly, closeUnpaid, recheck } from './asking';
import { inLanes, inLanesByMerchant } from './in-lanes';
import { StuckRuns } from './stuck-runs';
import { attend, giveRun, tell, wake, watch } from './waking';

type Find<T> = (db: Database, scan: DueScan) => Promise<T[]>;

/** With a follow-up every 30 s, a lost Temporal store's payments ask Alipay again at 30 a second, not all at once. */
const BATCH = 1_000;

/** The kinds that reach only Postgres and Temporal. */
export function createFollowUpActivities(deps: ActivityDependencies) {
  const { db, alipay, log, evidenceRetentionMs } = deps;

  const each =
    <T>(
      kind: FollowUpKind,
      find: Find<T>,
      act: (deps: ActivityDependencies, one: T, runs: StuckRuns) => Promise<boolean>,
    ) =>
    async (): Promise<KindReport> => {
      const due = await find(db, { merchants: alipay.ids, limit: BATCH });
      const runs = new StuckRuns(deps);
      return inLanes(log, { kind, due, limit: BATCH }, (one) => act(deps, one, runs));
    };
  const wakeAll = each('unrecorded', findUnrecorded, wake);

  return {
    tellUndelivered: each('undelivered', findUndeliveredOrders, tell),
    watchUnwatched: each('unwatched', findUnwatched, watch),
    attendUnattended: each('unattended', findUnattended, attend),
    startRefunds: each('refunds', findStandingRefunds, giveRun),

    /** Also prunes what is recorded, or resolved by a person, and older than `EVIDENCE_RETENTION`. */
    async wakeUnrecorded(): Promise<KindReport> {
      const report = await wakeAll();
      if (evidenceRetentionMs !== undefined) {
        const old = { olderThanMs: evidenceRetentionMs, limit: BATCH };
        await pruneEvidence(db, old);
        await pruneUnmatched(db, old);
      }
      return report;
    },
  };
}

/** The kinds that ask Alipay. */
export function createAskingFollowUpActivities(deps: ActivityDependencies) {
  const { db, alipay, log } = deps;

  const each =
    <T extends { merchant: string | null }>(
      kind: FollowUpKind,
      limit: number,
      find: Find<T>,
      act: (deps: ActivityDependencies, one: T) => Promise<boolean>,
    ) =>
    async (): Promise<KindReport> => {
      const due = await find(db, { merchants: alipay.reachableIds, limit });
      return inLanesByMerchant(log, { kind, due, limit }, (one) => act(deps, one));
    };

  return {
    askSlowly: each('slowChecks', 2_000, findSlowChecks, askSlowly),
    closeLeftovers: each('leftovers', 500, findLeftovers, closeUnpaid),
    // This limits a shop's checkouts per second: each payment that no buyer came for is queried a day later.
    recheckClosed: each('rechecks', 1_000, findRechecks, recheck),
  };
}
