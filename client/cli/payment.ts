import { Option } from 'commander';
import type { Command } from 'commander';
import { redact } from '../../worker/log';
import { PaymentError } from '../../workflows/errors';
import type { PaymentState, StoredPaymentStatus } from '../../workflows/messages';
import { paymentWorkflowId } from '../../workflows/messages';
import { parseOutTradeNo } from '../input';
import type { PaymentClient, PaymentRun } from '../payment-client';
import { answer, askWhoAndWhy, examples, wholeNumber } from './command';
import type { Answering, CliPayments, WhoAndWhy } from './command';
import { distance, fields, status, table, when } from './screen';
import type { Paint } from './screen';
import { timeline } from './timeline';

type Payment = Awaited<ReturnType<PaymentClient['payment']>>;

const STATUSES = [
  'UNPAID',
  'PAID',
  'CLOSED',
  'REFUNDING',
  'REFUNDED',
  'REVIEW',
] as const satisfies StoredPaymentStatus[];

export function addPayment(program: Command, answering: Answering): void {
  const payment = program
    .command('payment')
    .summary('look at payments, ask Alipay about one, refund one')
    .addHelpText(
      'after',
      examples('payment list --status REVIEW', 'payment show A1001x1', 'payment check A1001x1'),
    );
  addShow(payment, answering);
  addCheck(payment, answering);
  addList(payment, answering);
  addRefund(payment, answering);
}

function addShow(payment: Command, answering: Answering): void {
  payment
    .command('show')
    .summary('one payment: where it stands and how it came there')
    .description('Shows the row in the database, what the workflow says of itself, and the timeline of both.')
    .argument('<outTradeNo>', 'the payment number')
    .addHelpText(
      'after',
      examples('payment show A1001x1', 'payment show A1001x1 --json | jq .payment.status'),
    )
    .action(
      answering(async (payments, given: string) => {
        const outTradeNo = parseOutTradeNo(given);
        const [row, events] = await Promise.all([payments.payment(outTradeNo), payments.events(outTradeNo)]);
        const workflow = await wordOrReason(payments, outTradeNo);
        return answer(redact({ payment: row, ...workflow, events }), (paint, shown) =>
          [
            fields(paint, [...describeRow(paint, shown.payment), ...describeWorkflow(paint, shown)]),
            '',
            paint('bold', 'Timeline (UTC)'),
            timeline(paint, shown),
          ].join('\n'),
        );
      }),
    );
}

function addCheck(payment: Command, answering: Answering): void {
  payment
    .command('check')
    .summary('ask Alipay about one payment now')
    .description('Asks Alipay at once and records the answer. It uses up none of the scheduled checks.')
    .argument('<outTradeNo>', 'the payment number')
    .addHelpText(
      'after',
      examples('payment check A1001x1', 'payment check A1001x1 --json | jq -r .lastAnswer'),
    )
    .action(
      answering(async (payments, given: string) => {
        const state = await payments.checkNow(parseOutTradeNo(given));
        return answer(state, describeState);
      }),
    );
}

function addRefund(payment: Command, answering: Answering): void {
  const refund = payment
    .command('refund')
    .summary('give the whole amount of a payment back')
    .description(
      'Gives back what was paid, whole, whether the payment is PAID or in REVIEW. Alipay is asked first: what it was ' +
        'not paid for is not refunded (exit code 4). The answer is REFUNDING; the payment is REFUNDED once Alipay has ' +
        'proven it, which `payment show` tells.',
    )
    .argument('<outTradeNo>', 'the payment number');
  askWhoAndWhy(refund)
    .addHelpText(
      'after',
      examples(
        'payment refund A1001x1 --reason "the tea arrived broken"',
        'payment refund A1001x1 --reason "sold out" --actor li --json',
      ),
    )
    .action(
      answering(async (payments, given: string, { actor, reason }: WhoAndWhy) => {
        const state = await payments.resolveReview(parseOutTradeNo(given), {
          to: 'REFUNDING',
          actor,
          reason,
        });
        return answer(state, describeState);
      }),
    );
}

/** Where a payment stands, in its workflow's own words. */
export function describeState(paint: Paint, state: PaymentState): string {
  return fields(paint, [
    ['Payment', state.outTradeNo],
    ['Status', status(paint, state.status)],
    ['Alipay says', state.lastAnswer],
    ['Next check', when(state.nextCheckAt)],
  ]);
}

function addList(payment: Command, answering: Answering): void {
  payment
    .command('list')
    .summary('payments, the newest first')
    .addOption(new Option('--status <status>', 'only those with this status').choices(STATUSES))
    .option('--order <orderId>', 'only those of this order')
    .option('--limit <n>', 'how many', wholeNumber(1, 10_000), 50)
    .addHelpText(
      'after',
      examples(
        'payment list --status REVIEW',
        'payment list --order A-1001',
        'payment list --limit 1000 --json',
      ),
    )
    .action(
      answering(
        async (payments, options: { status?: StoredPaymentStatus; order?: string; limit: number }) => {
          const found = await payments.payments({
            status: options.status,
            orderId: options.order,
            limit: options.limit,
          });
          return answer(redact(found), (paint, shown) => paymentTable(paint, shown));
        },
      ),
    );
}

/** Payments as a table, or the words that there are none. */
export function paymentTable(paint: Paint, payments: readonly Payment[], now = new Date()): string {
  if (payments.length === 0) return 'no payments';
  return table(
    paint,
    ['PAYMENT', 'ORDER', 'AMOUNT', 'STATUS', 'CHECKS', 'PRODUCT', 'AGE'],
    payments.map((p) => [
      p.outTradeNo,
      p.orderId,
      p.totalAmount,
      status(paint, p.status) + (p.reviewReason !== null && p.status !== 'REVIEW' ? paint('red', ' !') : ''),
      String(p.checks),
      p.product,
      distance(p.createdAt, now),
    ]),
  );
}

/** What is known of a payment's workflow. */
interface WorkflowWord {
  state?: PaymentState;
  runs?: PaymentRun[];
  /** Why Temporal could not be asked. */
  unreachable?: string;
}

/** The row is worth showing even while Temporal is down: that is when people look. */
async function wordOrReason(payments: CliPayments, outTradeNo: string): Promise<WorkflowWord> {
  try {
    const [state, runs] = await Promise.all([payments.status(outTradeNo), payments.runs(outTradeNo)]);
    return { state, runs };
  } catch (error) {
    if (error instanceof PaymentError && error.status === 503) {
      return { unreachable: `${error.code}: ${error.message}` };
    }
    throw error;
  }
}

function describeRow(paint: Paint, row: Payment): [string, string | null | undefined][] {
  return [
    ['Payment', row.outTradeNo],
    ['Order', row.orderId],
    ['Status', status(paint, row.status)],
    ['Review', row.reviewReason && paint('red', row.reviewReason)],
    ['Amount', row.totalAmount],
    ['Alipay took', row.paidAmount],
    ['Accepted', row.acceptedAmount],
    ['Refunded', Number(row.refundedAmount) === 0 ? undefined : row.refundedAmount],
    ['Paid back outside', row.outsideAmount && `${row.outsideAmount} (${row.outsideReference ?? ''})`],
    ['Product', row.product],
    ['Alipay trade', row.tradeNo],
    ['Created', when(row.createdAt)],
    ['Payable until', when(row.timeExpire)],
    ['Paid', when(row.callbackTime)],
    ['Closed', when(row.closedAt)],
    ['Refunded at', when(row.refundedAt)],
    ['Re-check', when(row.recheckAt)],
  ];
}

function describeWorkflow(
  paint: Paint,
  { state, runs = [], unreachable }: WorkflowWord,
): [string, string | null | undefined][] {
  if (!state) return [['Workflow', paint('red', `not asked: ${unreachable ?? ''}`)]];
  const answer = state.lastAnswer === null ? 'no answer of Alipay yet' : `last answer: ${state.lastAnswer}`;
  const checks = `${state.checks} ${state.checks === 1 ? 'check' : 'checks'}`;
  return [
    ['Workflow', `${paymentWorkflowId(state.outTradeNo)} ${runs.at(-1)?.status ?? 'not kept any more'}`],
    ['It says', `${status(paint, state.status)}, ${checks}, ${answer}`],
    ['Next check', when(state.nextCheckAt)],
  ];
}
