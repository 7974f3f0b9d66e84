import type { StoredPaymentStatus } from '../../../workflows/messages';
import { paymentWorkflowId } from '../../../workflows/messages';
import type { CallEntry, JournalEntry } from '../../../sandbox';
import type { EventFact } from './facts';
import type { Rule } from './rule';
import { grouped } from './rule';

/** A check made while its run is reset is recorded within this time. */
const UNDER_WAY_MS = 5_000;

const QUERY = 'alipay.trade.query';

/** Faults that leave the signed status true: an older answer, and one in which only amounts change. */
const STILL_SIGNED: readonly (string | undefined)[] = [undefined, 'stale', 'wrong-amount'];

/** A clear answer about a trade from Alipay itself. */
const isClear = (entry: JournalEntry): entry is CallEntry =>
  entry.kind === 'call' &&
  entry.method === QUERY &&
  STILL_SIGNED.includes(entry.fault?.mode) &&
  (entry.code === '10000' || entry.subCode === 'ACQ.TRADE_NOT_EXIST');

/** From which statuses an event leads to which one; a person's decision may lead anywhere. */
const WAYS: Readonly<
  Record<string, readonly [from: readonly StoredPaymentStatus[], to: StoredPaymentStatus]>
> = {
  paid: [['UNPAID'], 'PAID'],
  closed: [['UNPAID'], 'CLOSED'],
  refunding: [['UNPAID', 'CLOSED'], 'REFUNDING'],
  refunded: [['UNPAID', 'CLOSED', 'REFUNDING', 'REVIEW', 'PAID'], 'REFUNDED'],
  review: [['UNPAID', 'CLOSED', 'REFUNDING'], 'REVIEW'],
};

/** Rules 3 to 6 and 8: which status may follow which. */
export const STATUS_RULES: readonly Rule[] = [
  {
    name: 'asked before closing',
    says: '3, 4: nothing is closed but by a clear answer about each payment',
    harm: 'lost',
    *broken({ payments, journal, orders }, books) {
      const asked = grouped(journal.filter(isClear), ({ outTradeNo }) => outTradeNo ?? '');
      const forGood = new Set(orders.filter(({ ifPaidLater }) => ifPaidLater !== null).map(({ id }) => id));
      for (const { outTradeNo, orderId } of payments) {
        const closed = books.eventsOf(outTradeNo).find(({ event }) => event === 'closed');
        if (!closed) continue;
        const before = (asked.get(outTradeNo) ?? []).filter(
          ({ at }) => Date.parse(at) <= closed.at.getTime(),
        );
        // In a notification, Alipay says it without being asked.
        if (before.length === 0 && closed.actor !== 'notification')
          yield { outTradeNo, how: `closed by ${closed.actor}, and Alipay had not said a word` };
        const paidAt = books.trades.get(outTradeNo)?.paidAt;
        if (paidAt === undefined || forGood.has(orderId)) continue;
        const last = before.findLast(({ fault }) => fault?.mode !== 'stale');
        // The buyer may pay between Alipay's last answer and the write of the row.
        if (last && Date.parse(paidAt) <= Date.parse(last.at))
          yield { outTradeNo, how: `closed by ${closed.actor}, and Alipay had said that it is paid` };
      }
    },
  },
  {
    name: 'settled together',
    says: '4: an order and its payments, or not at all; a leftover is closed alone',
    harm: 'stuck',
    onlyAtRest: true,
    *broken({ orders, now }, books) {
      for (const { id: orderId, status, expiresAt } of orders) {
        const payments = books.paymentsOf(orderId);
        const isHeld = payments.some((payment) => /REVIEW|REFUNDING/.test(payment.status));
        const open = payments.find((payment) => payment.status === 'UNPAID');
        if (status === 'UNPAID' && !isHeld && expiresAt.getTime() < now)
          yield { orderId, how: 'expired, and still UNPAID' };
        if (status !== 'UNPAID' && open)
          yield { outTradeNo: open.outTradeNo, how: `UNPAID, of an order that is ${status}` };
        const refunding = payments.find((payment) => payment.status === 'REFUNDING');
        if (refunding) yield { outTradeNo: refunding.outTradeNo, how: 'still REFUNDING' };
      }
    },
  },
  {
    name: 'no status moves backwards',
    says: '5: every write is a compare-and-set',
    harm: 'wrong',
    *broken({ payments }, books) {
      for (const { outTradeNo, status } of payments) {
        const walk = follow(books.eventsOf(outTradeNo));
        if (typeof walk === 'object') yield { outTradeNo, how: walk.how };
        else if (walk !== status) yield { outTradeNo, how: `its events end ${walk}, the row is ${status}` };
      }
    },
  },
  {
    name: 'three checks a checkout',
    says: '6: at most three, each at least one interval after the last; a run that a person resets begins again',
    harm: 'wrong',
    *broken({ payments, promises, witness }, books) {
      for (const { outTradeNo } of payments) {
        const resets = witness.resets.filter(
          ({ workflowId }) => workflowId === paymentWorkflowId(outTradeNo),
        );
        let made: EventFact[] = [];
        for (const event of books.eventsOf(outTradeNo)) {
          const since = made.at(-1)?.at.getTime() ?? Infinity;
          const isReset = resets.some(
            ({ from, to }) => since <= to + UNDER_WAY_MS && from <= event.at.getTime(),
          );
          if (event.event === 'checked-out' || isReset) made = [];
          if (!/^check \d/.test(event.actor)) continue;
          const last = made.at(-1);
          // The same check may be made again if its answer was lost.
          const isNext = last !== undefined && event.actor !== last.actor;
          if (isNext && event.at.getTime() - last.at.getTime() < promises.intervalMs * 0.8)
            yield {
              outTradeNo,
              how: `${event.actor} came ${event.at.getTime() - last.at.getTime()} ms after ${last.actor}`,
            };
          made.push(event);
          if (Number(event.actor.slice(6)) > promises.checks)
            yield { outTradeNo, how: `there was a ${event.actor}` };
        }
      }
    },
  },
  {
    name: 'a review says why',
    says: '1, 8: REVIEW has a reason that an operator sees',
    harm: 'stuck',
    *broken({ payments }) {
      for (const { outTradeNo, status, reviewReason } of payments)
        if (status === 'REVIEW' && !reviewReason)
          yield { outTradeNo, how: 'in REVIEW, and nothing says why' };
    },
  },
];

/** The status that the events lead to, or why they are impossible. */
function follow(events: readonly EventFact[]): StoredPaymentStatus | { how: string } {
  let status: StoredPaymentStatus = 'UNPAID';
  for (const { event, actor, detail } of events) {
    if (event === 'review-resolved') {
      if (typeof detail['to'] === 'string') status = detail['to'] as StoredPaymentStatus;
      continue;
    }
    const way = WAYS[event];
    // A PAID payment can be in review and keep its status.
    if (!way || (event === 'review' && status === 'PAID')) continue;
    const [from, to] = way;
    if (!from.includes(status)) return { how: `${status}, then "${event}" by ${actor}` };
    status = to;
  }
  return status;
}
