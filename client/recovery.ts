import { tellRowMoved } from '../activities/payment-workflow';
import { soon, whereSearchable } from '../activities/temporal-calls';
import type { Recovery, ShownRun } from '../db/recovery';
import { findMoved, recoverByHand } from '../db/recovery';
import { WORKFLOWS } from '../workflows/messages';
import { OUT_TRADE_NO, PAYMENT_STATUS } from '../workflows/search-attributes';
import type { ClientDependencies } from './dependencies';
import { parseRecovery } from './input';

/** Runs that wait until somebody tells them something. All others read their row again by themselves. */
const WAITING =
  `WorkflowType = '${WORKFLOWS.confirmPayment}' AND ExecutionStatus = 'Running' ` +
  `AND PaymentStatus IN ('REVIEW', 'REFUNDING')`;

/**
 * {@link recoverByHand}; it also tells runs that the restored store shows waiting for a decision to read their rows, if
 * the decision was made since. The follow-up looks only at rows that are in doubt, and theirs no longer are.
 */
export async function recoverRestored(
  deps: ClientDependencies,
  input: { since: string; actor: string; dryRun?: boolean },
): Promise<Recovery> {
  const { db, temporal } = deps;
  const { since, actor, dryRun = false } = parseRecovery(input);
  const recovered = await recoverByHand(db, { since, actor, dryRun });
  const moved = await findMoved(db, await waitingRuns(deps));
  if (!dryRun) for (const outTradeNo of moved) await tellRowMoved(temporal, outTradeNo);
  return { ...recovered, unattended: recovered.unattended + moved.length };
}

/** If the namespace has no search attributes, none can be found. */
const waitingRuns = ({ temporal }: ClientDependencies): Promise<ShownRun[]> =>
  whereSearchable((searchable) =>
    soon(temporal, async () => {
      const found: ShownRun[] = [];
      if (!searchable) return found;
      for await (const { typedSearchAttributes } of temporal.workflow.list({ query: WAITING })) {
        const outTradeNo = typedSearchAttributes.get(OUT_TRADE_NO);
        const shown = typedSearchAttributes.get(PAYMENT_STATUS);
        if (outTradeNo !== undefined && shown !== undefined) found.push({ outTradeNo, shown });
      }
      return found;
    }),
  );
