import { Argument, Option } from 'commander';
import type { UnmatchedNotification } from '../index';
import type { CliGroup, WhoAndWhy } from './command';
import { LIMIT, WHO_AND_WHY, answer } from './command';
import { tableOf, when } from './screen';

const unmatchedTable = tableOf<UnmatchedNotification>(
  {
    ID: (n) => n.id,
    PAYMENT: (n) => n.outTradeNo,
    'ALIPAY TRADE': (n) => n.tradeNo,
    STATUS: (n) => n.tradeStatus,
    AMOUNT: (n) => n.totalAmount,
    ARRIVED: (n) => when(n.at),
    RESOLVED: (n) => (n.resolvedBy === null ? 'no' : `by ${n.resolvedBy}: ${n.resolution ?? ''}`),
  },
  'nothing unmatched',
);

/** Money without an order: like a review, something that only a person can settle. */
export const UNMATCHED: CliGroup = {
  name: 'unmatched',
  summary: 'genuine notifications of unknown payments: list them, mark them as resolved',
  commands: [
    {
      name: 'list',
      summary: 'those that wait for a person, newest first',
      description:
        'Lists notifications that Alipay signed for payments that the database does not have, for example after a backup ' +
        'was restored. Find the money at Alipay by its trade number.',
      options: [LIMIT, new Option('--all', 'include resolved ones').default(false)],
      examples: ['unmatched list', 'unmatched list --all --json | jq -r .[].tradeNo'],
      act: async ({ payments }, options: { limit: number; all: boolean }) =>
        answer(await payments.unmatched(options), unmatchedTable),
    },
    {
      name: 'resolve',
      summary: 'mark one as resolved, and say how',
      description:
        'Marks a notification as resolved: it is no longer counted or listed. Nothing is done at Alipay. The row stays, ' +
        'with the actor and reason; if someone has resolved it differently, this is refused (exit code 4).',
      arguments: [new Argument('<id>', 'its number in the list')],
      options: WHO_AND_WHY,
      examples: [
        'unmatched resolve 7 --reason "refunded in the merchant portal"',
        'unmatched resolve 7 --reason "order A-1001 was registered again" --actor li --json',
      ],
      act: async ({ payments }, id: string, options: WhoAndWhy) =>
        answer(await payments.resolveUnmatched({ id, ...options }), unmatchedTable),
    },
  ],
};
