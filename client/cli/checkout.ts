import { InvalidArgumentError, Option } from 'commander';
import { PRODUCTS, parseCheckoutInput } from '../input';
import type { CliCommand } from './command';
import { ORDER_ID, unredacted } from './command';
import { fields } from './screen';

/** @throws InvalidArgumentError */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('It is not JSON.');
  }
}

export const CHECKOUT: CliCommand = {
  name: 'checkout',
  summary: 'register an order if it is new, and get its payment URL',
  description:
    'Registers the order if it is new, starts the workflow that confirms its payment, and prints the address of ' +
    "Alipay's cashier. Repeating it for an unpaid order returns the same payment.",
  arguments: [ORDER_ID],
  options: [
    new Option('--amount <yuan>', 'what it costs, like 12.30').makeOptionMandatory(),
    new Option('--subject <text>', 'what the buyer reads at the cashier').makeOptionMandatory(),
    new Option('--expires-in <duration>', 'how long it may stay unpaid, like 30m (default: ORDER_TTL)'),
    new Option('--close-by <who>', 'who closes it when it expires').choices(['sweep', 'timer']),
    new Option('--out-trade-no <id>', 'use this payment number instead of a new one'),
    new Option('--product <kind>', 'the kind of cashier').choices(PRODUCTS),
    new Option('--merchant <name>', 'which merchant takes the money, by its name in MERCHANTS_FILE'),
    new Option('--buyer-open-id <id>', 'the buyer in the mini program, for jsapi'),
    new Option('--extra <json>', "Alipay's optional parameters by their own names, as an object").argParser(
      parseJson,
    ),
    new Option(
      '--reprice',
      'if the order has a different price, change it; its open payments become unusable',
    ),
  ],
  examples: [
    'checkout A-1001 --amount 12.30 --subject "Green tea"',
    'checkout A-1002 --amount 99 --subject "Concert" --expires-in 30m --close-by timer',
    'checkout A-1001 --amount 12.30 --subject "Green tea" --json | jq -r .paymentUrl',
    'checkout A-1001 --amount 9.90 --subject "Green tea" --reprice',
    `checkout A-1003 --amount 99 --subject "Phone" --product app --extra '{"extend_params": {"hb_fq_num": "3"}}'`,
  ],
  act: async ({ payments }, orderId: string, { amount, ...options }: { amount: string }) => {
    const input = parseCheckoutInput({ orderId, totalAmount: amount, ...options });
    return unredacted(await payments.checkout(input), (paint, shown) =>
      fields(paint, [
        ['Order', shown.orderId],
        ['Payment', shown.outTradeNo],
        ['Workflow', shown.workflowId],
        ['Pay at', paint('cyan', shown.paymentUrl)],
      ]),
    );
  },
};
