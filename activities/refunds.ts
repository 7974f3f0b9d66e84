import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { Database } from '../db/connect';
import type { EvidenceWords, SignedBody } from '../db/evidence';
import { storeEvidence } from '../db/evidence';
import type { RefundEnd, RefundRecorded } from '../db/ledger';
import { endRefund, readRecorded, recordUnproven, requirePayment, requireRefund } from '../db/ledger';
import { toFen } from '../db/money';
import type { Payment } from '../db/payments';
import type { Refund, SendingNote } from '../db/refunds';
import {
  endTurn,
  isUnknownForADay,
  noteAlive,
  noteAsked,
  refundStateOf,
  takeBackAsked,
  takeTurn,
} from '../db/refunds';
import { REVIEW_REASONS, amountToRefund } from '../db/rules';
import type { AlipayQueueActivities, RefundState } from '../workflows/messages';
import type { CallOptions } from './alipay/caller';
import { AlipayError } from './alipay/errors';
import type { ActivityDependencies } from './dependencies';
import { toFailure } from './failures';
import type { AlipayGateway, RefundAnswer } from './alipay/gateway';
import { tellOrder } from './orders';
import { storeAnswer, wasAsked } from './payments';
import { tellRowMoved } from './payment-workflow';
import { startRefunds } from './refund-workflow';

/** Why a refund is not proven, when to query it again, and after how many such answers it ends, and how. */
interface Unproven {
  kind: 'unproven' | 'unfunded';
  subCode?: string;
  mostAnswers: number;
  askAgainInMs: (answers: number) => number;
  end: Pick<RefundEnd, 'to' | 'because'>;
}

/**
 * Alipay wants at least 10 s between a refund and its query. Doubled each time up to 10 minutes, ten answers take about
 * 40 minutes.
 */
const doubling = (answers: number): number => Math.min(10_000 * 2 ** (answers - 1), 600_000);

const NO_PROOF: Unproven = {
  kind: 'unproven',
  mostAnswers: 10,
  askAgainInMs: doubling,
  end: { to: 'REVIEW', because: REVIEW_REASONS.refundNotProven },
};

/** Part was refunded in the merchant portal without our knowledge: Alipay's notification says how much is left. */
const noRoom = (subCode: string): Unproven => ({
  ...NO_PROOF,
  subCode,
  end: { to: 'REFUSED', because: subCode },
});

/** The seller may top up the account, and has a day for that. */
const notNow = (subCode: string): Unproven => ({
  kind: 'unfunded',
  subCode,
  mostAnswers: 48,
  askAgainInMs: () => 1_800_000,
  end: { to: 'REFUSED', because: subCode },
});

const ACTOR = 'refund';

/** The reason noted for a refund that a person has decided. */
export const DECIDED = 'DECIDED';

export function createRefundActivities(
  deps: ActivityDependencies,
): Pick<AlipayQueueActivities, 'refundAtAlipay'> {
  const { db, alipay } = deps;
  return {
    async refundAtAlipay({ outTradeNo, outRequestNo }) {
      const refund = await requireRefund(db, { outTradeNo, outRequestNo });
      if (refund.status !== 'REQUESTED') {
        await tellOfRefusal(deps, refund);
        return follow(deps, { refund, refunds: [], changed: false });
      }
      const payment = await requirePayment(db, outTradeNo);
      const gateway = alipay.of(payment);
      // Longer than the longest pause between the workflow's own tries.
      await noteAlive(db, refund, 600_000);
      const recorded = await attempt(deps, gateway, payment, refund).catch((error: unknown) =>
        stillUnknown(deps, refund, error),
      );
      await tellOfRefusal(deps, recorded.refund);
      return follow(deps, recorded);
    },
  };
}

/**
 * The payment stays PAID and the order service is told nothing, so nothing else tells the shop that its refund was not
 * made. An attempt after one that died tells it again: better twice than never.
 */
async function tellOfRefusal(
  { db, log, metrics }: ActivityDependencies,
  { outTradeNo, outRequestNo, kind, status, because, amount }: Refund,
): Promise<void> {
  if (kind !== 'shop' || status !== 'REFUSED' || because === DECIDED) return;
  const payment = await requirePayment(db, outTradeNo);
  const left =
    toFen(amountToRefund(payment)) - toFen(payment.refundedAmount) - toFen(payment.outsideAmount ?? '0');
  // The money went back another way: a shop told that it did not would pay the buyer twice.
  if (left < toFen(amount ?? '0')) return;
  metrics.refundRefused(because ?? 'UNKNOWN');
  log.error(
    { outTradeNo, outRequestNo, because, code: 'REFUND_REFUSED', alert: true },
    'a refund that the shop asked for was refused',
  );
}

async function attempt(
  deps: ActivityDependencies,
  gateway: AlipayGateway,
  payment: Payment,
  refund: Refund,
): Promise<RefundRecorded> {
  try {
    const proof = await seekProof(deps, gateway, payment, refund);
    if (proof) return await endRefund(deps, refund, { actor: ACTOR, to: 'DONE', ...proof });
  } catch (error) {
    if (!(error instanceof AlipayError) || error.kind !== 'refused') throw error;
    return afterRefusal(deps, gateway, payment, refund, error.subCode ?? 'UNKNOWN');
  }
  return stillUnproven(deps, refund, NO_PROOF);
}

type Proof = Pick<RefundEnd, 'amount' | 'cumulative'>;

/** While refunds are paused, a thousand that were sent before would otherwise delay the checks of buyers. */
const BEHIND_BUYERS = { background: true, maxWaitMs: 15_000 } as const;

/** @throws AlipayError refused: only for the refund itself; a refused query proves nothing */
async function seekProof(
  deps: ActivityDependencies,
  gateway: AlipayGateway,
  payment: Payment,
  refund: Refund,
): Promise<Proof | undefined> {
  const mayBeMade = refund.askedAt !== null || refund.kind === 'portal';
  const earlier = mayBeMade ? await provenAmount(deps.db, gateway, refund, BEHIND_BUYERS) : undefined;
  if (earlier !== undefined) return { amount: earlier };
  if (refund.amount === null || refund.kind === 'portal') return undefined;
  const answer = await inItsTurn(deps, gateway, refund, refund.amount);
  if (!answer) return undefined;
  const { hasMoved, cumulative, signed } = answer;
  // If the sum is only this refund, the answer itself says how much has moved.
  const isFirst = toFen(payment.refundedAmount) === 0 && cumulative !== undefined;
  if (hasMoved && isFirst && toFen(cumulative) === toFen(refund.amount)) {
    await storeProof(deps.db, refund, signed, { refundedAmount: cumulative });
    return { cumulative };
  }
  const proven = await provenAmount(deps.db, gateway, refund);
  return proven === undefined ? undefined : { cumulative };
}

/**
 * Asks Alipay for the refund, one per trade at a time. Undefined if it need no longer be made.
 *
 * @throws ApplicationFailure ALIPAY_BUSY if another one has its turn, REFUNDS_PAUSED
 */
async function inItsTurn(
  { db }: ActivityDependencies,
  gateway: AlipayGateway,
  refund: Refund,
  amount: string,
): Promise<RefundAnswer | undefined> {
  const { outTradeNo, outRequestNo, reason } = refund;
  const turn = await takeTurn(db, outTradeNo);
  if (turn === 'paused') throw await whilePaused(db, refund);
  if ('waitMs' in turn) throw notItsTurn(refund, turn.waitMs);
  let noted = undefined as SendingNote | undefined;
  // Not before it holds its slot: while it waited, refunds may have been paused, or this one withdrawn.
  const beforeSending = async (): Promise<void> => {
    const asking = await noteAsked(db, refund);
    if (asking === 'paused') throw await whilePaused(db, refund);
    if (asking === 'over') throw new NotWanted();
    noted = asking;
  };
  try {
    return await gateway.refund({ outTradeNo, outRequestNo, amount, reason }, { beforeSending });
  } catch (error) {
    if (error instanceof NotWanted) return undefined;
    // Best effort: without it the refund counts as sent, which is the safe side.
    if (noted && !wasAsked(error)) await takeBackAsked(db, refund, noted).catch(() => undefined);
    throw error;
  } finally {
    // Best effort: without it the turn ends by itself.
    await endTurn(db, outTradeNo, turn).catch(() => undefined);
  }
}

/** The refund need no longer be made. */
class NotWanted extends Error {
  override readonly name = 'NotWanted';
}

/**
 * Refunds that wait for the same turn must come back one after the other, not all at once. A turn usually ends long before its
 * deadline, unless its process has died: waiting for the deadline delayed the third of three refunds by a minute.
 */
const notItsTurn = ({ outTradeNo, outRequestNo }: Refund, waitMs: number): ApplicationFailure =>
  ApplicationFailure.create({
    type: 'ALIPAY_BUSY',
    message: `Refund ${outRequestNo} waits: another refund of ${outTradeNo} is being requested right now.`,
    nextRetryDelay: Math.ceil(Math.min(waitMs, TURN_LOOK_MS) + Math.random() * TURN_SPREAD_MS) + 1,
    category: ApplicationFailureCategory.BENIGN,
  });

const TURN_LOOK_MS = 3_000;
const TURN_SPREAD_MS = 1_000;

/** A refund that was never sent continues this soon after refunds are resumed. */
const PAUSED_AGAIN_MS = 15_000;

/** One that was sent before is queried after a pause as long as the time since then, at most this long. */
const SENT_AGAIN_MS = 600_000;

/** While refunds are paused, it waits, uses up nothing, and shows that its run is alive. If sent, it is queried. */
async function whilePaused(db: Database, refund: Refund): Promise<ApplicationFailure> {
  const sinceSent = refund.askedAt === null ? 0 : Date.now() - refund.askedAt.getTime();
  const pauseMs = Math.min(Math.max(sinceSent, PAUSED_AGAIN_MS), SENT_AGAIN_MS);
  const nextRetryDelay = pauseMs + Math.ceil(Math.random() * TURN_SPREAD_MS);
  await noteAlive(db, refund, nextRetryDelay, { isPaused: true });
  return ApplicationFailure.create({
    type: 'REFUNDS_PAUSED',
    message: `Refund ${refund.outRequestNo} waits: refunds are paused. See: durable-alipay pause list`,
    nextRetryDelay,
    category: ApplicationFailureCategory.BENIGN,
  });
}

const LATER = ['SELLER_BALANCE_NOT_ENOUGH', 'REFUND_CHARGE_ERROR'];

/**
 * A refusal may mean that it was made already, so the refund query decides. And a trade that Alipay closed after it was
 * paid has given everything back, whoever asked for that.
 */
async function afterRefusal(
  deps: ActivityDependencies,
  gateway: AlipayGateway,
  payment: Payment,
  refund: Refund,
  subCode: string,
): Promise<RefundRecorded> {
  const { outTradeNo, kind } = refund;
  if (LATER.some((word) => subCode.endsWith(word))) return stillUnproven(deps, refund, notNow(subCode));
  const amount = await provenAmount(deps.db, gateway, refund);
  if (amount !== undefined) return endRefund(deps, refund, { actor: ACTOR, to: 'DONE', amount });
  const refusal = { actor: ACTOR, to: 'REFUSED', because: subCode } as const;
  const trade = await gateway.query(outTradeNo);
  if (trade.answer === 'closed' && trade.paidAt !== null) {
    const evidenceId = await storeAnswer(deps.db, outTradeNo, 0, trade);
    return endRefund(deps, refund, { ...refusal, cumulative: amountToRefund(payment), evidenceId });
  }
  if (kind !== 'shop' && subCode.endsWith('REASON_TRADE_REFUND_FEE_ERR')) {
    return stillUnproven(deps, refund, noRoom(subCode));
  }
  return endRefund(deps, refund, refusal);
}

/**
 * What a refund gave back, yuan; undefined if that is not proven. The proof is stored. Alipay may refuse to answer for
 * a trade without any refund.
 *
 * @throws AlipayError if the answer is unknown
 */
export async function provenAmount(
  db: Database,
  gateway: AlipayGateway,
  refund: Refund,
  options?: CallOptions,
): Promise<string | undefined> {
  const proof = await gateway.refundQuery(refund, options).catch((error: unknown) => {
    if (error instanceof AlipayError && error.kind === 'refused') return undefined;
    throw error;
  });
  if (proof) await storeProof(db, refund, proof.signed, { refundAmount: proof.amount });
  return proof?.amount;
}

/** Stores the answer that proves a refund, before anything is concluded from it. The caller records the refund itself. */
export async function storeProof(
  db: Database,
  { outTradeNo }: Pick<Refund, 'outTradeNo'>,
  signed: SignedBody,
  says: EvidenceWords,
): Promise<void> {
  await storeEvidence(db, { outTradeNo, kind: 'refund', signed, isNews: false, says });
}

/** @throws ApplicationFailure ALIPAY_UNKNOWN (ask again, later) until it has been asked often enough */
async function stillUnproven(
  deps: ActivityDependencies,
  refund: Refund,
  { kind, subCode, mostAnswers, askAgainInMs, end }: Unproven,
): Promise<RefundRecorded> {
  const { db } = deps;
  const answers = await recordUnproven(db, refund, { actor: ACTOR, kind, subCode });
  if (answers >= mostAnswers) {
    return endUnproven(deps, refund, end);
  }
  if (answers === 0) {
    return { refunds: [], changed: false, refund: await requireRefund(db, refund) };
  }
  const nextRetryDelay = askAgainInMs(answers);
  await noteAlive(db, refund, nextRetryDelay);
  throw ApplicationFailure.create({
    type: 'ALIPAY_UNKNOWN',
    message: `The refund ${refund.outRequestNo} of ${refund.outTradeNo} is not proven yet. Alipay is asked again.`,
    nextRetryDelay,
  });
}

/** @throws the error itself until answers have been unknown, or our configuration wrong, for a day */
async function stillUnknown(
  deps: ActivityDependencies,
  refund: Refund,
  error: unknown,
): Promise<RefundRecorded> {
  const saysNothing =
    error instanceof AlipayError && (error.kind === 'unknown' || error.kind === 'misconfigured');
  if (saysNothing && (await isUnknownForADay(deps.db, refund)))
    return endUnproven(deps, refund, NO_PROOF.end);
  if (!wasAsked(error)) {
    const { type, message, category } = toFailure(error);
    const nextRetryDelay = NOT_ASKED_AGAIN_MS * (1 + Math.random());
    throw ApplicationFailure.create({
      ...{ type: type ?? undefined, message, category: category ?? undefined, nextRetryDelay },
    });
  }
  throw error;
}

/**
 * Nothing was asked, so it is tried again soon: the server's own backoff counts every wait for a turn, or for refunds
 * to be resumed, as a failure, and is ten minutes after eight of them.
 */
const NOT_ASKED_AGAIN_MS = 20_000;

/** A portal refund that a notification named but Alipay does not know stays a gap in the sum. */
const endUnproven = (
  deps: ActivityDependencies,
  refund: Refund,
  end: Unproven['end'],
): Promise<RefundRecorded> =>
  endRefund(deps, refund, {
    actor: ACTOR,
    ...(refund.kind === 'portal' ? { to: 'REFUSED', because: 'NOT_FOUND' } : end),
  });

/**
 * Tells everyone who needs to know that a refund has ended. What cannot be told now, the follow-up tells later from the rows.
 * Only this function tells the payment's run, even if nothing has changed: an earlier attempt may have died halfway.
 *
 * @throws PaymentError TEMPORAL_UNAVAILABLE: call it again
 */
export async function follow(
  deps: ActivityDependencies,
  { refund, refunds, moved, changed }: RefundRecorded,
): Promise<RefundState> {
  const { db, temporal, metrics } = deps;
  const { outTradeNo, orderId } = refund;
  if (moved) metrics.settled(moved);
  if (changed) {
    await startRefunds(deps, refunds);
    const { undelivered } = await readRecorded(db, outTradeNo);
    if (undelivered) await tellOrder(deps, orderId);
  }
  if (moved || !changed) await tellRowMoved(temporal, outTradeNo);
  return refundStateOf(refund);
}
