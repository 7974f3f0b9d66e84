import type { Balance } from './balance';
import type { Facts } from './checker';
import { RULES, timelineOf } from './checker';
import type { Violation } from './checker';
import type { WireTally } from './mishaps';
import type { Recovery } from './recovery';

const yuan = (fen: number): string => (fen / 100).toFixed(2);

const line = (label: string, value: string | number, note = ''): string =>
  `  ${label.padEnd(28)}${String(value).padStart(18)}${note && `   ${note}`}`;

/** The balance and the broken rules, as a table. */
export function table(
  { payments, orders, results, taken, givenBack, ...balance }: Balance,
  violations: readonly Violation[],
): string {
  const broken = (harm: Violation['harm']): number => violations.filter((one) => one.harm === harm).length;
  return [
    line('payments', payments, `of ${orders} orders`),
    line('paid', balance.paid),
    line('refunded', balance.refunded),
    line('closed', balance.closed),
    line('review', balance.review, balance.review > 0 ? `Alipay holds ${yuan(balance.takenInReview)}` : ''),
    line('open', balance.open, balance.open > 0 ? 'held by a review' : ''),
    line('taken, Alipay / ours', yuan(taken.alipay), yuan(taken.ours)),
    line('given back, Alipay / ours', yuan(givenBack.alipay), yuan(givenBack.ours)),
    line(
      'results written / acted on',
      `${results.written} / ${results.actedOn}`,
      results.undelivered > 0 ? `${results.undelivered} undelivered` : '',
    ),
    line('lost', broken('lost')),
    line('doubled', broken('doubled')),
    line('wrong', broken('wrong')),
    line('stuck', broken('stuck')),
  ].join('\n');
}

const MOST_TIMELINES = 5;

/** Which rules are broken, and the first payments and orders that break them, from beginning to end. */
export function inWords(violations: readonly Violation[], facts: Facts): string {
  const text = RULES.flatMap(({ name, says }) => {
    const mine = violations.filter(({ rule }) => rule === name);
    if (mine.length === 0) return [];
    const named = mine
      .slice(0, 10)
      .map(({ outTradeNo, orderId, how }) => `    ${outTradeNo ?? orderId ?? ''}: ${how}`);
    return [`  ${name} (${says}): broken ${mine.length} times`, ...named];
  });
  const subjects = violations
    .filter(({ outTradeNo, orderId }) => outTradeNo ?? orderId)
    .slice(0, MOST_TIMELINES);
  const timelines = subjects.map(
    (one) => `\n${one.rule}: ${one.outTradeNo ?? one.orderId ?? ''}\n${timelineOf(facts, one)}`,
  );
  return [...text, ...timelines].join('\n');
}

/** What went wrong on the wire. */
export function wireLine({ calls, struck, modes, notifications, lost }: WireTally): string {
  const share = (part: number, whole: number): string =>
    `${whole === 0 ? 0 : Math.round((100 * part) / whole)} %`;
  return (
    `${calls} calls of Alipay, ${share(struck, calls)} struck in ${modes.size} ways (method, fault, before or after its ` +
    `effect); ${notifications} deliveries of notifications, ${share(lost, notifications)} lost`
  );
}

/** Each fault: how often it struck, and how long it had an effect. */
export function recoveryTable(recoveries: readonly Recovery[]): string {
  const cells = recoveries.map(({ name, struck, times, late, longest }) => [
    name,
    String(struck),
    String(times),
    String(late),
    late > 0 ? `${longest.toFixed(1)} s` : '',
  ]);
  const heads = ['fault', 'struck', 'hits', 'late payments', 'longest to the last'];
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  return [heads, ...cells]
    .map(
      (row) =>
        `  ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ')}`,
    )
    .join('\n');
}
