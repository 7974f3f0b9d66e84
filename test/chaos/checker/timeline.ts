import type { JournalEntry } from '../../../sandbox';
import type { Facts } from './facts';

interface Line {
  at: number;
  who: string;
  what: string;
}

/** Everything known of a payment or an order, oldest first, from all sources: it shows a person what went wrong. */
export function timelineOf(
  facts: Facts,
  of: { outTradeNo?: string | undefined; orderId?: string | undefined },
): string {
  const orderId =
    of.orderId ?? facts.payments.find(({ outTradeNo }) => outTradeNo === of.outTradeNo)?.orderId;
  const theirs = new Set(
    facts.payments.filter((payment) => payment.orderId === orderId).map(({ outTradeNo }) => outTradeNo),
  );
  if (of.outTradeNo !== undefined) theirs.add(of.outTradeNo);
  const isTheirs = (outTradeNo: string | null | undefined): boolean => theirs.has(outTradeNo ?? '');
  const lines: Line[] = [
    ...facts.journal.filter((entry) => isTheirs(entry.outTradeNo)).map(atAlipay),
    ...facts.events
      .filter(({ outTradeNo }) => isTheirs(outTradeNo))
      .map(({ at, actor, event, detail, outTradeNo }) => ({
        at: at.getTime(),
        who: 'ledger',
        what: `${outTradeNo ?? ''} ${event} by ${actor} ${JSON.stringify(detail)}`,
      })),
    ...facts.witness.calls
      .filter((call) => call.orderId === orderId)
      .map(({ to, path, status, code, refundId }) => ({
        at: to,
        who: 'shop',
        what: `POST ${path} ${refundId ?? ''} → ${status} ${code}`,
      })),
    ...facts.messages
      .filter((message) => message.orderId === orderId && message.toldAt)
      .map(({ id, toldAt }) => ({ at: toldAt?.getTime() ?? 0, who: 'outbox', what: `${id} told` })),
  ];
  const first = Math.min(...lines.map(({ at }) => at));
  const last = Math.max(...lines.map(({ at }) => at));
  const broken = facts.witness.windows
    .filter(({ from, to }) => to >= first && from <= last)
    .flatMap(({ name, what, from, to }) => [
      { at: from, who: 'chaos', what: `${name} begins${what ? `: ${what}` : ''}` },
      { at: to, who: 'chaos', what: `${name} is over` },
    ]);
  return [
    ...[...lines, ...broken]
      .sort((one, other) => one.at - other.at)
      .map(({ at, who, what }) => `  ${new Date(at).toISOString().slice(11, 23)}  ${who.padEnd(7)} ${what}`),
    ...facts.orders.filter(({ id }) => id === orderId).map((order) => `  now: ${JSON.stringify(order)}`),
    ...facts.payments
      .filter(({ outTradeNo }) => isTheirs(outTradeNo))
      .map((payment) => `  now: ${JSON.stringify(payment)}`),
    ...facts.trades
      .filter(({ outTradeNo }) => isTheirs(outTradeNo))
      .map((trade) => `  at Alipay: ${JSON.stringify(trade)}`),
  ].join('\n');
}

function atAlipay(entry: JournalEntry): Line {
  const at = Date.parse(entry.at);
  const about = entry.outTradeNo ?? '';
  switch (entry.kind) {
    case 'call': {
      const fault = entry.fault ? `, struck: ${entry.fault.mode} ${entry.fault.when} its effect` : '';
      return {
        at,
        who: 'Alipay',
        what: `${entry.method} ${about} → ${entry.code ?? ''} ${entry.subCode ?? ''}${fault}`,
      };
    }
    case 'notification': {
      const answer = entry.answer
        ? `${entry.answer.status} ${entry.answer.body}`
        : (entry.error ?? 'not sent');
      return {
        at,
        who: 'Alipay',
        what: `notification ${about} ${entry.tradeStatus}, attempt ${entry.attempt} → ${answer}${entry.fault ? ` (${entry.fault})` : ''}`,
      };
    }
    case 'buyer':
      return { at, who: 'buyer', what: `${entry.action} ${about}` };
  }
}
