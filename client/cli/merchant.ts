import type { Command } from 'commander';
import type { ListedMerchant } from '../payment-client';
import { answer, askWhoAndWhy, examples } from './command';
import type { Answering, WhoAndWhy } from './command';
import { fields, table, when } from './screen';
import type { Paint } from './screen';

export function addMerchant(program: Command, answering: Answering): void {
  const merchant = program
    .command('merchant')
    .summary('whose payments these are: list the merchants, correct a seller id')
    .addHelpText(
      'after',
      examples(
        'merchant list',
        'merchant set 2021000000000000/2088000000000000 --seller-id 2088000000000001 --reason "typing error"',
      ),
    );
  addList(merchant, answering);
  addSet(merchant, answering);
}

function addList(merchant: Command, answering: Answering): void {
  merchant
    .command('list')
    .summary('every merchant of this database')
    .description(
      'Lists the merchants whose orders are in this database. A process asks Alipay only about payments of the merchant ' +
        'that it is configured with (ALIPAY_APP_ID and ALIPAY_SELLER_ID): HERE says which one that is.',
    )
    .addHelpText(
      'after',
      examples('merchant list', `merchant list --json | jq -r '.[] | select(.configured | not) | .id'`),
    )
    .action(
      answering(async (payments) => {
        return answer(await payments.merchants(), merchantTable);
      }),
    );
}

function addSet(merchant: Command, answering: Answering): void {
  const set = merchant
    .command('set')
    .summary('correct the seller id of a merchant')
    .description(
      'Gives all orders and payments of a merchant to the same app with another seller id. First set ALIPAY_SELLER_ID in ' +
        'every process, and start them again. It is safe to repeat: an interrupted one goes on.',
    )
    .argument('<id>', 'appId/sellerId, as `merchant list` shows it')
    .requiredOption('--seller-id <id>', 'the right one');
  askWhoAndWhy(set)
    .addHelpText(
      'after',
      examples(
        'merchant set 2021000000000000/2088000000000000 --seller-id 2088000000000001 --reason "typing error"',
      ),
    )
    .action(
      answering(async (payments, id: string, options: WhoAndWhy & { sellerId: string }) => {
        const { sellerId, actor, reason } = options;
        const corrected = await payments.correctMerchant({ id, sellerId, actor, reason });
        return answer(corrected, (paint, shown) =>
          fields(paint, [
            ['Merchant', shown.to],
            ['Before', shown.from],
            ['Orders', String(shown.orders)],
            ['Payments', String(shown.payments)],
          ]),
        );
      }),
    );
}

function merchantTable(paint: Paint, merchants: readonly ListedMerchant[]): string {
  if (merchants.length === 0) return 'no merchant yet: the first order registers its own';
  return table(
    paint,
    ['MERCHANT', 'HERE', 'OPEN PAYMENTS', 'GATEWAY', 'REGISTERED', 'CORRECTED TO'],
    merchants.map((m) => [
      m.id,
      m.configured ? paint('green', 'yes') : paint('yellow', 'no'),
      String(m.openPayments),
      m.gateway,
      when(m.registeredAt) ?? '',
      m.correctedTo ?? '-',
    ]),
  );
}
