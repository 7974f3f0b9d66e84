import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  ActivityFailure,
  ChildWorkflowFailure,
  ParentClosePolicy,
  WorkflowIdReusePolicy,
  executeChild,
  isCancellation,
  setCurrentDetails,
  sleep,
} from '@temporalio/workflow';
import { dayInBeijing } from './beijing';
import { failureType, fieldsOf, isLike, requireInput } from './failures';
import { reconciliationInWords } from './in-words';
import type {
  BillOfMerchant,
  BillState,
  ComparedBill,
  DiscrepancyKind,
  ReconcileBillInput,
  ReconcileBillsInput,
  Reconciliation,
} from './messages';
import { BILL_REPAIRS, RECONCILE_RUN_TIMEOUT, reconcileWorkflowId } from './messages';
import { compareWhole, fetchOnce, repairSome, untilDone } from './proxies';

/** Each call repairs what it can in 20 s. */
const MOST_REPAIRS = 500;

/** A refund can be repaired only after its payment, so one round may make another one possible. */
const MOST_ROUNDS = 3;

/** After repairs the bill is compared again, until every repair shows: payments record in their own runs. */
const PAUSES_MS = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 60_000, 120_000];

/**
 * Compares Alipay's bill of a day with the tables, to the fen; with `execute` it repairs what it may, by the usual
 * paths, and compares again. A bill that is incomplete or does not add up causes no change.
 *
 * Fails only with INVALID_INPUT: without a bill the result says why.
 */
export async function reconcileBill(input: ReconcileBillInput): Promise<Reconciliation> {
  assertInput(input);
  const { merchant, date, execute, repair = 'all' } = input;
  const bill = { merchant, date };
  const kinds = execute ? BILL_REPAIRS[repair] : [];
  const sellerId = merchant.slice(merchant.indexOf('/') + 1);
  let state: BillState = { sellerId, date, status: 'LOADING', because: null, report: null };
  const show = (doing?: string): void =>
    setCurrentDetails(reconciliationInWords({ ...state, executed: execute }, doing));

  show('Fetching');
  const failure = await whyNotLoaded(bill);
  if (failure) {
    state = await compareWhole.noteNoBill({ ...bill, ...failure });
  } else {
    show('Comparing');
    let compared = await compareWhole.compareBill(bill);
    for (let round = 0; round < MOST_ROUNDS && compared.report.open > 0 && kinds.length > 0; round += 1) {
      state = compared;
      show('Repairing');
      const done = await repairAll(bill, kinds);
      if (done === 0) break;
      compared = await compareAgain(bill, compared.report.open - done);
    }
    state = compared;
  }
  show();
  return { ...state, executed: execute };
}

/** What the Schedule starts: compares each due bill of the last days in its own run. Returns their workflow ids. */
export async function reconcileBills(input: ReconcileBillsInput): Promise<string[]> {
  const { repair } = fieldsOf(input);
  requireInput(isLike(/^(none|safe|all)$/, repair), 'repair: none, safe or all');
  const due = await untilDone.findDueBills();
  const sellers = [...new Set(due.map(({ sellerId }) => sellerId))];
  const done = sellers.map((seller) =>
    reconcileInTurn(
      due.filter(({ sellerId }) => sellerId === seller),
      input,
    ),
  );
  return (await Promise.all(done)).flat();
}

/** One seller's bills, oldest first: around midnight a payment may appear in the bill of the day before. */
async function reconcileInTurn(
  bills: readonly (BillOfMerchant & { sellerId: string })[],
  { repair }: ReconcileBillsInput,
): Promise<string[]> {
  const done: string[] = [];
  for (const { merchant, sellerId, date } of bills) {
    const workflowId = reconcileWorkflowId({ sellerId, date });
    try {
      await executeChild(reconcileBill, {
        workflowId,
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE,
        parentClosePolicy: ParentClosePolicy.ABANDON,
        workflowRunTimeout: RECONCILE_RUN_TIMEOUT,
        args: [{ merchant, date, execute: repair !== 'none', repair }],
        staticSummary: `Bill of ${date}`,
      });
    } catch (error) {
      // Somebody else's run: a later run of the Schedule continues after it.
      if (error instanceof WorkflowExecutionAlreadyStartedError) break;
      // A run that was terminated or timed out must not block the later ones.
      if (!(error instanceof ChildWorkflowFailure) || isCancellation(error)) throw error;
    }
    done.push(workflowId);
  }
  return done;
}

/** There is none before nine in Beijing on the day after, nor if no money moved; Alipay does not say which. */
const NO_BILL = {
  status: 'NO_BILL',
  because: 'BILL_NOT_READY: Alipay has no bill for this day, or not yet. The Schedule asks again.',
} as const;

/** Fetches the bill; returns undefined once it is loaded. */
async function whyNotLoaded(
  bill: BillOfMerchant,
): Promise<{ status: 'NO_BILL' | 'FAILED'; because: string } | undefined> {
  try {
    return (await fetchOnce.fetchBill(bill)) ? undefined : NO_BILL;
  } catch (error) {
    if (isCancellation(error)) throw error;
    const code = failureType(error) ?? 'TIMEOUT';
    const message = error instanceof ActivityFailure ? error.cause?.message : undefined;
    return {
      status: 'FAILED',
      because: `${code}: ${message ?? 'no worker has fetched it in time'}`,
    };
  }
}

/** Returns how many discrepancies should be gone. What cannot be done now is left to the next reconciliation. */
async function repairAll(bill: BillOfMerchant, kinds: readonly DiscrepancyKind[]): Promise<number> {
  let done = 0;
  for (let call = 0; call < MOST_REPAIRS; call += 1) {
    try {
      const report = await repairSome.repairBill({ ...bill, kinds });
      done += report.done;
      if (!report.left) return done;
    } catch (error) {
      if (isCancellation(error)) throw error;
      return done;
    }
  }
  return done;
}

async function compareAgain(bill: BillOfMerchant, expected: number): Promise<ComparedBill> {
  let compared = await compareWhole.compareBill(bill);
  for (const pause of PAUSES_MS) {
    if (compared.report.open <= expected) break;
    await sleep(pause, { summary: 'payments record what was found' });
    compared = await compareWhole.compareBill(bill);
  }
  return compared;
}

/** @throws ApplicationFailure INVALID_INPUT */
function assertInput(input: ReconcileBillInput): void {
  const { merchant, date, execute, repair = 'all' } = fieldsOf(input);
  requireInput(isLike(/^[^/]+\/[^/]+$/, merchant), 'merchant: appId/sellerId');
  requireInput(isLike(/^\d{4}-\d\d-\d\d$/, date) && isDay(date), 'date: yyyy-MM-dd, a day in Beijing');
  const today = dayInBeijing(Date.now());
  requireInput(date < today, `date: before today (${today} in Beijing)`);
  requireInput(typeof execute === 'boolean', 'execute: true or false');
  requireInput(isLike(/^(none|safe|all)$/, repair), 'repair: none, safe or all');
}

function isDay(date: string): boolean {
  const time = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(date);
}
