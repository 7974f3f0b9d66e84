import { Argument, Option } from 'commander';
import type { ListedMerchant } from '../index';
import type { CliGroup, WhoAndWhy } from './command';
import { WHO_AND_WHY, answer } from './command';
import { fields, tableOf, when } from './screen';

const merchantTable = tableOf<ListedMerchant>(
  {
    MERCHANT: ({ id }) => id,
    HERE: ({ configured }, paint) => (configured ? paint('green', 'yes') : paint('yellow', 'no')),
    'OPEN PAYMENTS': ({ openPayments }) => String(openPayments),
    GATEWAY: ({ gateway }) => gateway,
    REGISTERED: ({ registeredAt }) => when(registeredAt),
    'CORRECTED TO': ({ correctedTo }) => correctedTo,
  },
  'no merchant yet: the first order registers its own',
);

export const MERCHANT: CliGroup = {
  name: 'merchant',
  summary: 'list the merchants, correct a seller id',
  commands: [
    {
      name: 'list',
      summary: 'every merchant of this database',
      description:
        'Lists the merchants whose orders are in this database. A process asks Alipay only about payments of the ' +
        'merchant that it is configured with (ALIPAY_APP_ID and ALIPAY_SELLER_ID): HERE says which one that is.',
      examples: ['merchant list', `merchant list --json | jq -r '.[] | select(.configured | not) | .id'`],
      act: async ({ payments }) => answer(await payments.merchants(), merchantTable),
    },
    {
      name: 'set',
      summary: 'correct the seller id of a merchant',
      description:
        'Moves all orders and payments of a merchant to the same app with another seller id. First set ' +
        'ALIPAY_SELLER_ID in every process, and restart them. It is safe to repeat: an interrupted run continues.',
      arguments: [new Argument('<id>', 'appId/sellerId, as `merchant list` shows it')],
      options: [
        new Option('--seller-id <id>', 'the correct seller id').makeOptionMandatory(),
        ...WHO_AND_WHY,
      ],
      examples: [
        'merchant set 2021000000000000/2088000000000000 --seller-id 2088000000000001 --reason "typing error"',
      ],
      act: async ({ payments }, id: string, options: WhoAndWhy & { sellerId: string }) =>
        answer(await payments.correctMerchant({ id, ...options }), (paint, shown) =>
          fields(paint, [
            ['Merchant', shown.to],
            ['Before', shown.from],
            ['Orders', String(shown.orders)],
            ['Payments', String(shown.payments)],
          ]),
        ),
    },
  ],
};
