import { setTimeout as sleep } from 'node:timers/promises';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { PaymentIdentity } from '../../activities/payment-workflow';
import { revivePayment, updatePayment, wakePayment, watchPayment } from '../../activities/payment-workflow';
import type { ErrorCode } from '../../workflows/errors';
import { PaymentError } from '../../workflows/errors';
import type { Recorded } from '../../workflows/messages';
import type {
  CloseOrderInput,
  ConfirmPaymentInput,
  PaymentResult,
  ReconcileBillInput,
  ReconcileBillsInput,
  PaymentState,
  ResolveRefund,
  ResolveReview,
  SweepInput,
} from '../../workflows/messages';
import {
  QUERIES,
  SIGNALS,
  TASK_QUEUES,
  UPDATES,
  WORKFLOWS,
  closeWorkflowId,
  orderWorkflowId,
  paymentWorkflowId,
  reconcileWorkflowId,
  refundWorkflowId,
} from '../../workflows/messages';
import type { FakePayment, FakeRefund, FakeWorld } from '../time-skipping/world';
import { Held, alipayFailure } from '../time-skipping/world';

/** Where a scenario is played. Each has its own world. */
export interface Studio {
  client: Client;
  world: FakeWorld;
}

/** Plays one path of a workflow to its end; returns the runs whose histories are kept. */
export type Scenario = (studio: Studio) => Promise<WorkflowHandle[]>;

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

// The server's own timers are no finer than a second; the length of one does not matter to a replay.
const INTERVAL = SECOND;

const SELLER_ID = '2088000000000000';
const BILL = { merchant: `2021000000000000/${SELLER_ID}`, sellerId: SELLER_ID, date: '2026-01-01' };

const billFailure = (code: ErrorCode): Error => new PaymentError(code, 'as the scenario wants it');

const payment: PaymentIdentity = {
  outTradeNo: 'trade_1',
  orderId: 'order-1',
  totalAmount: '12.30',
  status: 'UNPAID',
};
const { outTradeNo } = payment;

const DECISION = { actor: 'an operator', reason: 'looked at the merchant portal' };

/** A checkout: the row, the workflow, and whatever happens to it. */
function checkedOut(
  row: Partial<FakePayment>,
  happens: (studio: Studio, handle: WorkflowHandle) => Promise<void> = () => Promise.resolve(),
  input: Partial<ConfirmPaymentInput> = {},
): Scenario {
  return async (studio) => {
    studio.world.place(outTradeNo, { orderId: payment.orderId, ...row });
    await watchPayment(studio.client, payment, { outTradeNo, checks: 3, intervalMs: INTERVAL, ...input });
    const handle = studio.client.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await happens(studio, handle);
    await ended(handle);
    return [handle];
  };
}

/** A run that a message starts, or the sweep. */
function revived(row: Partial<FakePayment>, revive: (studio: Studio) => Promise<unknown>): Scenario {
  return async (studio) => {
    studio.world.place(outTradeNo, { orderId: payment.orderId, ...row });
    await revive(studio);
    const handle = studio.client.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await ended(handle);
    return [handle];
  };
}

/** Some scenarios end in a failure, as they should. */
const ended = (handle: WorkflowHandle): Promise<unknown> => handle.result().catch((error: unknown) => error);

const notify = ({ client, world }: Studio, becomes: Partial<Recorded>): Promise<void> =>
  wakePayment(client, payment, world.storeNotification(outTradeNo, becomes));

const resolve = ({ client }: Studio, to: ResolveReview['to']) =>
  updatePayment(client, payment, UPDATES.resolveReview, [{ to, ...DECISION }]);

const checkNow = ({ client }: Studio) => updatePayment(client, payment, UPDATES.checkNow, []);

const until = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  while (!(await holds())) await sleep(20);
};

/** The run of the payment's refund ends, and tells the payment's own run. */
async function refundEnds({ client, world }: Studio): Promise<void> {
  const handle = client.workflow.getHandle(paymentWorkflowId(outTradeNo));
  const stateOf = (): Promise<PaymentState> => handle.query<PaymentState>(QUERIES.payment);
  await until(async () => (await stateOf()).status === 'REFUNDING');
  world.place(outTradeNo, { orderId: payment.orderId, status: 'REFUNDED' });
  await handle.signal(SIGNALS.rowMoved);
}

/** A refund, with or without a row, and whatever happens to it. */
function refunding(
  row: Partial<FakeRefund> | undefined,
  happens: (studio: Studio, handle: WorkflowHandle) => Promise<void> = () => Promise.resolve(),
): Scenario {
  return async (studio) => {
    const refund = { outTradeNo, outRequestNo: 'refund-1' };
    if (row) studio.world.placeRefund(refund.outRequestNo, { ...row, outTradeNo });
    const handle = await studio.client.workflow.start(WORKFLOWS.refundPayment, {
      workflowId: refundWorkflowId({ ...refund, kind: 'shop' }),
      taskQueue: TASK_QUEUES.payments,
      args: [refund],
    });
    await happens(studio, handle);
    await ended(handle);
    return [handle];
  };
}

const decideRefund = (handle: WorkflowHandle, to: ResolveRefund['to']): Promise<unknown> =>
  handle.executeUpdate(UPDATES.resolveRefund, { args: [{ to, ...DECISION }] });

const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * SECOND).toISOString();

function swept(
  orders: number,
  input: SweepInput,
  prepare: (world: FakeWorld) => void = () => undefined,
): Scenario {
  return async ({ client, world }) => {
    expire(world, orders);
    prepare(world);
    const handle = await client.workflow.start(WORKFLOWS.sweepExpiredOrders, {
      workflowId: 'sweep',
      taskQueue: TASK_QUEUES.payments,
      args: [input],
    });
    await ended(handle);
    return runsFrom(client, handle.workflowId, handle.firstExecutionRunId);
  };
}

function expire(world: FakeWorld, orders: number): void {
  world.expired = Array.from({ length: orders }, (_, i) => ({
    id: `order-${String(i).padStart(3, '0')}`,
    expiresAt: new Date(Date.parse('2026-01-01T00:00:00Z') + i * SECOND).toISOString(),
  }));
}

/** A run and those it continued as, including cron's. */
async function runsFrom(client: Client, workflowId: string, runId: string): Promise<WorkflowHandle[]> {
  const handle = client.workflow.getHandle(workflowId, runId);
  const last = (await handle.fetchHistory()).events?.at(-1);
  const end =
    last?.workflowExecutionCompletedEventAttributes ?? last?.workflowExecutionContinuedAsNewEventAttributes;
  if (!end) return [];
  return [
    handle,
    ...(end.newExecutionRunId ? await runsFrom(client, workflowId, end.newExecutionRunId) : []),
  ];
}

const sweptByCron: Scenario = async ({ client, world }) => {
  expire(world, 6);
  const handle = await client.workflow.start(WORKFLOWS.sweepExpiredOrders, {
    workflowId: 'cron-sweep',
    taskQueue: TASK_QUEUES.payments,
    cronSchedule: '@every 1s',
    args: [{ parallel: 2, pageSize: 2 } satisfies SweepInput],
  });
  // Two pages in the first tick, the rest in the second; the third starts over and finds nothing.
  await until(() => world.pagesRead.filter(({ after }) => after === null).length >= 2);
  const first = handle.firstExecutionRunId;
  let runs = await runsFrom(client, handle.workflowId, first);
  while (runs.length < 3) runs = await runsFrom(client, handle.workflowId, first);
  await client.workflow.getHandle(handle.workflowId).terminate('recorded');
  return runs.slice(0, 3);
};

function followedUp(prepare: (world: FakeWorld) => void = () => undefined): Scenario {
  return async ({ client, world }) => {
    prepare(world);
    const handle = await client.workflow.start(WORKFLOWS.followUp, {
      workflowId: 'follow-up',
      taskQueue: TASK_QUEUES.payments,
      args: [{}],
    });
    await ended(handle);
    return [handle];
  };
}

const audited: Scenario = async ({ client }) => {
  const handle = await client.workflow.start(WORKFLOWS.auditBooks, {
    workflowId: 'audit-books',
    taskQueue: TASK_QUEUES.payments,
    args: [{ whole: true }],
  });
  await ended(handle);
  return [handle];
};

function reconciled(prepare: (world: FakeWorld) => void, input: object = {}): Scenario {
  return async ({ client, world }) => {
    prepare(world);
    const handle = await client.workflow.start(WORKFLOWS.reconcileBill, {
      workflowId: reconcileWorkflowId(BILL),
      taskQueue: TASK_QUEUES.payments,
      args: [
        { merchant: BILL.merchant, date: BILL.date, execute: true, ...input } satisfies ReconcileBillInput,
      ],
    });
    await ended(handle);
    return [handle];
  };
}

const reconciledByDay: Scenario = async ({ client, world }) => {
  const dayBefore = { ...BILL, date: '2025-12-31' };
  world.dueBills = [dayBefore, BILL];
  const handle = await client.workflow.start(WORKFLOWS.reconcileBills, {
    workflowId: 'reconcile-bills',
    taskQueue: TASK_QUEUES.payments,
    args: [{ repair: 'safe' } satisfies ReconcileBillsInput],
  });
  await ended(handle);
  return [handle];
};

function closing(status: 'UNPAID' | 'PAID' | 'HELD' | undefined): Scenario {
  return async ({ client, world }) => {
    if (status) world.orders.set('order-1', status);
    const handle = await client.workflow.start(WORKFLOWS.closeOrder, {
      workflowId: closeWorkflowId('order-1'),
      taskQueue: TASK_QUEUES.payments,
      args: [{ orderId: 'order-1', actor: 'shop', reason: 'cancelled' } satisfies CloseOrderInput],
    });
    await ended(handle);
    return [handle];
  };
}

function fulfilled(...messages: unknown[]): Scenario {
  return async ({ client }) => {
    const handles = [];
    for (const message of messages) {
      handles.push(
        await client.workflow.signalWithStart(WORKFLOWS.fulfillOrder, {
          workflowId: orderWorkflowId('order-1'),
          taskQueue: TASK_QUEUES.orderService,
          args: [{ orderId: 'order-1' }],
          signal: SIGNALS.paymentResult,
          signalArgs: [message],
        }),
      );
    }
    const runs = new Map(handles.map((handle) => [handle.signaledRunId, handle]));
    await Promise.all([...runs.values()].map(ended));
    return [...runs.keys()].map((runId) => client.workflow.getHandle(orderWorkflowId('order-1'), runId));
  };
}

const PAID: PaymentResult = {
  messageId: 'PAID-trade_1',
  orderId: 'order-1',
  outTradeNo,
  status: 'PAID',
  tradeNo: '2026010122001000000000000001',
  totalAmount: '12.30',
  refundedAmount: '0.00',
  at: '2026-01-01T00:00:00.000Z',
};
const REFUNDED: PaymentResult = { ...PAID, messageId: 'REFUNDED-trade_1', status: 'REFUNDED' };

const unreachable = (): ApplicationFailure =>
  ApplicationFailure.create({ type: 'INTERNAL', message: 'not reached' });

/** Every workflow, and each path through it; the name is the history's file. */
export const SCENARIOS: Record<string, Scenario> = {
  'payment-notified-before-check-1': checkedOut(
    {},
    (studio) => notify(studio, { status: 'PAID', undelivered: true }),
    { intervalMs: HOUR },
  ),
  'payment-paid-at-check-1': checkedOut({ replies: ['paid'] }),
  'payment-paid-at-check-2': checkedOut({ replies: ['not-exist', 'paid'] }),
  'payment-paid-at-check-3': checkedOut({ replies: ['not-exist', 'waiting', 'paid'] }),
  'payment-unconfirmed': checkedOut({ replies: ['not-exist', 'waiting'] }),
  'payment-closed-at-alipay': checkedOut({ replies: ['closed'] }),
  'payment-notified-between-checks': checkedOut({}, async (studio) => {
    await until(() => studio.world.asks.length === 1);
    await notify(studio, { status: 'PAID', undelivered: true });
  }),
  'payment-notified-without-proof': checkedOut({ replies: ['not-exist', 'paid'] }, async (studio, handle) => {
    await notify(studio, {});
    await handle.signal(SIGNALS.alipayNotified, { eventId: '987654321' });
    await handle.signal(SIGNALS.alipayNotified, null);
  }),
  'payment-found-by-second-ask': checkedOut({ replies: ['unknown', 'paid'] }),
  'payment-unknown': checkedOut({ replies: ['unknown', 'unknown', 'unknown', 'not-exist'] }),
  'payment-misconfigured': checkedOut({ replies: [alipayFailure('misconfigured'), 'paid'] }),
  'payment-found-by-another-worker': checkedOut({ replies: [alipayFailure('down'), 'paid'] }),
  'payment-postponed': checkedOut({
    replies: [alipayFailure('no-quota'), alipayFailure('no-quota'), 'paid'],
  }),
  'payment-notified-during-ask': (studio) => {
    const held = new Held();
    const scenario = checkedOut({ replies: [held.reply] }, async () => {
      await held.begun;
      await notify(studio, { status: 'PAID', undelivered: true });
    });
    return scenario(studio).finally(() => held.release('waiting'));
  },
  'payment-notified-between-asks': checkedOut({ replies: ['unknown'] }, async (studio) => {
    await until(() => studio.world.asks.length === 1);
    await notify(studio, { status: 'PAID', undelivered: true });
  }),
  'payment-told-later': checkedOut({ replies: ['paid'], tellings: [unreachable(), unreachable()] }),
  'payment-checked-out-again': checkedOut({ replies: ['not-exist', 'paid'] }, (studio) =>
    watchPayment(studio.client, payment, { outTradeNo, checks: 3, intervalMs: INTERVAL }),
  ),
  'payment-checked-out-during-last-check': (studio) => {
    const held = new Held();
    const scenario = checkedOut(
      { replies: [held.reply, 'paid'] },
      async () => {
        await held.begun;
        await watchPayment(studio.client, payment, { outTradeNo, checks: 3, intervalMs: INTERVAL });
        held.release('waiting');
      },
      { checks: 1 },
    );
    return scenario(studio);
  },
  'payment-check-now': checkedOut({ replies: ['waiting', 'not-exist', 'paid'] }, async (studio) => {
    await checkNow(studio);
  }),
  'payment-check-now-unanswered': (studio) => {
    const held = new Held();
    const scenario = checkedOut(
      { replies: [held.reply] },
      async () => {
        await Promise.all([checkNow(studio), held.begun.then(() => checkNow(studio))]);
        held.release('paid');
      },
      { intervalMs: HOUR },
    );
    return scenario(studio);
  },
  'payment-row-moved': checkedOut(
    {},
    async ({ world }, handle) => {
      Object.assign(world.place(outTradeNo, { orderId: payment.orderId }), { status: 'CLOSED' });
      await handle.signal(SIGNALS.rowMoved);
    },
    { intervalMs: HOUR },
  ),
  'payment-taken-over': (studio) =>
    checkedOut({}, undefined, { checksMade: 1, firstCheckAt: inSeconds(1) })(studio),
  'payment-closed-by-timer': (studio) =>
    checkedOut({}, undefined, { closeBy: 'timer', deadline: inSeconds(5) })(studio),
  'payment-paid-before-timer': (studio) =>
    checkedOut(
      {},
      async () => {
        await until(() => studio.world.asks.length === 3);
        await notify(studio, { status: 'PAID', undelivered: true });
      },
      { closeBy: 'timer', deadline: inSeconds(600) },
    )(studio),
  'payment-new-round-before-timer': (studio) =>
    checkedOut(
      {},
      async () => {
        await until(() => studio.world.asks.length === 3);
        await watchPayment(studio.client, payment, { outTradeNo, checks: 3, intervalMs: INTERVAL });
      },
      { closeBy: 'timer', deadline: inSeconds(9) },
    )(studio),
  'payment-held-at-timer': (studio) => {
    studio.world.onChunk = ({ orderIds }) => Promise.resolve({ closed: [], held: orderIds });
    return checkedOut({}, undefined, { checks: 1, closeBy: 'timer', deadline: inSeconds(2) })(studio);
  },
  'payment-not-closed-at-timer': (studio) => {
    studio.world.onChunk = () => Promise.reject(broken());
    return checkedOut({}, undefined, { checks: 1, closeBy: 'timer', deadline: inSeconds(2) })(studio);
  },
  'payment-outage-outlasts-order': (studio) =>
    checkedOut({ replies: [alipayFailure('no-quota')] }, undefined, { deadline: inSeconds(3) })(studio),
  'payment-review-resolved': checkedOut(
    {},
    async (studio) => {
      await notify(studio, { status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
      await resolve(studio, 'CLOSED').catch((error: unknown) => {
        if (!(error instanceof WorkflowUpdateFailedError)) throw error;
      });
      await resolve(studio, 'PAID');
    },
    { intervalMs: HOUR },
  ),
  'payment-review-continued': async (studio) => {
    const { client, world } = studio;
    world.place(outTradeNo, { orderId: payment.orderId, status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
    await revivePayment(client, payment);
    const handle = client.workflow.getHandle(paymentWorkflowId(outTradeNo));
    const { runId } = await handle.describe();
    for (let told = 0; (await handle.describe()).runId === runId; told += 1) {
      if (told === 50) throw new Error('it does not go on as new');
      await handle.signal(SIGNALS.rowMoved);
      await sleep(100);
    }
    await resolve(studio, 'PAID');
    await ended(handle);
    return runsFrom(client, handle.workflowId, runId);
  },
  'payment-review-refunded': checkedOut(
    {},
    async (studio) => {
      await notify(studio, { status: 'PAID', reviewReason: 'TRADE_CLOSED', undelivered: true });
      await resolve(studio, 'REFUNDING');
      await refundEnds(studio);
    },
    { intervalMs: HOUR },
  ),
  'payment-decision-lost': checkedOut(
    { lostDecisions: Array.from({ length: 5 }, unreachable) },
    async (studio) => {
      await notify(studio, { status: 'REVIEW', reviewReason: 'AMOUNT_DIFFERS' });
      await resolve(studio, 'PAID').catch((error: unknown) => {
        if (!(error instanceof WorkflowUpdateFailedError)) throw error;
      });
    },
    { intervalMs: HOUR },
  ),
  'payment-refund-stopped': checkedOut(
    {},
    async (studio) => {
      await notify(studio, { status: 'REFUNDING' });
      await resolve(studio, 'REFUNDED');
    },
    { intervalMs: HOUR },
  ),
  'payment-refunded': checkedOut(
    {},
    async (studio) => {
      await notify(studio, { status: 'REFUNDING' });
      await refundEnds(studio);
    },
    { intervalMs: HOUR },
  ),
  'payment-revived-by-check-now': revived({ replies: ['paid'] }, checkNow),
  'payment-revived-by-notification': revived({ status: 'CLOSED' }, async (studio) => {
    await notify(studio, { status: 'REFUNDING' });
    await refundEnds(studio);
  }),
  'payment-revived-by-sweep': revived({ status: 'REFUNDING' }, async (studio) => {
    await revivePayment(studio.client, payment);
    await refundEnds(studio);
  }),
  'payment-revived-for-nothing': revived({}, ({ client }) => revivePayment(client, payment)),
  'payment-nowhere': async ({ client }) => {
    await revivePayment(client, payment);
    const handle = client.workflow.getHandle(paymentWorkflowId(outTradeNo));
    await ended(handle);
    return [handle];
  },
  'payment-started-with-bad-input': async ({ client }) => {
    const handle = await client.workflow.start(WORKFLOWS.confirmPayment, {
      workflowId: 'bad-input',
      taskQueue: TASK_QUEUES.payments,
      args: [null],
    });
    await ended(handle);
    return [handle];
  },
  'sweep-with-pages': swept(7, { parallel: 2, pageSize: 3 }),
  'sweep-of-nothing': swept(0, { parallel: 2, pageSize: 3 }),
  'sweep-dry-run': swept(3, { parallel: 2, pageSize: 5, dryRun: true }),
  'sweep-continued': swept(40, { parallel: 2, pageSize: 4 }),
  'sweep-with-broken-chunk': swept(4, { parallel: 2, pageSize: 4 }, (world) => {
    world.onChunk = ({ orderIds }) =>
      orderIds.includes('order-000') ? Promise.reject(broken()) : Promise.resolve({});
  }),
  'sweep-at-dead-gateway': swept(8, { parallel: 2, pageSize: 4 }, (world) => {
    world.isUp = false;
    world.onChunk = () => Promise.reject(alipayFailure('down'));
  }),
  'sweep-by-cron': sweptByCron,
  'follow-up': followedUp(),
  'follow-up-with-broken-kind': followedUp((world) => {
    world.onKind = (kind) =>
      kind === 'slowChecks' ? Promise.reject(broken()) : Promise.resolve({ done: 1, failed: 0, left: false });
  }),
  'audit-books': audited,
  'reconcile-bills': reconciledByDay,
  'reconcile-nothing-open': reconciled(() => undefined),
  'reconcile-preview': reconciled(({ bill }) => void (bill.open = 3), { execute: false }),
  'reconcile-repaired': reconciled(({ bill }) => Object.assign(bill, { open: 3, repairs: [2, 1] })),
  'reconcile-recorded-later': reconciled(({ bill }) =>
    Object.assign(bill, { open: 2, repairs: [1], late: 2 }),
  ),
  'reconcile-without-bill': reconciled(({ bill }) => void (bill.isThere = false)),
  'reconcile-fetched-again': reconciled(
    ({ bill }) => void bill.failures.push(billFailure('BILL_UNREADABLE')),
  ),
  'reconcile-not-tied': reconciled(({ bill }) => void bill.failures.push(billFailure('BILL_NOT_TIED'))),
  'reconcile-bad-input': reconciled(() => undefined, { date: 'yesterday' }),
  'refund-done': refunding({}),
  'refund-refused': refunding({ tries: [alipayFailure('unknown'), { status: 'REFUSED' }] }),
  'refund-unknown': refunding(undefined),
  'refund-in-review': refunding({ tries: [{ status: 'REVIEW' }] }, async (studio, handle) => {
    await until(() => studio.world.refundsTried.length === 1);
    await handle.signal(SIGNALS.rowMoved);
    await decideRefund(handle, 'DONE');
  }),
  'refund-stopped': refunding({ tries: [alipayFailure('unknown')] }, async (studio, handle) => {
    await until(() => studio.world.refundsTried.length === 1);
    await decideRefund(handle, 'DONE').catch((error: unknown) => {
      if (!(error instanceof WorkflowUpdateFailedError)) throw error;
    });
    await handle.signal(SIGNALS.rowMoved);
  }),
  'close-order-closed': closing('UNPAID'),
  'close-order-held': closing('HELD'),
  'close-order-paid': closing('PAID'),
  'close-order-unknown': closing(undefined),
  'fulfill-order': fulfilled(PAID),
  'fulfill-order-told-again': fulfilled(PAID, PAID, REFUNDED, null),
};

function broken(): ApplicationFailure {
  return ApplicationFailure.create({ type: 'INTERNAL', message: 'broken', nonRetryable: true });
}
