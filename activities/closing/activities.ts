import { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { TimeoutStrategy, timeout } from 'cockatiel';
import type { Database } from '../../db/connect';
import { heldOrder, requireOrder } from '../../db/ledger';
import { findExpiredOrders, refundIfPaidLater } from '../../db/orders';
import { PaymentError } from '../../workflows/errors';
import type {
  AlipayQueueActivities,
  ChunkProgress,
  ChunkReport,
  ClosedOrder,
  PaymentsQueueActivities,
} from '../../workflows/messages';
import { CLOSE_ORDER_TIMEOUT_MS } from '../../workflows/messages';
import { AlipayError } from '../alipay/errors';
import type { AlipayGateway } from '../alipay/gateway';
import { PROBE_OUT_TRADE_NO } from '../alipay/gateway';
import type { ActivityDependencies } from '../dependencies';
import { keepProgress } from '../heartbeat';
import type { CloseRequest, OrderOutcome } from './close-safely';
import { closeSafely } from './close-safely';

export function createExpiryActivities({
  db,
  closeMarginMs,
  alipay,
}: ActivityDependencies): Pick<PaymentsQueueActivities, 'findExpiredOrders'> {
  return {
    findExpiredOrders: ({ after, limit }) =>
      findExpiredOrders(db, { after, limit, timerGraceMs: 2 * closeMarginMs, merchants: alipay.ids }),
  };
}

type ClosingActivities = Pick<AlipayQueueActivities, 'closeExpiredOrders' | 'cancelOrder' | 'probeAlipay'>;

/** `orderTimeoutMs`: shorter in tests. */
export function createClosingActivities(
  deps: ActivityDependencies,
  { orderTimeoutMs = CLOSE_ORDER_TIMEOUT_MS }: { orderTimeoutMs?: number } = {},
): ClosingActivities {
  const withinItsTime = timeout(orderTimeoutMs, TimeoutStrategy.Aggressive);

  /** Safe to give up: whatever is still under way writes under the order's lock, or not at all. */
  async function attempt(request: CloseRequest): Promise<OrderOutcome | { kind: 'failed' }> {
    try {
      return await withinItsTime.execute(() => closeSafely(deps, request));
    } catch (err) {
      const { orderId } = request;
      deps.log.error(
        { orderId, err, code: 'SWEEP_FAILED' },
        'order could not be closed; the next sweep tries again',
      );
      return { kind: 'failed' };
    }
  }

  return {
    async closeExpiredOrders({ orderIds, actor, dryRun = false }) {
      let progress = (Context.current().info.heartbeatDetails as ChunkProgress | undefined) ?? NOTHING_DONE;
      for (const orderId of orderIds.slice(progress.done)) {
        const outcome = await attempt({ orderId, actor, reason: 'expired', dryRun });
        if (outcome.kind === 'down') throw downAfter(progress, outcome.error);
        progress = advanced(progress, orderId, outcome.kind === 'foreign' ? 'held' : outcome.kind);
        keepProgress(progress);
      }
      const { closed, rescued, held, failed } = progress;
      return { closed, rescued, held, failed };
    },

    async cancelOrder({ orderId, actor, reason, ifPaidLater }) {
      const despiteOpenPages = ifPaidLater === 'refund';
      // First, so that it applies whoever closes the order in the end.
      if (despiteOpenPages) await refundIfPaidLater(deps.db, orderId);
      const outcome = await closeSafely(deps, {
        orderId,
        actor,
        reason,
        beforeExpiry: true,
        despiteOpenPages,
      });
      switch (outcome.kind) {
        case 'closed':
          return { orderId, status: 'CLOSED' };
        case 'settled':
          return settledOrder(deps.db, orderId);
        case 'rescued':
          throw outcome.paysOrder ? paidOrder(orderId) : heldOrder(orderId, movedBy(outcome.outTradeNo));
        case 'held':
          throw outcome.error
            ? unansweredClose(orderId, outcome.error)
            : heldOrder(orderId, outcome.because, outcome.advice);
        case 'foreign':
        case 'down':
          throw outcome.error;
      }
    },

    /** One merchant's gateway that is up is enough: only the other merchants' orders wait. */
    async probeAlipay() {
      const probes = await Promise.allSettled(deps.alipay.all.map(isUp));
      const known = probes.filter((probe) => probe.status === 'fulfilled');
      // What this process could not ask, another one may be able to.
      if (known.length === 0) throw (probes[0] as PromiseRejectedResult).reason;
      return known.some(({ value }) => value);
    },
  };
}

/** @throws AlipayError down: it could not be asked */
async function isUp(gateway: AlipayGateway): Promise<boolean> {
  try {
    await gateway.query(PROBE_OUT_TRADE_NO);
    return true;
  } catch (error) {
    if (!(error instanceof AlipayError) || error.kind === 'down') throw error;
    return !error.outage;
  }
}

const NOTHING_DONE: ChunkProgress = { done: 0, closed: [], rescued: [], held: [], failed: [] };

/** An order that another process has settled meanwhile is in no list. */
function advanced(
  progress: ChunkProgress,
  orderId: string,
  became: keyof ChunkReport | 'settled',
): ChunkProgress {
  const next = { ...progress, done: progress.done + 1 };
  return became === 'settled' ? next : { ...next, [became]: [...progress[became], orderId] };
}

/**
 * The chunk's progress is passed on twice: in its heartbeat, for the worker that continues; in the failure, for the workflow if
 * none does.
 */
function downAfter(progress: ChunkProgress, { message }: AlipayError): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'ALIPAY_DOWN',
    message,
    details: [progress],
    nextRetryDelay: '1s',
    category: ApplicationFailureCategory.BENIGN,
  });
}

async function settledOrder(db: Database, orderId: string): Promise<ClosedOrder> {
  const { status } = await requireOrder(db, orderId);
  if (status === 'PAID') throw paidOrder(orderId);
  return { orderId, status };
}

const movedBy = (outTradeNo: string): string =>
  `Alipay has taken or returned money through payment ${outTradeNo}, which does not pay this order; it is being recorded`;

/** Not retried by the server: a person waits for it. */
const unansweredClose = (orderId: string, { message }: AlipayError): ApplicationFailure =>
  ApplicationFailure.nonRetryable(
    `Order ${orderId} is still open: Alipay gave no reliable answer (${message})`,
    'ALIPAY_UNAVAILABLE',
  );

const paidOrder = (orderId: string): PaymentError =>
  new PaymentError('ORDER_PAID', `Order ${orderId} is paid: it cannot be closed. Refund it instead.`);
