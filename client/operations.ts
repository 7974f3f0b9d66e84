import type { Client } from '@temporalio/client';
import {
  QueryNotRegisteredError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ActivityFailure, ApplicationFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import { readReturn } from '../activities/alipay/return';
import { updatePayment } from '../activities/payment-workflow';
import { CODES, hasStatus, soon } from '../activities/temporal-calls';
import { requireOrder, requirePayment } from '../db/ledger';
import type { MerchantWithOpen } from '../db/merchants';
import { listMerchants } from '../db/merchants';
import { assertMigrated } from '../db/migrator';
import type { ClockedOrder, Order } from '../db/orders';
import { refundIfPaidLater } from '../db/orders';
import type { Payment } from '../db/payments';
import type { closeOrder } from '../workflows/close-order';
import { PaymentError, isErrorCode } from '../workflows/errors';
import type { CloseOrderInput, PaymentState, ResolveReview, WhoAndWhy } from '../workflows/messages';
import {
  QUERIES,
  TASK_QUEUES,
  UPDATES,
  WORKFLOWS,
  closeWorkflowId,
  paymentWorkflowId,
} from '../workflows/messages';
import type { ClientDependencies } from './dependencies';
import { awaitWorker, explain } from './dependencies';

/** `checkNow` itself returns after 5 s; the rest is time for a worker to pick it up. */
export const UPDATE_MS = 20_000;

/** The same for a buyer who is waiting for a page. */
const RETURN_MS = 8_000;

/** Closing asks Alipay several times about each payment. */
const CLOSE_MS = 60_000;

/** Without a limit, a run that no build can continue would be joined by every later call. */
const LONGEST_CLOSE = '15 minutes';

/** The payment of a buyer who has returned from the cashier. */
export interface ReturnedPayment extends PaymentState {
  orderId: string;
}

export async function verifyReturn(deps: ClientDependencies, url: string): Promise<ReturnedPayment> {
  const query = url.slice(url.indexOf('?') + 1).split('#', 1)[0] ?? '';
  const outTradeNo = readReturn(deps.alipay.verifiers, query);
  if (outTradeNo === undefined) {
    throw new PaymentError(
      'RETURN_FORGED',
      'Alipay did not sign this address for this app and seller. Pass the query as received, not parsed.',
    );
  }
  const payment = await requirePayment(deps.db, outTradeNo);
  const state = await update(deps, payment, UPDATES.checkNow, [], RETURN_MS);
  return { ...state, orderId: payment.orderId };
}

/** A merchant in the database. */
export interface ListedMerchant extends MerchantWithOpen {
  /** Whether this process is configured with it. */
  configured: boolean;
}

/** One run of a payment's workflow. */
export interface PaymentRun {
  runId: string;
  /** As Temporal names it: RUNNING, COMPLETED, FAILED … */
  status: string;
  startedAt: Date;
  /** Null while it is running. */
  endedAt: Date | null;
}

export const orderOf = async ({ db }: ClientDependencies, orderId: string): Promise<Order> =>
  withoutClock(await requireOrder(db, orderId));

/** An order without the fields that depend on the time of reading. */
export function withoutClock({ expired, remainingMs, ...order }: ClockedOrder): Order {
  return order;
}

/** Which order the shop cancels; actor and reason may be left out. */
export type CancelInput = Omit<CloseOrderInput, keyof WhoAndWhy> & Partial<WhoAndWhy>;

/** Closes an order through its workflow, which asks Alipay first, and returns the row afterwards. */
export async function cancelOrder(deps: ClientDependencies, input: CloseOrderInput): Promise<Order> {
  const { orderId, ifPaidLater } = input;
  await requireOrder(deps.db, orderId);
  // The call may join a run that was started without this option.
  if (ifPaidLater) await refundIfPaidLater(deps.db, orderId);
  try {
    await runClose(deps, input);
  } catch (error) {
    if (!ifPaidLater || !(error instanceof PaymentError) || error.code !== 'ORDER_HELD') throw error;
    await runClose(deps, input);
  }
  return orderOf(deps, orderId);
}

async function runClose(deps: ClientDependencies, input: CloseOrderInput): Promise<void> {
  const { orderId } = input;
  try {
    await carryOut(deps.temporal, CLOSE_MS, () =>
      deps.temporal.workflow.execute<typeof closeOrder>(WORKFLOWS.closeOrder, {
        workflowId: closeWorkflowId(orderId),
        workflowIdConflictPolicy: 'USE_EXISTING',
        taskQueue: TASK_QUEUES.payments,
        workflowRunTimeout: LONGEST_CLOSE,
        args: [input],
        staticSummary: `Close order ${orderId}`,
        staticDetails: `The shop cancels order \`${orderId}\`: Alipay is asked and told first. It fails with ORDER_PAID or ORDER_HELD.`,
      }),
    );
  } catch (error) {
    throw error instanceof WorkflowNotFoundError ? goneRun(error) : error;
  }
}

export async function merchantsOf({ db, alipay }: ClientDependencies): Promise<ListedMerchant[]> {
  const found = await listMerchants(db);
  return found.map((merchant) => ({ ...merchant, configured: alipay.ids.includes(merchant.id) }));
}

export async function runsOf(deps: ClientDependencies, outTradeNo: string): Promise<PaymentRun[]> {
  await requirePayment(deps.db, outTradeNo);
  const query = `WorkflowId = '${paymentWorkflowId(outTradeNo)}'`;
  const runs: PaymentRun[] = [];
  await soon(deps.temporal, async () => {
    for await (const run of deps.temporal.workflow.list({ query })) {
      const { runId, status, startTime, closeTime } = run;
      runs.push({ runId, status: status.name, startedAt: startTime, endedAt: closeTime ?? null });
    }
  });
  return runs.sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime());
}

/** A payment's row and, if its workflow responds, what only that knows: the state of an open payment's checks. */
export async function statusOf(deps: ClientDependencies, outTradeNo: string): Promise<PaymentState> {
  const run = await stateOfRun(deps, outTradeNo);
  // Read last, and it wins: a run that has ended always returns what it knew then.
  const { status, checks } = await requirePayment(deps.db, outTradeNo);
  if (!run) return { outTradeNo, status, checks, nextCheckAt: null, lastAnswer: null };
  if (status !== 'UNPAID') return { ...run, status, nextCheckAt: null };
  return { ...run, status: run.status === 'UNCONFIRMED' ? run.status : status };
}

async function stateOfRun(deps: ClientDependencies, outTradeNo: string): Promise<PaymentState | undefined> {
  const handle = deps.temporal.workflow.getHandle(paymentWorkflowId(outTradeNo));
  try {
    return await soon(deps.temporal, () => handle.query<PaymentState>(QUERIES.payment));
  } catch (error) {
    if (!hasNoAnswer(error)) throw error;
    return undefined;
  }
}

/** No run, no worker, or a run that cannot be replayed, which the server reports in two ways. */
const hasNoAnswer = (error: unknown): boolean =>
  error instanceof WorkflowNotFoundError ||
  error instanceof QueryNotRegisteredError ||
  hasStatus(error, [CODES.failedPrecondition]) ||
  isUnavailable(explain(error));

/** Asks Alipay at once, through the payment's workflow. */
export const checkNow = async (deps: ClientDependencies, outTradeNo: string): Promise<PaymentState> =>
  update(deps, await requirePayment(deps.db, outTradeNo), UPDATES.checkNow, []);

/** Carries out a person's decision, through the payment's workflow. */
export const decide = async (
  deps: ClientDependencies,
  outTradeNo: string,
  decision: ResolveReview,
): Promise<PaymentState> =>
  update(deps, await requirePayment(deps.db, outTradeNo), UPDATES.resolveReview, [decision]);

function update(
  deps: ClientDependencies,
  payment: Payment,
  name: (typeof UPDATES)[keyof typeof UPDATES],
  args: [] | [ResolveReview],
  withinMs = UPDATE_MS,
): Promise<PaymentState> {
  return carryOut(deps.temporal, withinMs, () => updatePayment(deps.temporal, payment, name, args));
}

/** Waits for a workflow to do something; its failure becomes an error of the public interface. */
export async function carryOut<T>(temporal: Client, withinMs: number, call: () => Promise<T>): Promise<T> {
  try {
    return await awaitWorker(temporal, withinMs, call);
  } catch (error) {
    if (!(error instanceof WorkflowFailedError || error instanceof WorkflowUpdateFailedError)) throw error;
    throw fromFailure(error.cause);
  }
}

export async function healthOf({ db, temporal }: ClientDependencies): Promise<Health> {
  const answers = await Promise.allSettled([
    assertMigrated(db),
    // The server may respond and yet not have our namespace, or give us no rights in it.
    soon(temporal, () =>
      temporal.workflowService.describeNamespace({ namespace: temporal.options.namespace }),
    ),
  ]);
  const [database, server] = answers.map(({ status }) => status === 'fulfilled');
  const failed = answers.find((answer) => answer.status === 'rejected');
  const error = explain(failed?.reason);
  return {
    database: database === true,
    temporal: server === true,
    ...(error instanceof PaymentError && { reason: error.message }),
  };
}

/** Whether the dependencies respond: the database with every migration of this build, Temporal for our namespace. */
export interface Health {
  database: boolean;
  temporal: boolean;
  reason?: string;
}

const isUnavailable = (error: unknown): boolean => error instanceof PaymentError && error.status === 503;

/** The failure that ended a workflow or an update, as an error of the public interface. */
export function fromFailure(cause: Error | undefined): Error {
  const failure = cause instanceof ActivityFailure ? cause.cause : cause;
  if (failure instanceof ApplicationFailure && failure.type?.startsWith('ALIPAY_')) {
    return new PaymentError('ALIPAY_UNAVAILABLE', `${failure.message}. Trying again is safe.`, { cause });
  }
  if (failure instanceof ApplicationFailure && isErrorCode(failure.type)) {
    return new PaymentError(failure.type, failure.message, { cause });
  }
  if (cause instanceof TerminatedFailure || cause instanceof TimeoutFailure || isLeftOver(cause)) {
    return goneRun(cause);
  }
  // Every attempt of the activity timed out: its workers died, or none picked it up.
  if (failure instanceof TimeoutFailure) {
    return new PaymentError(
      'TEMPORAL_UNAVAILABLE',
      'No worker has finished it, so its result is unknown. Trying again is safe.',
      { cause },
    );
  }
  return cause ?? new Error('the workflow failed');
}

/** An update whose run ended after accepting it: a failure from the server itself. */
const isLeftOver = (cause: Error | undefined): cause is ApplicationFailure =>
  cause instanceof ApplicationFailure && cause.type === 'AcceptedUpdateCompletedWorkflow';

/** Somebody ended the run, or Temporal lost its store: the work may or may not be done. */
const goneRun = (cause: Error): PaymentError =>
  new PaymentError(
    'TEMPORAL_UNAVAILABLE',
    'The workflow run is gone, so its result is unknown. Trying again is safe.',
    { cause },
  );
