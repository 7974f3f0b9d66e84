import type { LatePaymentPolicy, Recorded, StoredPaymentStatus } from '../../workflows/messages';
import type { Database } from '../connect';
import { transaction } from '../connect';
import type { UnrecordedEvidence } from '../evidence';
import { findUnrecorded, markRecorded } from '../evidence';
import { readFen } from '../money';
import type { ClockedOrder } from '../orders';
import { appendEvent } from '../payment-events';
import type { Payment } from '../payments';
import { flagForReview, movePayment, notePaidAmount } from '../payments';
import type { Refund } from '../refunds';
import type { ClosedTrade, Decision } from '../rules';
import { decideClosed, decidePaid, movedMoney } from '../rules';
import { readRecorded } from './recorded';
import { lockOrderOfKnownPayment, requirePayment } from './require';
import { settleOrder } from './settling';
import type { RefundsSettled, RefundsTold, WholeRefund } from './settling-refunds';
import { settleRefunds } from './settling-refunds';

interface Word {
  tradeNo: string | null;
  /** Yuan, cumulative; undefined if Alipay mentions no refund. */
  refundedAmount?: string;
  /** The number of the newest refund, if Alipay says. */
  outRequestNo?: string;
  /** The verified body, for people. */
  content: object;
  /** When the buyer paid, if Alipay says. */
  at: Date | null;
}

/** Alipay says that the money was taken. */
interface PaidWord extends Word {
  kind: 'paid';
  /** Yuan. */
  totalAmount: string;
}

/** Alipay says that the trade is closed. */
interface ClosedWord extends Word, ClosedTrade {
  kind: 'closed';
}

/** What a verified body says about its payment. */
export type AlipayWord = PaidWord | ClosedWord | { kind: 'nothing' };

/** Evidence that could not be understood, or not be recorded. */
export interface EvidenceFault {
  evidenceId: string;
  error: unknown;
}

interface EvidenceRecording {
  recorded: Recorded;
  /** The statuses that the payment took, in order. */
  moves: StoredPaymentStatus[];
  /** Refunds that resulted, and need a run. */
  refunds: Refund[];
  faults: EvidenceFault[];
}

interface RecordingRules {
  /** Reads a body again; throws if it cannot be understood. */
  read: (evidence: UnrecordedEvidence) => AlipayWord;
  policy: LatePaymentPolicy;
  /** `REFUND_BRAKE`, fen; null: none. */
  brakeFen: number | null;
}

/**
 * Records all evidence about a payment that is not recorded yet, oldest first, in one transaction. A piece that cannot be
 * understood or recorded stays owed, and does not stop the others; the follow-up tries it again. Safe to repeat.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export async function recordEvidence(
  db: Database,
  outTradeNo: string,
  rules: RecordingRules,
): Promise<EvidenceRecording> {
  const faults: EvidenceFault[] = [];
  for (;;) {
    try {
      return { ...(await recordAll(db, outTradeNo, rules, faults)), faults };
    } catch (error) {
      if (!(error instanceof BrokenEvidence)) throw error;
      // Its rollback also undid the others, so they are recorded again without it.
      faults.push({ evidenceId: error.evidenceId, error: error.cause });
    }
  }
}

/** One piece that rolls back its whole transaction. */
class BrokenEvidence extends Error {
  constructor(
    readonly evidenceId: string,
    cause: unknown,
  ) {
    super(`evidence ${evidenceId} cannot be recorded`, { cause });
  }
}

async function recordAll(
  db: Database,
  outTradeNo: string,
  rules: RecordingRules,
  faults: readonly EvidenceFault[],
): Promise<Omit<EvidenceRecording, 'faults'>> {
  const skipped = new Set(faults.map(({ evidenceId }) => evidenceId));
  return transaction(db, async (trx) => {
    let order = await lockOrderOfKnownPayment(trx, outTradeNo);
    const pieces = (await findUnrecorded(trx, outTradeNo)).filter(({ id }) => !skipped.has(id));
    const moves: StoredPaymentStatus[] = [];
    const refunds: Refund[] = [];
    for (const evidence of pieces) {
      const word = readOrBreak(rules.read, evidence);
      if (word.kind === 'nothing') continue;
      // As the previous pieces have left it.
      if (moves.length > 0) order = await lockOrderOfKnownPayment(trx, outTradeNo);
      const came = await recordWord(trx, { order, outTradeNo, evidence, word }, rules);
      moves.push(...came.moves);
      refunds.push(...came.refunds);
    }
    const ids = pieces.map(({ id }) => id);
    await markRecorded(trx, ids);
    const recorded = await readRecorded(trx, outTradeNo);
    return { recorded: { ...recorded, ...(moves.length > 0 && { changed: true }) }, moves, refunds };
  });
}

function readOrBreak(read: RecordingRules['read'], evidence: UnrecordedEvidence): AlipayWord {
  try {
    return read(evidence);
  } catch (error) {
    throw new BrokenEvidence(evidence.id, error);
  }
}

interface Piece {
  order: ClockedOrder;
  outTradeNo: string;
  evidence: UnrecordedEvidence;
  word: PaidWord | ClosedWord;
}

async function recordWord(
  trx: Database,
  { order, outTradeNo, evidence, word }: Piece,
  { policy, brakeFen }: RecordingRules,
): Promise<Pick<EvidenceRecording, 'moves' | 'refunds'>> {
  const payment = await requirePayment(trx, outTradeNo);
  const standing = { order, payment };
  // A shop that wanted to cancel it may have come too late.
  const cancelled = order.status === 'CLOSED' ? order.ifPaidLater : null;
  const decision =
    word.kind === 'paid'
      ? decidePaid(standing, word.totalAmount, cancelled ?? policy)
      : decideClosed(standing, word);
  const actor = evidence.kind === 'notification' ? 'notification' : 'query';
  try {
    const moved = await apply(trx, decision, { payment, word, actor });
    const foundBy = evidence.kind === 'notification' ? NOTIFIED : evidence.askedBy;
    if (moved === 'PAID') await settleOrder(trx, order.id, payment, foundBy);
    const whole = moved === 'REFUNDING' ? wholeRefundFor(order) : undefined;
    const told = toldBy(word);
    const settled: RefundsSettled =
      whole || told
        ? await settleRefunds(trx, outTradeNo, { actor, told, whole, brakeFen })
        : { refunds: [] };
    return {
      moves: [moved, settled.moved].filter((status) => status !== undefined),
      refunds: settled.refunds,
    };
  } catch (error) {
    throw isRefusedByPostgres(error) ? new BrokenEvidence(evidence.id, error) : error;
  }
}

/** What found a payment that none of our own questions found. */
const NOTIFIED = 'notified';

const toldBy = ({ refundedAmount: cumulative, outRequestNo }: Word): RefundsTold | undefined =>
  cumulative === undefined ? undefined : { cumulative, outRequestNo };

const wholeRefundFor = ({ status }: ClockedOrder): WholeRefund => ({
  kind: status === 'PAID' ? 'duplicate' : 'late',
  requestedBy: 'policy',
});

/** SQLSTATE: broken data, a constraint, a limit. Anything else is Postgres' own trouble, and temporary. */
const isRefusedByPostgres = (error: unknown): boolean =>
  /^(22|23|54)/.test(String((error as { code?: unknown }).code));

async function apply(
  trx: Database,
  decision: Decision,
  { payment, word, actor }: { payment: Payment; word: PaidWord | ClosedWord; actor: string },
): Promise<StoredPaymentStatus | undefined> {
  const { outTradeNo } = payment;
  const paidAmount = amountTaken(payment, word);
  if (decision.kind !== 'move') {
    if (paidAmount !== undefined) await notePaidAmount(trx, outTradeNo, paidAmount);
    if (decision.kind === 'flag' && (await flagForReview(trx, outTradeNo, decision.reason))) {
      await appendEvent(trx, { outTradeNo, actor, event: 'review', detail: { reason: decision.reason } });
    }
    return undefined;
  }
  const { to, reason } = decision;
  const moved = await movePayment(
    trx,
    outTradeNo,
    { from: [payment.status], to },
    { actor, event: EVENT_OF[to], detail: { from: payment.status, reason } },
    {
      reviewReason: reason ?? null,
      ...(to !== 'CLOSED' && {
        paidAmount,
        tradeNo: word.tradeNo,
        callbackTime: word.at ?? new Date(),
        callbackContent: word.content,
      }),
    },
  );
  return moved ? to : undefined;
}

/** What Alipay took, if the row does not know it yet and Alipay names it here. */
function amountTaken(payment: Payment, word: PaidWord | ClosedWord): string | undefined {
  const isSaid = word.kind === 'paid' || movedMoney(payment, word);
  const fen = readFen(word.totalAmount);
  return isSaid && payment.paidAmount === null && fen !== undefined && fen > 0 ? word.totalAmount : undefined;
}

const EVENT_OF = {
  PAID: 'paid',
  CLOSED: 'closed',
  REFUNDING: 'refunding',
  REFUNDED: 'refunded',
  REVIEW: 'review',
  UNPAID: 'checked-out',
} as const;
