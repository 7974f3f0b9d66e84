import type { OrderStatus, ResolveRefund, ReviewOutcome } from '../workflows/messages';
import { isInReview } from '../workflows/messages';
import { readFen, toFen, toYuan } from './money';
import type { Payment } from './payments';
import type { Refund } from './refunds';
import type { PaymentFacts } from './rules';
import { REVIEW_REASONS, amountToRefund, isKnownPaid } from './rules';
import { storableText } from './storable';

// What a person may decide about a payment.

/** What Alipay answers a moment before a person's decision: the trade query, and the query of our own refund. */
export interface FreshAnswer {
  answer: 'paid' | 'waiting' | 'not-exist' | 'closed';
  /** In Alipay's words; null if there is no trade. */
  tradeStatus: string | null;
  /** It names a time of payment. */
  wasPaid: boolean;
  /** Yuan. */
  totalAmount: string | null;
  /** All of it has gone back, each refund proven. */
  isRefunded: boolean;
}

/** What a person wants for a payment whose order has status `order`, made PAID by this payment or not. */
export interface Proposal {
  to: ReviewOutcome;
  outside?: { reference: string } | undefined;
  /** The decision is about payments in review for this reason, and no others. */
  because?: string | undefined;
  order: OrderStatus;
  paidItsOrder: boolean;
  /** It was opened at a price other than the order's. */
  isSuperseded: boolean;
  /** A refund is under way, or was stopped or asked for a moment ago: the call that makes it may still be on its way to Alipay. */
  refundMayCome: boolean;
}

export type Verdict =
  | { kind: 'accepted' }
  /** Accepted once Alipay has closed the trade, which the buyer could still pay. */
  | { kind: 'close-first' }
  | { kind: 'refused'; because: string };

const ACCEPTED: Verdict = { kind: 'accepted' };
const CLOSE_FIRST: Verdict = { kind: 'close-first' };
const refused = (because: string): Verdict => ({ kind: 'refused', because });

/**
 * Whether what a person wants is already so: after a lost reply they, or Temporal, say it again. Another reference is
 * another transfer, which nobody has recorded.
 */
export function isDecided(
  payment: PaymentFacts & Pick<Payment, 'outsideReference'>,
  { to, outside }: Pick<Proposal, 'to' | 'outside'>,
): boolean {
  if (outside && storableText(outside.reference) !== payment.outsideReference) return false;
  return payment.status === to && (to === 'REVIEW' || payment.reviewReason === null);
}

/** Alipay's code after the reason may be left out. */
const isInReviewFor = (payment: PaymentFacts, because: string): boolean =>
  isInReview(payment) && [payment.reviewReason, payment.reviewReason?.split(' ')[0]].includes(because);

/** Which decisions a payment's own row permits, before Alipay is asked. */
export function judgeRow(
  payment: PaymentFacts,
  { to, outside, because }: Pick<Proposal, 'to' | 'outside' | 'because'>,
): Verdict {
  const { status } = payment;
  if (because && !isInReviewFor(payment, because))
    return refused(`it is not in review for ${because} any more`);
  if (outside && to !== 'REFUNDED') return refused('a reference goes with REFUNDED only');
  if (status === 'REFUNDING') {
    return to === 'REVIEW' ? ACCEPTED : refused('its refund is under way; REVIEW stops it');
  }
  if (to === 'REVIEW') return refused(`it is ${status}, and REVIEW only stops a refund under way`);
  if (status === 'REVIEW') return ACCEPTED;
  if (status === 'PAID' && to === 'REFUNDING') return ACCEPTED;
  if (!isInReview(payment)) return refused(`it is ${status}, not in review`);
  // The payment that paid its order is never closed: that would leave a PAID order with nothing behind it.
  return to === 'CLOSED' ? refused('it is PAID') : ACCEPTED;
}

/**
 * Whether a person's decision agrees with where the money is: it is the shop's, it goes back, it went back, or it never
 * came. Every payment in review, and every refund under way, has a decision that is accepted, whatever Alipay answers.
 */
export function judge(payment: PaymentFacts, proposal: Proposal, fresh: FreshAnswer): Verdict {
  const { to, outside } = proposal;
  const byRow = judgeRow(payment, proposal);
  if (byRow.kind === 'refused') return byRow;
  switch (to) {
    case 'REVIEW':
      return ACCEPTED;
    case 'PAID':
      return judgePaid(payment, proposal, fresh);
    case 'REFUNDING':
      return fresh.answer === 'paid' ? withAmount(fresh) : refused(says(fresh));
    case 'REFUNDED':
      return outside ? judgeOutside(payment, proposal, fresh) : judgeRefunded(payment, fresh);
    case 'CLOSED':
      return judgeClosed(payment, fresh);
  }
}

const withAmount = ({ totalAmount }: FreshAnswer): Verdict =>
  readFen(totalAmount ?? undefined) === undefined ? refused('Alipay names no amount') : ACCEPTED;

const MAY_COME = refused(
  'a refund of it is under way, or was stopped or asked for less than a minute ago, and may still be made; wait a minute',
);

function judgePaid(
  { status }: PaymentFacts,
  { order, paidItsOrder, isSuperseded, refundMayCome }: Proposal,
  fresh: FreshAnswer,
): Verdict {
  if (fresh.answer !== 'paid' || fresh.isRefunded) return refused(says(fresh));
  if (refundMayCome && status === 'REVIEW') return MAY_COME;
  // An order is paid by one payment: this one, if the order is open or this one had paid it before its refund failed.
  if (status === 'REVIEW' && order !== 'UNPAID' && !(order === 'PAID' && paidItsOrder)) {
    return refused(`its order is ${order}, so it cannot pay it; resolve to REFUNDING`);
  }
  if (status === 'REVIEW' && isSuperseded) {
    return refused('its order has another price now, so it cannot pay it; resolve to REFUNDING');
  }
  return withAmount(fresh);
}

function judgeRefunded(payment: PaymentFacts, fresh: FreshAnswer): Verdict {
  if (fresh.isRefunded) return ACCEPTED;
  const wasPaid = fresh.wasPaid || isKnownPaid(payment);
  if (fresh.answer === 'closed' && wasPaid) return ACCEPTED;
  if (fresh.answer === 'waiting' && wasPaid) return CLOSE_FIRST;
  const isPaid = fresh.answer === 'paid';
  if (isPaid ? isFinalRefusal(payment.reviewReason) : fresh.answer === 'not-exist' && wasPaid) {
    return refused(`${says(fresh)}; ${IF_OUTSIDE}`);
  }
  return refused(
    isPaid
      ? `${says(fresh)}; if the buyer did not get it back in another way, resolve to REFUNDING`
      : says(fresh),
  );
}

const IF_OUTSIDE =
  "if it was paid back outside Alipay, add the bank's reference (--outside <reference>, or outside in the update)";

/** Paid back outside Alipay: only if Alipay no longer refunds it; otherwise it could go back twice. */
function judgeOutside(payment: PaymentFacts, { refundMayCome }: Proposal, fresh: FreshAnswer): Verdict {
  if (refundMayCome) return MAY_COME;
  if (leftToReturn(payment, fresh) === undefined) return refused('nothing is left to refund');
  if (fresh.answer === 'not-exist' && isKnownPaid(payment)) return ACCEPTED;
  if (fresh.answer !== 'paid' || fresh.isRefunded) return refused(says(fresh));
  if (isFinalRefusal(payment.reviewReason)) return ACCEPTED;
  return refused(
    fresh.tradeStatus === 'TRADE_FINISHED'
      ? 'Alipay has not refused to refund it yet; resolve to REFUNDING first'
      : 'Alipay would still refund it; if the buyer did not get it back in another way, resolve to REFUNDING',
  );
}

/** What Alipay took and has not given back, yuan; undefined if that is nothing. */
export function leftToReturn(payment: PaymentFacts, fresh: FreshAnswer): string | undefined {
  const taken = readFen(takenBy(payment, fresh)) ?? toFen(payment.totalAmount);
  const left = taken - toFen(payment.refundedAmount);
  return left > 0 ? toYuan(left) : undefined;
}

/** What Alipay took, yuan, according to its newest answer or else the row. */
export function takenBy(payment: PaymentFacts, fresh: FreshAnswer): string {
  const says = fresh.answer === 'paid' || (fresh.answer === 'closed' && fresh.wasPaid);
  const fen = says ? readFen(fresh.totalAmount ?? undefined) : undefined;
  return fen === undefined || fen === 0 ? amountToRefund(payment) : toYuan(fen);
}

/** Refusals after which the same refund may still be made, or another one in the merchant portal. */
const NOT_FINAL = [
  'SELLER_BALANCE_NOT_ENOUGH',
  'REFUND_CHARGE_ERROR',
  'DISCORDANT_REPEAT_REQUEST',
  'REASON_TRADE_REFUND_FEE_ERR',
  'REFUND_AMT_NOT_EQUAL_TOTAL',
  'TRADE_STATUS_ERROR',
];

/** Only one of Alipay's own codes is final: what a person or the ledger has refused, Alipay may still make. */
function isFinalRefusal(reviewReason: string | null): boolean {
  const [reason, code = ''] = reviewReason?.split(' ') ?? [];
  const isAlipays = reason === REVIEW_REASONS.refundRefused && code.includes('ACQ.');
  return isAlipays && !NOT_FINAL.some((word) => code.endsWith(word));
}

/** What Alipay answers a moment before a person's decision about a refund. */
export interface FreshRefund {
  /** The refund query proves it. */
  isProven: boolean;
  /** The trade was paid, and is closed: all of it has gone back. */
  allWentBack: boolean;
  /** What was taken and not given back by proven refunds, fen. */
  left: number;
}

/** Whether a decision withdraws a shop's refund: Alipay was never asked for it, and has nothing to say about it. */
export const isWithdrawal = (
  { status, kind, askedAt }: Pick<Refund, 'status' | 'kind' | 'askedAt'>,
  to: ResolveRefund['to'],
): boolean => to === 'REFUSED' && status === 'REQUESTED' && kind === 'shop' && askedAt === null;

/** Whether a person's decision about a refund agrees with Alipay. In REVIEW, one decision is accepted whatever it answers. */
export function judgeRefund(
  refund: Pick<Refund, 'status' | 'kind' | 'amount' | 'justAsked'>,
  to: ResolveRefund['to'],
  { isProven, allWentBack, left }: FreshRefund,
): Verdict {
  const { status, amount, justAsked } = refund;
  if (status !== 'REVIEW') return refused(`it is ${status}, not in review${wayToStop(refund)}`);
  if (to === 'DONE') {
    const fits = amount !== null && toFen(amount) <= left;
    return isProven || (allWentBack && fits) ? ACCEPTED : refused('Alipay does not say that it was made');
  }
  if (isProven) return refused('Alipay says that it was made; resolve to DONE');
  return justAsked
    ? refused('it was asked for less than a minute ago and may still be made; wait a minute')
    : ACCEPTED;
}

function wayToStop({ status, kind }: Pick<Refund, 'status' | 'kind'>): string {
  if (status !== 'REQUESTED' || kind === 'portal') return '';
  if (kind !== 'shop') return '; to stop it, resolve its payment to REVIEW';
  return (
    '; Alipay may still make it. To see what it waits for: durable-alipay refund show; to send no refund for now: ' +
    'durable-alipay pause refunds --reason "…"'
  );
}

function judgeClosed(payment: PaymentFacts, fresh: FreshAnswer): Verdict {
  if (fresh.isRefunded || fresh.wasPaid || fresh.answer === 'paid') return refused(says(fresh));
  if (isKnownPaid(payment)) return refused('Alipay has said that it was paid');
  return fresh.answer === 'waiting' ? CLOSE_FIRST : ACCEPTED;
}

function says({ answer, tradeStatus, wasPaid, isRefunded }: FreshAnswer): string {
  const after = answer === 'closed' && wasPaid ? ' after a payment' : '';
  return `Alipay says ${tradeStatus ?? answer}${after}${isRefunded ? ', and that all of it was refunded' : ''}`;
}
