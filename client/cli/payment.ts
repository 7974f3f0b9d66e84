import { Option } from 'commander';
import { PaymentError } from '../../workflows/errors';
import { reasonInWords } from '../../workflows/in-words';
import type { PaymentState, StoredPaymentStatus } from '../../workflows/messages';
import { isInReview, paymentWorkflowId } from '../../workflows/messages';
import type { Payment, PaymentRun } from '../index';
import type { CliGroup, CliPayments, ListOptions, WhoAndWhy } from './command';
import { OUT_TRADE_NO, WHO_AND_WHY, answer, listOptions } from './command';
import type { Dossier } from './dossier';
import { writeDossier } from './dossier';
import { EXIT } from './exit';
import { describeRefund } from './refund';
import type { Paint } from './screen';
import { distance, fields, next, status, tableOf, when } from './screen';
import { timeline } from './timeline';

const STATUSES: StoredPaymentStatus[] = ['UNPAID', 'PAID', 'CLOSED', 'REFUNDING', 'REFUNDED', 'REVIEW'];

interface RefundOptions extends WhoAndWhy {
  amount?: string;
  refundId?: string;
}

export const paymentTable = tableOf<Payment>(
  {
    PAYMENT: (p) => p.outTradeNo,
    ORDER: (p) => p.orderId,
    AMOUNT: (p) => p.totalAmount,
    REFUNDED: (p) => (Number(p.refundedAmount) === 0 ? '' : p.refundedAmount),
    STATUS: (p, paint) =>
      status(paint, p.status) + (p.reviewReason !== null && p.status !== 'REVIEW' ? paint('red', ' !') : ''),
    CHECKS: (p) => String(p.checks),
    PRODUCT: (p) => p.product,
    AGE: (p) => distance(p.createdAt),
  },
  'no payments',
);

export const PAYMENT: CliGroup = {
  name: 'payment',
  summary: 'look at payments, ask Alipay about one, refund one',
  commands: [
    {
      name: 'show',
      summary: 'one payment: its state and its history',
      description: 'Shows the row in the database, the state of its workflow, and the timeline of both.',
      arguments: [OUT_TRADE_NO],
      examples: ['payment show A1001x1', 'payment show A1001x1 --json | jq .payment.status'],
      act: async ({ payments }, outTradeNo: string) => {
        const [payment, events] = await Promise.all([
          payments.payment(outTradeNo),
          payments.events(outTradeNo),
        ]);
        const workflow = await readWorkflow(payments, outTradeNo);
        return answer({ payment, ...workflow, events }, (paint, shown) =>
          [
            fields(paint, [...describeRow(paint, shown.payment), ...describeWorkflow(paint, shown)]),
            '',
            ...describeReview(paint, shown.payment),
            paint('bold', 'Timeline (UTC)'),
            timeline(paint, shown),
          ].join('\n'),
        );
      },
    },
    {
      name: 'dossier',
      summary: 'write a zip that proves one payment to anyone',
      description:
        "Writes what Alipay signed of a payment, its signatures, Alipay's public key and the timeline into a zip, for an " +
        "accountant or a dispute. You can verify it with openssl; its README says how. It contains the buyer's data: only you can " +
        'read the file. It overwrites no file.',
      arguments: [OUT_TRADE_NO],
      options: [new Option('--out <file>', 'the file to write; default: dossier-<outTradeNo>.zip')],
      examples: ['payment dossier A1001x1', 'payment dossier A1001x1 --out /tmp/a.zip --json | jq .pieces'],
      act: async ({ payments }, outTradeNo: string, { out }: { out?: string }) =>
        answer(await writeDossier(payments, outTradeNo, out), describeDossier),
    },
    {
      name: 'check',
      summary: 'ask Alipay about one payment now',
      description:
        'Asks Alipay now and records the answer. It does not use up a scheduled check. Exit code 5: Alipay gave ' +
        'no reliable answer; the scheduled checks continue.',
      arguments: [OUT_TRADE_NO],
      examples: ['payment check A1001x1', 'payment check A1001x1 --json | jq -r .lastAnswer'],
      act: async ({ payments }, outTradeNo: string) => {
        const state = await payments.checkNow(outTradeNo);
        return isUnanswered(state)
          ? answer(state, describeUnanswered, EXIT.dependencyDown)
          : answer(state, describeState);
      },
    },
    {
      name: 'list',
      summary: 'payments, newest first',
      options: listOptions(STATUSES),
      examples: [
        'payment list --status REVIEW',
        'payment list --order A-1001',
        'payment list --limit 1000 --json',
      ],
      act: async ({ payments }, { order: orderId, ...filter }: ListOptions<StoredPaymentStatus>) =>
        answer(await payments.payments({ ...filter, orderId }), paymentTable),
    },
    {
      name: 'refund',
      summary: 'refund a payment, in full or in part',
      description:
        'Refunds what is left of a payment, whether it is PAID or in REVIEW. Alipay is asked first: a payment that it ' +
        'did not receive is not refunded (exit code 4). The payment is REFUNDING, and REFUNDED once Alipay has proven ' +
        'it; `payment show` shows which.\n\n' +
        'With --amount and --refund-id, refunds a part of the payment that paid its order; the payment stays PAID, and ' +
        '`refund show` shows when the refund is DONE. If the command fails, repeat it with the same --refund-id: the money goes back once. ' +
        'Alipay shows the reason to the buyer. Without --amount, only the shop sees it.',
      arguments: [OUT_TRADE_NO],
      options: [
        new Option('--amount <yuan>', 'how much to refund, like 3.00; with --refund-id'),
        new Option('--refund-id <id>', 'with --amount: your own number for this refund, like R-17'),
        ...WHO_AND_WHY,
      ],
      examples: [
        'payment refund A1001x1 --reason "the tea arrived broken"',
        'payment refund A1001x1 --amount 3.00 --refund-id R-17 --reason "one cup was broken"',
        'payment refund A1001x1 --reason "sold out" --actor li --json',
      ],
      act: async ({ payments }, outTradeNo: string, { amount, refundId, actor, reason }: RefundOptions) => {
        if (amount === undefined && refundId === undefined) {
          const decision = { to: 'REFUNDING', actor, reason } as const;
          return answer(await payments.resolveReview(outTradeNo, decision), describeState);
        }
        if (amount === undefined || refundId === undefined) {
          throw new PaymentError(
            'INVALID_INPUT',
            'give --amount and --refund-id together to refund a part, or neither to refund all that is left',
          );
        }
        const { orderId } = await payments.payment(outTradeNo);
        await assertPaidBy(payments, orderId, outTradeNo);
        const refund = { orderId, refundId, amount, reason, actor };
        return answer(await payments.refund(refund), describeRefund);
      },
    },
  ],
};

/** Only the payment that paid its order is refunded in part; any other one is refunded in full automatically. */
async function assertPaidBy(payments: CliPayments, orderId: string, outTradeNo: string): Promise<void> {
  const { paidBy } = await payments.order(orderId);
  if (paidBy === outTradeNo) return;
  throw new PaymentError(
    'ORDER_NOT_PAID',
    `Order ${orderId} was not paid by ${outTradeNo}${paidBy === null ? '' : `, but by ${paidBy}`}.`,
  );
}

function describeDossier(paint: Paint, { file, pieces, pruned }: Dossier): string {
  return fields(paint, [
    ['Written', file],
    ['Signed by Alipay', String(pieces)],
    ['Pruned', pruned > 0 ? String(pruned) : undefined],
  ]);
}

/** A payment's state, as its workflow reports it. */
export function describeState(paint: Paint, state: PaymentState): string {
  const shown = fields(paint, [
    ['Payment', state.outTradeNo],
    ['Status', status(paint, state.status)],
    // If the money went back outside Alipay, Alipay still says that it is paid.
    ['Alipay says', state.status === 'REFUNDED' ? undefined : state.lastAnswer],
    ['Next check', when(state.nextCheckAt)],
  ]);
  // Alipay may still refuse the refund.
  return state.status === 'REFUNDING'
    ? `${shown}\n${next(paint, `payment show ${state.outTradeNo}`)}`
    : shown;
}

/** For a settled payment Alipay was not asked: its last answer is an old one. */
const isUnanswered = ({ status: is, lastAnswer }: PaymentState): boolean =>
  lastAnswer === 'unknown' && ['UNPAID', 'UNCONFIRMED', 'CLOSED'].includes(is);

const describeUnanswered = (paint: Paint, state: PaymentState): string =>
  `${describeState(paint, state)}\nAlipay gave no reliable answer. Try again; if this persists, run where the worker runs:\n` +
  next(paint, 'doctor');

/** What is known about a payment's workflow. */
interface WorkflowView {
  state?: PaymentState;
  runs?: PaymentRun[];
  /** Why Temporal could not be asked. */
  unreachable?: string;
}

/** The row is worth showing even while Temporal is down: that is when people look. */
async function readWorkflow(payments: CliPayments, outTradeNo: string): Promise<WorkflowView> {
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

/** What a person may decide about a payment in review. */
export const CHOICES: readonly string[] = [
  "  PAID       the money is the order's",
  '  REFUNDING  refund all that is left now; the buyer does not see the reason',
  '  REFUNDED   it was returned in the merchant portal or, with --outside, outside Alipay, which no longer refunds it',
  '  CLOSED     no money came; a trade that the buyer could still pay is closed at Alipay first',
];

function describeReview(paint: Paint, row: Payment): string[] {
  if (!isInReview(row)) return [];
  const { outTradeNo, reviewReason } = row;
  const why = reviewReason === null ? 'no reason is recorded.' : reasonInWords(reviewReason) || reviewReason;
  return [
    `${paint('bold', 'A person must decide:')} ${why}`,
    ...CHOICES,
    next(paint, `review resolve ${outTradeNo} --to <status> --reason "…"`),
    '',
  ];
}

function describeWorkflow(
  paint: Paint,
  { state, runs = [], unreachable }: WorkflowView,
): [string, string | null | undefined][] {
  if (!state) return [['Workflow', paint('red', `unavailable: ${unreachable ?? ''}`)]];
  const answer = state.lastAnswer === null ? 'no answer from Alipay yet' : `last answer: ${state.lastAnswer}`;
  const checks = `${state.checks} ${state.checks === 1 ? 'check' : 'checks'}`;
  return [
    ['Workflow', `${paymentWorkflowId(state.outTradeNo)} ${runs.at(-1)?.status ?? 'no longer kept'}`],
    ['State', `${status(paint, state.status)}, ${checks}, ${answer}`],
    ['Next check', when(state.nextCheckAt)],
  ];
}
