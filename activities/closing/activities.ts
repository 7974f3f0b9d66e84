import { Context } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { TimeoutStrategy, timeout } from 'cockatiel';
import type { Database } from '../../db/connect';
import { heldOrder, unknownOrder } from '../../db/ledger';
import { findExpiredOrders, findOrder } from '../../db/orders';
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
import { keepProgress } from '../heartbeat';
import { PROBE_OUT_TRADE_NO } from './at-alipay';
import type { CloseRequest, ClosingDependencies, OrderOutcome } from './close-safely';
import { closeSafely } from './close-safely';

export function createExpiryActivities({
  db,
  closeMarginMs,
  merchants,
}: {
  db: Database;
  closeMarginMs: number;
  merchants: readonly string[];
}): Pick<PaymentsQueueActivities, 'findExpiredOrders'> {
  return {
    findExpiredOrders: ({ after, limit }) =>
      findExpiredOrders(db, { after, limit, timerGraceMs: 2 * closeMarginMs, merchants }),
  };
}

type ClosingActivities = Pick<AlipayQueueActivities, 'closeExpiredOrders' | 'cancelOrder' | 'probeAlipay'>;

/** `orderTimeoutMs`: tests do not wait for so long. */
export function createClosingActivities(
  deps: ClosingDependencies,
  { orderTimeoutMs = CLOSE_ORDER_TIMEOUT_MS }: { orderTimeoutMs?: number } = {},
): ClosingActivities {
  const withinItsTime = timeout(orderTimeoutMs, TimeoutStrategy.Aggressive);

  /** Safe to give up: whatever is still under way writes under the order's lock, or not at all. */
  async function attempt(request: CloseRequest): Promise<OrderOutcome | { is: 'failed' }> {
    try {
      return await withinItsTime.execute(() => closeSafely(deps, request));
    } catch (err) {
      const { orderId } = request;
      deps.log.error(
        { orderId, err, code: 'SWEEP_FAILED' },
        'order could not be closed; the next sweep tries again',
      );
      return { is: 'failed' };
    }
  }

  return {
    async closeExpiredOrders({ orderIds, actor, dryRun = false }) {
      let progress = (Context.current().info.heartbeatDetails as ChunkProgress | undefined) ?? NOTHING_DONE;
      for (const orderId of orderIds.slice(progress.done)) {
        const outcome = await attempt({ orderId, actor, reason: 'expired', dryRun });
        if (outcome.is === 'down') throw downAfter(progress, outcome.error);
        progress = advanced(progress, orderId, outcome.is === 'foreign' ? 'held' : outcome.is);
        keepProgress(progress);
      }
      const { closed, rescued, held, failed } = progress;
      return { closed, rescued, held, failed };
    },

    async cancelOrder({ orderId, actor, reason }) {
      const outcome = await closeSafely(deps, { orderId, actor, reason, beforeExpiry: true });
      switch (outcome.is) {
        case 'closed':
          return { orderId, status: 'CLOSED' };
        case 'settled':
          return settledOrder(deps.db, orderId);
        case 'rescued':
          throw paidOrder(orderId);
        case 'held':
          throw heldOrder(orderId, outcome.because);
        case 'foreign':
        case 'down':
          throw outcome.error;
      }
    },

    async probeAlipay() {
      try {
        await deps.alipay.query(PROBE_OUT_TRADE_NO);
        return true;
      } catch (error) {
        // Of what this process could not ask, another one may find the answer.
        if (!(error instanceof AlipayError) || error.kind === 'down') throw error;
        return !error.outage;
      }
    },
  };
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
 * What the chunk has done goes along twice: in its heartbeat for the worker that goes on, in the failure for the workflow
 * where none does.
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
  const order = await findOrder(db, orderId);
  if (!order) throw unknownOrder(orderId);
  if (order.status === 'PAID') throw paidOrder(orderId);
  return { orderId, status: order.status };
}

const paidOrder = (orderId: string): PaymentError =>
  new PaymentError('ORDER_PAID', `Order ${orderId} is paid: it cannot be closed. Refund it instead.`);
