import { toFen } from '../../../db/money';
import type { Facts, RefundFact } from './facts';
import type { Breach, Rule } from './rule';
import { grouped, inReview } from './rule';

const HELD_OPEN = new Set(['PAID', 'REVIEW']);

/** Rules 1 and 7: what became of the money. */
export const MONEY_RULES: readonly Rule[] = [
  {
    name: 'every yuan ends somewhere',
    says: '1: what Alipay took is PAID, refunded, or in REVIEW with a reason',
    harm: 'lost',
    onlyAtRest: true,
    *broken({ trades }, books) {
      for (const { outTradeNo } of trades) {
        const { taken, back } = books.moneyOf(outTradeNo);
        if (taken <= back) continue;
        const payment = books.payments.get(outTradeNo);
        if (!payment) yield { outTradeNo, how: 'Alipay holds money of a payment that is not here' };
        else if (!HELD_OPEN.has(payment.status) && payment.outsideAmount === null)
          yield { outTradeNo, how: `Alipay holds ${taken - back} fen, and the payment is ${payment.status}` };
      }
    },
  },
  {
    name: 'money is found soon',
    says: '1: within the next turn of its checks, not at expiry',
    harm: 'lost',
    *broken({ payments, now, promises }, books) {
      for (const { outTradeNo, status, nextCheckAt, slowCheckAt } of payments) {
        if (status !== 'UNPAID' || books.moneyOf(outTradeNo).taken === 0) continue;
        const turn = Math.min(nextCheckAt?.getTime() ?? Infinity, slowCheckAt?.getTime() ?? Infinity);
        if (turn + promises.patienceMs < now)
          yield { outTradeNo, how: 'paid, its turn has passed, and nobody asked' };
        else if (turn === Infinity) yield { outTradeNo, how: 'paid, and no turn is planned' };
      }
    },
  },
  {
    name: 'the row knows the money',
    says: '7: what was asked, taken, accepted and given back, to the fen',
    harm: 'wrong',
    *broken({ payments, atRest }, books) {
      for (const payment of payments) {
        const { outTradeNo, status, totalAmount, acceptedAmount } = payment;
        const { taken, back } = books.moneyOf(outTradeNo);
        const paid = payment.paidAmount === null ? undefined : toFen(payment.paidAmount);
        const refunded = toFen(payment.refundedAmount);
        const no = (how: string): Breach => ({ outTradeNo, how });
        if (paid !== undefined && refunded > paid) yield no(`${refunded} of ${paid} fen refunded`);
        if (status === 'PAID' && !inReview(payment) && taken !== toFen(acceptedAmount ?? totalAmount))
          yield no(`PAID, and Alipay took ${taken} fen, not ${acceptedAmount ?? totalAmount} yuan`);
        if (!atRest || inReview(payment) || taken === 0) continue;
        if (status !== 'CLOSED' && paid !== taken)
          yield no(`paid_amount says ${paid ?? 'nothing'}, Alipay ${taken} fen`);
        if (refunded !== back) yield no(`refunded_amount says ${refunded}, Alipay gave back ${back} fen`);
      }
    },
  },
  {
    name: 'refunds are proven, once each',
    says: '7: refunded_amount is the sum of proven refunds, and Alipay made no other',
    harm: 'doubled',
    onlyAtRest: true,
    *broken({ refunds, payments, journal }, books) {
      yield* underAnotherNumber(refunds, journal);
      const ofPayment = grouped(refunds, ({ outTradeNo }) => outTradeNo);
      for (const { outTradeNo, refundedAmount } of payments) {
        const ours = ofPayment.get(outTradeNo) ?? [];
        const made = books.trades.get(outTradeNo)?.refunds ?? [];
        yield* unproven(outTradeNo, ours, made);
        const sum = ours
          .filter(({ status }) => status === 'DONE')
          .reduce((all, { amount }) => all + toFen(amount ?? '0'), 0);
        if (sum !== toFen(refundedAmount))
          yield { outTradeNo, how: `refunds come to ${sum} fen, the row says ${refundedAmount}` };
      }
    },
  },
  {
    name: 'nothing twice',
    says: '1, 7: one payment makes an order PAID, and a good one is refunded only when asked for',
    harm: 'doubled',
    *broken({ orders, payments, refunds }, books) {
      for (const { id: orderId, status, paidBy } of orders) {
        const paid = books.paymentsOf(orderId).filter((payment) => payment.status === 'PAID');
        if (paid.length > 1) yield { orderId, how: `PAID by ${paid.length} payments` };
        if ((status === 'PAID') !== (paidBy !== null))
          yield { orderId, how: `${status}, paid by ${paidBy ?? 'none'}` };
        const stray = paid.find(({ outTradeNo }) => outTradeNo !== paidBy);
        if (stray)
          yield { outTradeNo: stray.outTradeNo, how: `PAID, and its order is paid by ${paidBy ?? 'none'}` };
        const taken = refunds.find(
          ({ outTradeNo, kind }) => outTradeNo === paidBy && /late|duplicate/.test(kind),
        );
        if (taken) yield { outTradeNo: taken.outTradeNo, how: 'the good payment was refunded by itself' };
      }
      for (const { outTradeNo } of payments) {
        const { taken, back } = books.moneyOf(outTradeNo);
        if (back > taken) yield { outTradeNo, how: `${back} fen given back of ${taken}` };
        const asked = refunds
          .filter(
            (one) =>
              one.outTradeNo === outTradeNo && one.kind === 'shop' && /REQUESTED|DONE/.test(one.status),
          )
          .reduce((sum, { amount }) => sum + toFen(amount ?? '0'), 0);
        if (asked > taken) yield { outTradeNo, how: `${asked} fen are to be given back of ${taken}` };
      }
    },
  },
];

/** A retried refund keeps its number: under another number Alipay makes another refund. */
function* underAnotherNumber(refunds: readonly RefundFact[], journal: Facts['journal']): Iterable<Breach> {
  const ours = new Set(
    refunds.filter(({ kind }) => kind !== 'portal').map(({ outRequestNo }) => outRequestNo),
  );
  for (const entry of journal) {
    if (entry.kind !== 'call' || entry.method !== 'alipay.trade.refund') continue;
    // The gateway was down: it read nothing of the call.
    if (entry.bizContent === undefined) continue;
    const number = String(entry.bizContent['out_request_no']);
    if (!ours.has(number))
      yield { outTradeNo: entry.outTradeNo, how: `asked for refund ${number}, which no row has` };
  }
}

function* unproven(
  outTradeNo: string,
  ours: readonly RefundFact[],
  made: readonly { outRequestNo: string; amount: string }[],
): Iterable<Breach> {
  for (const { outRequestNo, amount, status, provisional } of ours) {
    const there = made.filter((one) => one.outRequestNo === outRequestNo);
    if (status === 'DONE' && !provisional && there[0]?.amount !== amount)
      yield {
        outTradeNo,
        how: `refund ${outRequestNo} of ${amount ?? '?'} is DONE, at Alipay it is ${there[0]?.amount ?? 'not there'}`,
      };
    if (status === 'REFUSED' && there.length > 0)
      yield { outTradeNo, how: `refund ${outRequestNo} is REFUSED, and Alipay made it` };
  }
  // Of a refund made in the merchant portal, often only the sum is known here.
  const isByHand = (outRequestNo: string): boolean => outRequestNo.startsWith('portal_');
  const hasGap = ours.some(({ provisional }) => provisional);
  for (const { outRequestNo, amount } of made) {
    if (hasGap && isByHand(outRequestNo)) continue;
    if (!ours.some((one) => one.outRequestNo === outRequestNo))
      yield { outTradeNo, how: `Alipay made refund ${outRequestNo} of ${amount}, which nobody here knows` };
  }
}
