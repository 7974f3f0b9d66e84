import type { CloseBy } from '../../workflows/messages';
import { parseCloseInput } from '../input';
import type { Order, OrderMessage } from '../index';
import { Argument, Option } from 'commander';
import type { CliGroup, WhoAndWhy } from './command';
import { LIMIT, ORDER_ID, WHO_AND_WHY, answer } from './command';
import { paymentTable } from './payment';
import type { Paint } from './screen';
import { fields, status, tableOf, until, when } from './screen';

const resultTable = tableOf<OrderMessage>(
  {
    RESULT: ({ messageId }) => messageId,
    SINCE: ({ createdAt }) => when(createdAt),
    TOLD: ({ toldAt, toldBy }) => (toldBy === 'nobody' ? 'skipped' : (when(toldAt) ?? 'not yet')),
    'NEXT ATTEMPT': ({ nextAttemptAt }) => nextAttemptAt && until(nextAttemptAt),
    'LAST FAULT': ({ lastError }) => lastError,
  },
  'nothing to tell the order service yet',
);

const undeliveredTable = tableOf<OrderMessage>(
  {
    ORDER: ({ orderId }) => orderId,
    RESULT: ({ messageId }) => messageId,
    SINCE: ({ createdAt }) => when(createdAt),
    'NEXT ATTEMPT': ({ nextAttemptAt }) => nextAttemptAt && until(nextAttemptAt),
    'LAST FAULT': ({ lastError }) => lastError,
  },
  'no undelivered results',
);

export const ORDER: CliGroup = {
  name: 'order',
  summary: 'look at an order, close it, or resend its results',
  commands: [
    {
      name: 'show',
      summary: 'one order, its payments, and what its order service was told',
      arguments: [ORDER_ID],
      examples: ['order show A-1001', 'order show A-1001 --json | jq .order.status'],
      act: async ({ payments }, orderId: string) => {
        const [order, ofOrder, results] = await Promise.all([
          payments.order(orderId),
          payments.payments({ orderId }),
          payments.results(orderId),
        ]);
        return answer({ order, payments: ofOrder, results }, (paint, shown) =>
          [
            describeOrder(paint, shown.order),
            paymentTable(paint, shown.payments),
            resultTable(paint, shown.results),
          ].join('\n\n'),
        );
      },
    },
    {
      name: 'undelivered',
      summary: 'results that the order service has not taken, oldest first',
      options: [LIMIT],
      examples: ['order undelivered', 'order undelivered --limit 1000 --json | jq -r .[].orderId'],
      act: async ({ payments }, options: { limit: number }) =>
        answer(await payments.undelivered(options), undeliveredTable),
    },
    {
      name: 'close',
      summary: 'close an unpaid order, at Alipay first',
      description:
        'Closes an unpaid order and its payments. An order that was paid at Alipay is never closed: exit code 4. Exit ' +
        'code 4 also means that it cannot be closed yet (ORDER_HELD), because its cashier page may still be open: the ' +
        'sweep closes it when it can. With `--if-paid-later refund` it is closed now, and money paid on the page is refunded. ' +
        'Exit code 5: Alipay gave no reliable answer, and the order is still open.',
      arguments: [ORDER_ID],
      options: [
        new Option('--if-paid-later <what>', 'close it even if its cashier page may be open').choices([
          'refund',
        ]),
        ...WHO_AND_WHY,
      ],
      examples: [
        'order close A-1001 --reason "the buyer cancelled"',
        'order close A-1001 --reason "sold out" --actor li --json | jq -r .status',
      ],
      act: async ({ payments }, orderId: string, options: WhoAndWhy) =>
        answer(await payments.closeOrder(parseCloseInput({ orderId, ...options })), describeOrder),
    },
    {
      name: 'resend',
      summary: 'resend its results to the order service',
      description:
        'Makes the next follow-up, within 30 s, send the results of an order, or one of them, again. Their ids stay the ' +
        'same, so an order service that has acted on them does not act again. Its Retry-After no longer counts. A skipped ' +
        'result, which the order service never took, is sent only with --message.',
      arguments: [ORDER_ID],
      options: [new Option('--message <id>', 'only this result, as `order show` lists it'), ...WHO_AND_WHY],
      examples: [
        'order resend A-1001 --reason "the shop lost it"',
        'order resend A-1001 --message PAID-A1001x1 --reason "it was skipped by mistake"',
      ],
      act: async ({ payments }, orderId: string, { message, ...options }: WhoAndWhy & { message?: string }) =>
        answer(await payments.resendResults({ orderId, messageId: message, ...options }), resultTable),
    },
    {
      name: 'skip',
      summary: 'give up on one of its results',
      description:
        'Gives up on a result that the order service does not take, so that later results of the order are told. A person must ' +
        'then do in the shop what it said. For a minute after the result was last sent this is refused, because the ' +
        'order service may still act on it: exit code 5. If it was already taken, this is refused: exit code 4.',
      arguments: [ORDER_ID, new Argument('<messageId>', 'the result, as `order show` lists it')],
      options: WHO_AND_WHY,
      examples: ['order skip A-1001 PAID-A1001x1 --reason "booked by hand"'],
      act: async ({ payments }, orderId: string, messageId: string, options: WhoAndWhy) =>
        answer(await payments.skipResult({ orderId, messageId, ...options }), resultTable),
    },
  ],
};

const CLOSED_BY: Record<CloseBy, string> = {
  sweep: 'closed by the sweep',
  timer: "closed by its payment's timer",
};

function describeOrder(paint: Paint, order: Order): string {
  return fields(paint, [
    ['Order', order.id],
    ['Status', status(paint, order.status)],
    ['Subject', order.subject],
    ['Amount', order.totalAmount],
    ['Refunded', Number(order.refundedAmount) === 0 ? undefined : order.refundedAmount],
    ['At expiry', order.status === 'UNPAID' ? CLOSED_BY[order.closeBy] : undefined],
    ['Created', when(order.createdAt)],
    ['Expires', when(order.expiresAt)],
    ['Paid', when(order.paidAt)],
    ['Closed', when(order.closedAt)],
  ]);
}
