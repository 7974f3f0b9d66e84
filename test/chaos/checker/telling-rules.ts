import { toFen } from '../../../db/money';
import type { NotificationEntry } from '../../../sandbox';
import { FORGERIES } from '../../../sandbox';
import type { Facts, MessageFact } from './facts';
import type { Breach, Rule } from './rule';
import { grouped } from './rule';

/** Alipay's own notifications that got `success`. */
const taken = ({ journal }: Facts): NotificationEntry[] =>
  journal.filter(
    (entry): entry is NotificationEntry =>
      entry.kind === 'notification' && entry.accepted && !FORGERIES.includes(entry.fault as never),
  );

/** Rules 2 and 11: what the order service must be told, and what must be done after a `success` to Alipay. */
export const TELLING_RULES: readonly Rule[] = [
  {
    name: 'told one result',
    says: '2: a settled order has one result, and it is what happened',
    harm: 'wrong',
    *broken({ orders, messages }, books) {
      const ofOrder = grouped(messages, ({ orderId }) => orderId);
      for (const { id: orderId, status, paidBy } of orders) {
        const told = ofOrder.get(orderId) ?? [];
        const results = told.filter((message) => message.status === 'PAID' || message.status === 'CLOSED');
        const expected = status === 'UNPAID' ? '' : status;
        const found = results.map((message) => message.status).join();
        if (found !== expected) yield { orderId, how: `${status}, and its results are "${found}"` };
        yield* refundsTold(orderId, told.slice(1), paidBy, books.payments.get(paidBy ?? '')?.refundedAmount);
      }
    },
  },
  {
    name: 'acted on once',
    says: '2: the order service acts on each result exactly once',
    harm: 'doubled',
    *broken({ messages, acts }) {
      const known = new Map(messages.map((message) => [message.id, message]));
      const times = grouped(acts, ({ messageId }) => messageId);
      for (const [messageId, all] of times) {
        const orderId = all[0]?.orderId;
        if (all.length > 1) yield { orderId, how: `${messageId} was acted on ${all.length} times` };
        if (known.get(messageId)?.status !== all[0]?.status)
          yield { orderId, how: `${messageId} was acted on, and never written` };
      }
    },
  },
  {
    name: 'told means acted on',
    says: '2, 11: what is marked as told has reached the order service',
    harm: 'lost',
    onlyAtRest: true,
    *broken({ messages, acts }) {
      const done = new Set(acts.map(({ messageId }) => messageId));
      for (const { id, orderId, toldAt } of messages) {
        if (toldAt === null) yield { orderId, how: `${id} is not told` };
        else if (!done.has(id)) yield { orderId, how: `${id} is marked as told, and nobody acted on it` };
      }
    },
  },
  {
    name: 'success is owed',
    says: '11: what was answered success is stored, and recorded in the end',
    harm: 'lost',
    *broken(facts) {
      const stored = new Map(facts.evidence.map((piece) => [piece.notifyId, piece]));
      const unmatched = new Set(facts.unmatched);
      for (const { notifyId, outTradeNo } of taken(facts)) {
        if (!stored.has(notifyId) && !unmatched.has(notifyId))
          yield { outTradeNo, how: 'a notification was answered success, and is nowhere' };
      }
      if (!facts.atRest) return;
      for (const { outTradeNo, recordedAt, kind } of facts.evidence)
        if (recordedAt === null) yield { outTradeNo, how: `${kind} is not recorded` };
    },
  },
  {
    name: 'recorded means decided',
    says: '11: evidence of money counts as recorded only with what follows from it',
    harm: 'lost',
    *broken({ evidence, events, payments }, books) {
      const paid = new Set(
        events
          .filter(({ detail }) => /^TRADE_(SUCCESS|FINISHED)$/.test(String(detail['trade_status'])))
          .map(({ outTradeNo }) => outTradeNo),
      );
      const owed = new Set(
        evidence.filter((piece) => piece.recordedAt === null).map((piece) => piece.outTradeNo),
      );
      for (const { outTradeNo, status } of payments) {
        const isDecided = status !== 'UNPAID' && status !== 'CLOSED';
        if (isDecided || !paid.has(outTradeNo) || owed.has(outTradeNo)) continue;
        const { taken, back } = books.moneyOf(outTradeNo);
        if (taken > back) yield { outTradeNo, how: `proof of payment is recorded, and it is ${status}` };
      }
    },
  },
  {
    name: 'success once Temporal holds it',
    says: 'notification: `success` only when the signal is held, or there is nothing new in it',
    harm: 'lost',
    *broken(facts) {
      const stored = new Map(facts.evidence.map((piece) => [piece.notifyId, piece]));
      for (const { notifyId, outTradeNo, at } of taken(facts)) {
        const answeredAt = Date.parse(at);
        const wasDown = facts.witness.temporalDown.some(
          ({ from, to }) => from <= answeredAt && answeredAt < to,
        );
        const recordedAt = stored.get(notifyId)?.recordedAt?.getTime() ?? Infinity;
        if (wasDown && recordedAt > answeredAt)
          yield { outTradeNo, how: `answered success at ${at}, while Temporal was down` };
      }
    },
  },
];

/** In growing sums, of the payment that paid, up to what has gone back. */
function* refundsTold(
  orderId: string,
  told: readonly MessageFact[],
  paidBy: string | null,
  refundedAmount: string | undefined,
): Iterable<Breach> {
  const sums = told.map(({ amount }) => toFen(amount));
  if (told.some(({ outTradeNo }) => outTradeNo !== paidBy))
    yield { orderId, how: 'told of a refund of another payment' };
  if (sums.some((sum, place) => sum <= (sums[place - 1] ?? 0)))
    yield { orderId, how: `told sums that do not grow: ${sums.join()}` };
  if (refundedAmount !== undefined && (sums.at(-1) ?? 0) < toFen(refundedAmount))
    yield { orderId, how: `told of ${sums.at(-1) ?? 0} fen given back, not of ${refundedAmount}` };
}
