import { Argument, Option } from 'commander';
import type { RefundStatus, ResolveRefund } from '../../workflows/messages';
import { REFUND_OUTCOMES } from '../input';
import type { RefundView } from '../index';
import type { CliGroup, ListOptions, WhoAndWhy } from './command';
import { WHO_AND_WHY, answer, listOptions } from './command';
import type { Paint } from './screen';
import { distance, fields, status, tableOf, when } from './screen';

const STATUSES: RefundStatus[] = ['REQUESTED', 'DONE', 'REFUSED', 'REVIEW'];

const REFUND_ID = new Argument('<refundId>', 'the number of the refund');

const refundTable = tableOf<RefundView>(
  {
    REFUND: ({ refundId }) => refundId,
    ORDER: ({ orderId }) => orderId,
    PAYMENT: ({ outTradeNo }) => outTradeNo,
    AMOUNT: ({ amount }) => amount,
    STATUS: (refund, paint) => status(paint, refund.status),
    BECAUSE: ({ because, waitsFor }) => because ?? waitsFor ?? '',
    KIND: ({ kind }) => kind,
    AGE: ({ requestedAt }) => distance(requestedAt),
  },
  'no refunds',
);

export const REFUND: CliGroup = {
  name: 'refund',
  summary: 'list refunds, look at one, decide one',
  commands: [
    {
      name: 'list',
      summary: 'refunds, newest first',
      options: listOptions(STATUSES),
      examples: ['refund list --status REVIEW', 'refund list --order A-1001 --json'],
      act: async ({ payments }, { order: orderId, ...filter }: ListOptions<RefundStatus>) =>
        answer(await payments.refunds({ ...filter, orderId }), refundTable),
    },
    {
      name: 'show',
      summary: 'one refund: where it stands',
      arguments: [REFUND_ID],
      examples: ['refund show R-17', 'refund show R-17 --json | jq -r .status'],
      act: async ({ payments }, refundId: string) =>
        answer(await payments.refundStatus(refundId), describeRefund),
    },
    {
      name: 'resolve',
      summary: 'decide what became of a refund in review',
      description: [
        'Carries out a decision. Alipay is asked first, and a decision that contradicts its answer is refused (exit code 4):',
        '  DONE     it was made',
        "  REFUSED  it was not made, and is not sent again. This also withdraws a shop's refund that was never sent;",
        '           Alipay is then not asked',
      ].join('\n'),
      arguments: [REFUND_ID],
      options: [
        new Option('--to <status>', 'its new status').choices(REFUND_OUTCOMES).makeOptionMandatory(),
        ...WHO_AND_WHY,
      ],
      examples: [
        'refund resolve R-17 --to REFUSED --reason "not in the portal"',
        'refund resolve R-17 --to DONE --reason "seen in the portal" --actor li --json',
      ],
      act: async ({ payments }, refundId: string, decision: WhoAndWhy & Pick<ResolveRefund, 'to'>) =>
        answer(await payments.resolveRefund(refundId, decision), describeRefund),
    },
  ],
};

const WAITS: Readonly<Record<string, string>> = {
  REFUNDS_PAUSED: 'the end of a pause: durable-alipay pause list',
  ALIPAY_UNKNOWN: 'a usable answer from Alipay: durable-alipay doctor',
  REFUND_NOT_PROVEN: "Alipay's proof that it was made",
};

const waitsFor = ({ waitsFor: code }: RefundView): string =>
  code === null ? 'its turn; if that takes minutes: durable-alipay doctor' : (WAITS[code] ?? code);

/** One refund, field by field. */
export function describeRefund(paint: Paint, refund: RefundView): string {
  return fields(paint, [
    ['Refund', refund.refundId],
    ['Status', status(paint, refund.status)],
    ['Because', refund.because && paint('red', refund.because)],
    ['Waits for', refund.status === 'REQUESTED' ? waitsFor(refund) : undefined],
    ['Amount', refund.amount],
    ['Order', refund.orderId],
    ['Payment', refund.outTradeNo],
    ['Requested by', `${refund.requestedBy} (${refund.kind})`],
    ['Reason', refund.reason],
    ['Requested', when(refund.requestedAt)],
    ['Done', when(refund.doneAt)],
  ]);
}
