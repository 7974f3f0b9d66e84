import { Option } from 'commander';
import type { Command } from 'commander';
import type { CloseBy, Product } from '../../workflows/messages';
import { parseCheckoutInput } from '../input';
import { answer, examples } from './command';
import type { Answering } from './command';
import { fields } from './screen';

interface CheckoutOptions {
  amount: string;
  subject: string;
  expiresIn?: string;
  closeBy?: CloseBy;
  outTradeNo?: string;
  product?: Product;
}

export function addCheckout(program: Command, answering: Answering): void {
  program
    .command('checkout')
    .summary('register an order if it is new, and get the address where it is paid')
    .description(
      'Registers the order if it is new, starts the workflow that confirms its payment, and prints the address of ' +
        "Alipay's cashier. Repeating it for an unpaid order gives the same payment again.",
    )
    .argument('<orderId>', "the shop's id of the order: letters, digits, _ and -")
    .requiredOption('--amount <yuan>', 'what it costs, like 12.30')
    .requiredOption('--subject <text>', 'what the buyer reads at the cashier')
    .option('--expires-in <duration>', 'how long it may stay unpaid, like 30m (default: ORDER_TTL)')
    .addOption(new Option('--close-by <who>', 'who closes it when it expires').choices(['sweep', 'timer']))
    .option('--out-trade-no <id>', 'use this payment number instead of a new one')
    .addOption(new Option('--product <kind>', 'the kind of cashier').choices(['page', 'wap', 'precreate']))
    .addHelpText(
      'after',
      examples(
        'checkout A-1001 --amount 12.30 --subject "Green tea"',
        'checkout A-1002 --amount 99 --subject "Concert" --expires-in 30m --close-by timer',
        'checkout A-1001 --amount 12.30 --subject "Green tea" --json | jq -r .paymentUrl',
      ),
    )
    .action(
      answering(async (payments, orderId: string, { amount, ...options }: CheckoutOptions) => {
        const checkout = await payments.checkout(
          parseCheckoutInput({ orderId, totalAmount: amount, ...options }),
        );
        return answer(checkout, (paint, { orderId: order, outTradeNo, workflowId, paymentUrl }) =>
          fields(paint, [
            ['Order', order],
            ['Payment', outTradeNo],
            ['Workflow', workflowId],
            ['Pay at', paint('cyan', paymentUrl)],
          ]),
        );
      }),
    );
}
