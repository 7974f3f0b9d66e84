import { Option } from 'commander';
import type { Command } from 'commander';
import { redact } from '../../worker/log';
import type { ReviewOutcome } from '../../workflows/messages';
import { parseOutTradeNo } from '../input';
import type { Payment } from '../payment-client';
import { answer, askWhoAndWhy, examples, wholeNumber } from './command';
import type { Answering, WhoAndWhy } from './command';
import { describeState } from './payment';
import { distance, status, table } from './screen';
import type { Paint } from './screen';

const OUTCOMES = ['PAID', 'REFUNDING', 'REFUNDED', 'CLOSED', 'REVIEW'] as const satisfies ReviewOutcome[];

interface DecisionOptions extends WhoAndWhy {
  to: ReviewOutcome;
  outside?: string;
}

export function addReview(program: Command, answering: Answering): void {
  const review = program
    .command('review')
    .summary('what waits for a person: list it, decide it')
    .addHelpText(
      'after',
      examples('review list', 'review resolve A1001x1 --to REFUNDING --reason "the amount differs"'),
    );
  addList(review, answering);
  addResolve(review, answering);
}

function addList(review: Command, answering: Answering): void {
  review
    .command('list')
    .summary('payments that wait for a decision, the longest waiting first')
    .description(
      'Lists the payments in REVIEW, and those PAID about which something is to be decided (their status stays).',
    )
    .option('--limit <n>', 'how many', wholeNumber(1, 10_000), 50)
    .addHelpText('after', examples('review list', 'review list --json | jq -r .[].outTradeNo'))
    .action(
      answering(async (payments, options: { limit: number }) => {
        const found = await payments.reviews(options);
        return answer(redact(found), (paint, shown) => reviewTable(paint, shown));
      }),
    );
}

function addResolve(review: Command, answering: Answering): void {
  const resolve = review
    .command('resolve')
    .summary('decide what becomes of a payment in review')
    .description(
      [
        'Carries out a decision. Alipay is asked first, and a decision against its word is refused (exit code 4):',
        "  PAID       the money is the order's",
        '  REFUNDING  give back now all that was paid',
        '  REFUNDED   it went back: in the merchant portal; or, with --outside, outside Alipay, which refunds it no more',
        '  CLOSED     it never came; a trade that the buyer could still pay is closed at Alipay first',
        '  REVIEW     stop a refund that is under way',
      ].join('\n'),
    )
    .argument('<outTradeNo>', 'the payment number')
    .addOption(new Option('--to <status>', 'what it becomes').choices(OUTCOMES).makeOptionMandatory())
    .option('--outside <reference>', 'with REFUNDED: how it was paid back outside Alipay, as a bank says it');
  askWhoAndWhy(resolve)
    .addHelpText(
      'after',
      examples(
        'review resolve A1001x1 --to REFUNDING --reason "the amount differs"',
        'review resolve A1001x1 --to PAID --reason "the buyer confirmed" --actor li --json',
        'review resolve A1001x1 --to REFUNDED --outside "ICBC 2026-17" --reason "refused after a year"',
      ),
    )
    .action(
      answering(async (payments, given: string, decision: DecisionOptions) => {
        const { to, actor, reason, outside: reference } = decision;
        const state = await payments.resolveReview(parseOutTradeNo(given), {
          to,
          actor,
          reason,
          ...(reference !== undefined && { outside: { reference } }),
        });
        return answer(state, describeState);
      }),
    );
}

function reviewTable(paint: Paint, payments: readonly Payment[], now = new Date()): string {
  if (payments.length === 0) return 'nothing to review';
  return table(
    paint,
    ['PAYMENT', 'ORDER', 'AMOUNT', 'PAID', 'STATUS', 'REASON', 'SINCE'],
    payments.map((p) => [
      p.outTradeNo,
      p.orderId,
      p.totalAmount,
      p.paidAmount ?? '-',
      status(paint, p.status),
      paint('red', p.reviewReason ?? 'not recorded'),
      distance(p.updatedAt, now),
    ]),
  );
}
