import type { StoredPaymentStatus } from '../../workflows/messages';
import type { Database } from '../connect';
import { toYuan } from '../money';
import { appendEvent } from '../payment-events';
import { movePayment, raiseRefundSeen } from '../payments';
import { isAutomatic, passesBrake } from '../refund-brake';
import type { NewRefund, Refund } from '../refunds';
import {
  insertProvisional,
  insertRefund,
  isUnderWay,
  moveRefund,
  noteSent,
  ownRefundNumber,
} from '../refunds';
import { REVIEW_REASONS, isSettledByRefunds } from '../rules';
import { RefundBooks, sumOf } from './refund-books';
import { countIn } from './settling';

/** Who wants all that was taken to be refunded. */
export type WholeRefund = Pick<NewRefund, 'requestedBy'> & {
  kind: 'operator' | 'late' | 'duplicate';
};

/**
 * What the buyer reads at Alipay about a refund of all that was taken. What a person writes about it is only for the
 * shop, and stays in `payment_events`.
 */
const WORDS: Record<WholeRefund['kind'], string> = {
  operator: 'refunded by the seller',
  late: 'payment of a settled order',
  duplicate: 'payment of a settled order',
};

export const PORTAL_REASON = 'made in the merchant portal';

/** What Alipay reports about the refunds of a payment. */
export interface RefundsTold {
  /** Yuan. */
  cumulative: string;
  /** Of the newest; undefined if Alipay does not say. */
  outRequestNo?: string | undefined;
}

export interface RefundsSettled {
  /** The status that the payment took, if it took one. */
  moved?: StoredPaymentStatus | undefined;
  /** Refunds that are new, and need a run. */
  refunds: Refund[];
}

/** What has changed about the refunds of a payment, and who changed it. */
export interface Settling {
  actor: string;
  told?: RefundsTold | undefined;
  whole?: WholeRefund | undefined;
  /** `REFUND_BRAKE`, fen; null: none. */
  brakeFen: number | null;
}

/**
 * Does what follows from the refunds of a payment: call it, with the order locked, after anything about them has changed.
 *
 * - A refund that Alipay reports and none here explains was made in the merchant portal. It gets a row under its number, whose
 *   run asks for the amount; without a number, a provisional row.
 * - A refund that no longer fits into what is left cannot be made any more. The rest is requested instead.
 * - A refund that nobody requested is made only within `REFUND_BRAKE`; beyond it a person decides.
 * - A payment is REFUNDED once all of it has gone back; if its refund ended otherwise, a person decides.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export async function settleRefunds(
  trx: Database,
  outTradeNo: string,
  { actor, told, whole, brakeFen }: Settling,
): Promise<RefundsSettled> {
  const read = (): Promise<RefundBooks> => RefundBooks.read(trx, outTradeNo);
  if (told) await raiseRefundSeen(trx, outTradeNo, told.cumulative);
  const named = told && (await namePortalRefund(trx, await read(), told));
  await explainGap(trx, await read());
  const tooLarge = await refuseTooLarge(trx, await read(), actor);
  const books = await read();
  const rest = await askForRest(trx, books, whole ?? tooLarge ?? unfinished(books, actor), brakeFen);
  const isBraked = rest === 'braked';
  const moved = await settlePayment(trx, await read(), { actor, isBraked });
  return { moved, refunds: [named, isBraked ? undefined : rest].filter((refund) => refund !== undefined) };
}

async function namePortalRefund(
  trx: Database,
  books: RefundBooks,
  { outRequestNo }: RefundsTold,
): Promise<Refund | undefined> {
  if (outRequestNo === undefined || books.gap <= 0) return undefined;
  const known = books.refunds.find((refund) => refund.outRequestNo === outRequestNo);
  if (known) return heedOwn(trx, books, known);
  const { outTradeNo, orderId } = books.payment;
  const portal = { kind: 'portal', amount: null, reason: PORTAL_REASON, requestedBy: 'alipay' } as const;
  return insertRefund(trx, { outTradeNo, orderId, outRequestNo, ...portal });
}

/**
 * If Alipay names a refund of ours, and its sum has room for it, it was made, even though the row says that it was refused. One
 * under way was sent, even if a failover of Postgres has lost the note of that: it is queried before it is sent again.
 */
async function heedOwn(trx: Database, { gap }: RefundBooks, refund: Refund): Promise<undefined> {
  if (refund.kind === 'portal' || sumOf([refund]) > gap) return undefined;
  if (isUnderWay(refund)) await noteSent(trx, refund);
  const event = { actor: 'alipay', event: 'refund-done' } as const;
  if (await moveRefund(trx, refund, { from: ['REFUSED'], to: 'DONE' }, event)) await countIn(trx, refund);
  return undefined;
}

async function explainGap(trx: Database, books: RefundBooks): Promise<void> {
  if (books.gap <= 0 || books.isInDoubt) return;
  const { outTradeNo, orderId, refundSeen } = books.payment;
  const provisional = { outTradeNo, orderId, outRequestNo: `SEEN_${refundSeen}`, amount: toYuan(books.gap) };
  await insertProvisional(trx, provisional);
  const detail = { amount: refundSeen };
  await appendEvent(trx, { outTradeNo, actor: 'alipay', event: 'refund-seen', detail });
  await countIn(trx, provisional);
}

/** Alipay never gives back more than it took. Returns the whole refund to ask for instead, if it is REFUNDING. */
async function refuseTooLarge(
  trx: Database,
  books: RefundBooks,
  actor: string,
): Promise<WholeRefund | undefined> {
  const { payment, own, taken, done } = books;
  const tooLarge = own.filter((refund) => isUnderWay(refund) && sumOf([refund]) > taken - done);
  for (const refund of tooLarge) {
    const move = { from: [refund.status], to: 'REFUSED', because: 'NOTHING_LEFT' } as const;
    const event = { actor, event: 'refund-refused', detail: { because: move.because } } as const;
    await moveRefund(trx, refund, move, event);
  }
  const isWhole = payment.status === 'REFUNDING' && tooLarge.length > 0;
  return isWhole ? wholeAgain(books, actor) : undefined;
}

/** All should go back, and everything requested has gone back, but something is left. */
function unfinished(books: RefundBooks, actor: string): WholeRefund | undefined {
  const { payment, refunds, own } = books;
  const isOver = !refunds.some(isUnderWay) && own.every((one) => one.status === 'DONE' || wasWithdrawn(one));
  return payment.status === 'REFUNDING' && isOver ? wholeAgain(books, actor) : undefined;
}

/** A part that the shop asked for and withdrew before Alipay was asked: it goes back with the rest. */
const wasWithdrawn = ({ status, kind, askedAt }: Refund): boolean =>
  status === 'REFUSED' && kind === 'shop' && askedAt === null;

/**
 * The rest is requested as the whole was. If only the shop has asked for parts, a person wanted the whole: shops ask
 * only for parts of the payment that paid its order, and nothing refunds that one by itself.
 */
function wholeAgain({ own }: RefundBooks, requestedBy: string): WholeRefund {
  const whole = own.findLast(({ kind }) => kind !== 'shop')?.kind ?? (own.length > 0 ? 'operator' : 'late');
  return { kind: whole === 'operator' || whole === 'duplicate' ? whole : 'late', requestedBy };
}

async function askForRest(
  trx: Database,
  books: RefundBooks,
  whole: WholeRefund | undefined,
  brakeFen: number | null,
): Promise<Refund | 'braked' | undefined> {
  // What Alipay reports has gone back, unless it may be one of our own that is under way.
  const told = books.isInDoubt && books.own.some(isUnderWay) ? 0 : Math.max(0, books.gap);
  const rest = books.left - told;
  if (!whole || rest <= 0) return undefined;
  const { outTradeNo, orderId, merchant } = books.payment;
  if (isAutomatic(whole.kind) && !(await passesBrake(trx, { merchant, fen: rest, brakeFen })))
    return 'braked';
  const outRequestNo = freeNumber(whole.kind, books);
  const reason = WORDS[whole.kind];
  return insertRefund(trx, { outTradeNo, orderId, outRequestNo, amount: toYuan(rest), reason, ...whole });
}

/** People who refund in the merchant portal may use any number. */
function freeNumber(kind: WholeRefund['kind'], { payment, refunds }: RefundBooks): string {
  const taken = new Set(refunds.map(({ outRequestNo }) => outRequestNo));
  for (let nth = 1; ; nth += 1) {
    const number = ownRefundNumber(kind, payment.outTradeNo, nth);
    if (!taken.has(number)) return number;
  }
}

async function settlePayment(
  trx: Database,
  { payment, refunds, own, taken, done }: RefundBooks,
  { actor, isBraked }: { actor: string; isBraked: boolean },
): Promise<StoredPaymentStatus | undefined> {
  const { outTradeNo, status, refundedAmount: amount } = payment;
  if (done >= taken) {
    if (!isSettledByRefunds(payment)) return undefined;
    const event = { actor, event: 'refunded', detail: { amount } } as const;
    return (await movePayment(trx, outTradeNo, { from: [status], to: 'REFUNDED' }, event))
      ? 'REFUNDED'
      : undefined;
  }
  if (status !== 'REFUNDING' || refunds.some((refund) => refund.status === 'REQUESTED')) return undefined;
  const reviewReason = isBraked ? REVIEW_REASONS.refundBrake : whyUnfinished(own);
  const event = { actor, event: 'review', detail: { reason: reviewReason } } as const;
  const move = { from: ['REFUNDING'], to: 'REVIEW' } as const;
  return (await movePayment(trx, outTradeNo, move, event, { reviewReason })) ? 'REVIEW' : undefined;
}

/** Why a payment was not refunded: how its newest refund ended. */
function whyUnfinished(own: readonly Refund[]): string {
  const last = own.findLast(({ status }) => status !== 'DONE');
  if (last?.status === 'REVIEW') return last.because ?? REVIEW_REASONS.refundNotProven;
  return [REVIEW_REASONS.refundRefused, last?.because].filter(Boolean).join(' ');
}
