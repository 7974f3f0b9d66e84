import { Option } from 'commander';
import type { ReviewOutcome } from '../../workflows/messages';
import { REVIEW_OUTCOMES } from '../../workflows/messages';
import { LIST_OUTCOMES } from '../input';
import type { ListDecided, ListDecision, ListedDecision, Payment } from '../index';
import type { CliGroup, WhoAndWhy } from './command';
import { LIMIT, OUT_TRADE_NO, WHO_AND_WHY, answer, wholeNumber } from './command';
import { EXIT } from './exit';
import type { ExitCode } from './exit';
import { CHOICES, describeState } from './payment';
import type { Paint } from './screen';
import { distance, next, status, tableOf } from './screen';

interface DecisionOptions extends WhoAndWhy {
  to: ReviewOutcome;
  outside?: string;
}

const reviewTable = tableOf<Payment>(
  {
    PAYMENT: (p) => p.outTradeNo,
    ORDER: (p) => p.orderId,
    AMOUNT: (p) => p.totalAmount,
    PAID: (p) => p.paidAmount,
    STATUS: (p, paint) => status(paint, p.status),
    REASON: (p, paint) => paint('red', p.reviewReason ?? 'not recorded'),
    SINCE: (p) => distance(p.updatedAt),
  },
  'nothing to review',
);

const decisionTable = tableOf<ListedDecision>(
  {
    PAYMENT: (p) => p.outTradeNo,
    ORDER: (p) => p.orderId,
    AMOUNT: (p) => p.amount,
    OUTCOME: (p, paint) => paint(p.why === null ? 'green' : 'red', p.outcome),
    WHY: (p) => p.why ?? '',
  },
  'nothing to review for this reason',
);

export const REVIEW: CliGroup = {
  name: 'review',
  summary: 'list and decide what waits for a person',
  commands: [
    {
      name: 'list',
      summary: 'payments that wait for a decision, longest-waiting first',
      description:
        'Lists the payments in REVIEW, and PAID payments that still need a decision (they stay PAID).',
      options: [LIMIT],
      examples: ['review list', 'review list --json | jq -r .[].outTradeNo'],
      act: async ({ payments }, options: { limit: number }) =>
        answer(await payments.reviews(options), describeReviews),
    },
    {
      name: 'resolve',
      summary: 'decide what becomes of a payment in review',
      description: [
        'Carries out a decision. Alipay is asked first, and a decision that contradicts its answer is refused (exit code 4):',
        ...CHOICES,
        '  REVIEW     stop a refund that is under way; Alipay is not asked',
      ].join('\n'),
      arguments: [OUT_TRADE_NO],
      options: [
        new Option('--to <status>', 'its new status').choices(REVIEW_OUTCOMES).makeOptionMandatory(),
        new Option(
          '--outside <reference>',
          "with REFUNDED: the bank's reference of a repayment outside Alipay",
        ),
        ...WHO_AND_WHY,
      ],
      examples: [
        'review resolve A1001x1 --to REFUNDING --reason "the amount differs"',
        'review resolve A1001x1 --to PAID --reason "the buyer confirmed" --actor li --json',
        'review resolve A1001x1 --to REFUNDED --outside "ICBC 2026-17" --reason "refused after a year"',
      ],
      act: async ({ payments }, outTradeNo: string, { outside, ...decision }: DecisionOptions) => {
        const state = await payments.resolveReview(outTradeNo, {
          ...decision,
          ...(outside !== undefined && { outside: { reference: outside } }),
        });
        return answer(state, describeState);
      },
    },
    {
      name: 'resolve-all',
      summary: 'decide all payments that are in review for one reason',
      description:
        'Carries out one decision for each, with the rules of `review resolve`: Alipay is asked about each, and what ' +
        'contradicts it stays in review. Try --dry-run first: it asks and writes nothing. It is safe to repeat. ' +
        'Exit code 4: some were refused; 1: some failed.',
      options: [
        new Option(
          '--because <reason>',
          'those with this reason, as `review list` shows it',
        ).makeOptionMandatory(),
        new Option('--merchant <merchant>', 'only those of this merchant, by its name or id'),
        new Option('--to <status>', 'their new status').choices(LIST_OUTCOMES).makeOptionMandatory(),
        new Option('--limit <n>', 'how many, longest-waiting first; refused ones do not count')
          .argParser(wholeNumber(1, 10_000))
          .default(1_000),
        new Option('--dry-run', 'only show them, and what their rows rule out'),
        ...WHO_AND_WHY,
      ],
      examples: [
        'review resolve-all --because REFUND_BRAKE --to REFUNDING --reason "a real rush" --dry-run',
        'review resolve-all --because REFUND_BRAKE --to REFUNDING --reason "a real rush"',
      ],
      act: async ({ payments }, decision: ListDecision) => {
        const decided = await payments.resolveReviews(decision);
        return answer(decided, describeDecided, exitCodeOfDecided(decided));
      },
    },
  ],
};

function describeReviews(paint: Paint, found: readonly Payment[]): string {
  const shown = reviewTable(paint, found);
  return found.length === 0 ? shown : `${shown}\n${next(paint, 'payment show <PAYMENT>')}`;
}

function exitCodeOfDecided({ failed, refused }: ListDecided): ExitCode {
  if (failed > 0) return EXIT.failure;
  return refused > 0 ? EXIT.conflict : EXIT.ok;
}

function describeDecided(
  paint: Paint,
  { dryRun, done, refused, failed, amount, hasMore, payments }: ListDecided,
): string {
  const shown = decisionTable(paint, payments);
  if (payments.length === 0) return shown;
  const sum = `${done} ${dryRun ? 'would be decided' : 'decided'} (${amount} yuan), ${refused} refused, ${failed} failed`;
  return `${shown}\n\n${sum}${hasMore ? '; there are more' : ''}${dryRun ? '. Nothing was asked or written.' : ''}`;
}
