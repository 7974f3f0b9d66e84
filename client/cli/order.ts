import type { Command } from 'commander';
import { parseCloseInput, parseOrderId } from '../input';
import { redact } from '../../worker/log';
import type { PaymentClient } from '../payment-client';
import { answer, askWhoAndWhy, examples } from './command';
import type { Answering, WhoAndWhy } from './command';
import { paymentTable } from './payment';
import { fields, status, when } from './screen';
import type { Paint } from './screen';

type Order = Awaited<ReturnType<PaymentClient['order']>>;

export function addOrder(program: Command, answering: Answering): void {
  const order = program
    .command('order')
    .summary('look at an order, or close it')
    .addHelpText('after', examples('order show A-1001', 'order close A-1001 --reason "sold out"'));
  addShow(order, answering);
  addClose(order, answering);
}

function addShow(order: Command, answering: Answering): void {
  order
    .command('show')
    .summary('one order and its payments')
    .argument('<orderId>', "the shop's id of the order")
    .addHelpText('after', examples('order show A-1001', 'order show A-1001 --json | jq .order.status'))
    .action(
      answering(async (payments, given: string) => {
        const orderId = parseOrderId(given);
        const [found, itsPayments] = await Promise.all([
          payments.order(orderId),
          payments.payments({ orderId }),
        ]);
        return answer(redact({ order: found, payments: itsPayments }), (paint, shown) =>
          [describeOrder(paint, shown.order), '', paymentTable(paint, shown.payments)].join('\n'),
        );
      }),
    );
}

function addClose(order: Command, answering: Answering): void {
  const close = order
    .command('close')
    .summary('close an unpaid order, at Alipay first')
    .description(
      'Closes an unpaid order and its payments. What Alipay was paid for is never closed: exit code 4. So is one ' +
        'that cannot be closed yet (ORDER_HELD): the sweep closes it when it can.',
    )
    .argument('<orderId>', "the shop's id of the order");
  askWhoAndWhy(close)
    .addHelpText(
      'after',
      examples(
        'order close A-1001 --reason "the buyer called it off"',
        'order close A-1001 --reason "sold out" --actor li --json | jq -r .status',
      ),
    )
    .action(
      answering(async (payments, orderId: string, options: WhoAndWhy) => {
        const closed = await payments.closeOrder(parseCloseInput({ orderId, ...options }));
        return answer(closed, describeOrder);
      }),
    );
}

function describeOrder(paint: Paint, order: Order): string {
  return fields(paint, [
    ['Order', order.id],
    ['Status', status(paint, order.status)],
    ['Subject', order.subject],
    ['Amount', order.totalAmount],
    ['Closed by', order.closeBy === 'timer' ? "its payment's timer" : 'the sweep'],
    ['Created', when(order.createdAt)],
    ['Expires', when(order.expiresAt)],
    ['Paid', when(order.paidAt)],
    ['Closed', when(order.closedAt)],
  ]);
}
