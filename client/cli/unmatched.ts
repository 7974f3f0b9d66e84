import type { Command } from 'commander';
import type { UnmatchedNotification } from '../payment-client';
import { answer, askWhoAndWhy, examples, wholeNumber } from './command';
import type { Answering, WhoAndWhy } from './command';
import { table, when } from './screen';
import type { Paint } from './screen';

/** Money without an order: like a review, something that only a person can settle. */
export function addUnmatched(program: Command, answering: Answering): void {
  const unmatched = program
    .command('unmatched')
    .summary('genuine notifications of payments that are not here: list them, mark them as dealt with')
    .addHelpText(
      'after',
      examples('unmatched list', 'unmatched resolve 7 --reason "refunded in the merchant portal"'),
    );
  addList(unmatched, answering);
  addResolve(unmatched, answering);
}

function addList(unmatched: Command, answering: Answering): void {
  unmatched
    .command('list')
    .summary('those that wait for a person, the newest first')
    .description(
      'Lists notifications that Alipay signed for payments which the database does not know, as after a restored ' +
        'backup. Find the money at Alipay by its trade number.',
    )
    .option('--limit <n>', 'how many', wholeNumber(1, 10_000), 50)
    .option('--all', 'those too that somebody has dealt with', false)
    .addHelpText('after', examples('unmatched list', 'unmatched list --all --json | jq -r .[].tradeNo'))
    .action(
      answering(async (payments, options: { limit: number; all: boolean }) => {
        const found = await payments.unmatched(options);
        return answer(found, unmatchedTable);
      }),
    );
}

function addResolve(unmatched: Command, answering: Answering): void {
  const resolve = unmatched
    .command('resolve')
    .summary('say that one has been dealt with, and how')
    .description(
      'Marks a notification as dealt with: it is counted and listed no longer. Nothing is done at Alipay. The row ' +
        'stays, with who and why; one that somebody has resolved otherwise is refused (exit code 4).',
    )
    .argument('<id>', 'its number in the list');
  askWhoAndWhy(resolve)
    .addHelpText(
      'after',
      examples(
        'unmatched resolve 7 --reason "refunded in the merchant portal"',
        'unmatched resolve 7 --reason "order A-1001 was registered again" --actor li --json',
      ),
    )
    .action(
      answering(async (payments, id: string, { actor, reason }: WhoAndWhy) => {
        const resolved = await payments.resolveUnmatched({ id, actor, reason });
        return answer(resolved, (paint, shown) => unmatchedTable(paint, [shown]));
      }),
    );
}

function unmatchedTable(paint: Paint, notifications: readonly UnmatchedNotification[]): string {
  if (notifications.length === 0) return 'nothing unmatched';
  return table(
    paint,
    ['ID', 'PAYMENT', 'ALIPAY TRADE', 'STATUS', 'AMOUNT', 'ARRIVED', 'RESOLVED'],
    notifications.map((n) => [
      n.id,
      n.outTradeNo,
      n.tradeNo ?? '-',
      n.tradeStatus ?? '-',
      n.totalAmount ?? '-',
      when(n.at) ?? '',
      n.resolvedBy === null ? 'no' : `by ${n.resolvedBy}: ${n.resolution ?? ''}`,
    ]),
  );
}
