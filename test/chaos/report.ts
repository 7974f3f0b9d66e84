import type { Balance } from './balance';
import type { WireTally } from './mishaps';

const yuan = (fen: number): string => (fen / 100).toFixed(2);

const line = (label: string, value: string | number, note = ''): string =>
  `  ${label.padEnd(28)}${String(value).padStart(18)}${note && `   ${note}`}`;

/** The balance as a table. */
export function table({ payments, orders, results, taken, givenBack, ...balance }: Balance): string {
  return [
    line('payments', payments, `of ${orders} orders`),
    line('paid', balance.paid),
    line('refunded', balance.refunded),
    line('closed', balance.closed),
    line('review', balance.review, balance.review > 0 ? `Alipay holds ${yuan(balance.takenInReview)}` : ''),
    line('open', balance.open, balance.open > 0 ? 'held by a review' : ''),
    line('taken, Alipay / ours', yuan(taken.alipay), yuan(taken.ours)),
    line('given back, Alipay / ours', yuan(givenBack.alipay), yuan(givenBack.ours)),
    line('sums that differ', balance.differing.length, named(balance.differing)),
    line('lost', balance.lost.length, named(balance.lost)),
    line('doubled', balance.doubled.length, named(balance.doubled)),
    line(
      'results written / acted on',
      `${results.written} / ${results.actedOn}`,
      undelivered(results.undelivered),
    ),
    line('orders told wrongly', results.wrong.length, named(results.wrong)),
  ].join('\n');
}

const named = (ids: string[]): string => ids.slice(0, 5).join(' ');

const undelivered = (count: number): string => (count > 0 ? `${count} undelivered` : '');

/** What went wrong on the way. */
export function wireLine({ calls, struck, modes, notifications, lost }: WireTally): string {
  const share = (part: number, whole: number): string =>
    `${whole === 0 ? 0 : Math.round((100 * part) / whole)} %`;
  return (
    `${calls} calls of Alipay, ${share(struck, calls)} struck in ${modes.size} ways (method, fault, before or after its ` +
    `effect); ${notifications} deliveries of notifications, ${share(lost, notifications)} lost`
  );
}
