/** What is due by the rows alone, each kind in its own activity: none keeps another from being done. */
import type { ActivityDependencies } from '../dependencies';
import { createLeftoverActivities } from './leftovers';
import { createRecheckActivities } from './rechecks';
import { createRefundFollowUp } from './refunds';
import { createSlowCheckActivities } from './slow-checks';
import { createAttendActivities } from './unattended';
import { createTellActivities } from './undelivered';
import { createWakeActivities } from './unrecorded';
import { createWatchActivities } from './unwatched';

/** The kinds that reach Postgres and Temporal only. */
export const createFollowUpActivities = (deps: ActivityDependencies) => ({
  ...createTellActivities(deps),
  ...createWakeActivities(deps),
  ...createWatchActivities(deps),
  ...createAttendActivities(deps),
  ...createRefundFollowUp(deps),
});

/** The kinds that ask Alipay. */
export const createAskingFollowUpActivities = (deps: ActivityDependencies) => ({
  ...createSlowCheckActivities(deps),
  ...createLeftoverActivities(deps),
  ...createRecheckActivities(deps),
});
