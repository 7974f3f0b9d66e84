import { afterAll, beforeAll, describe, it } from '@jest/globals';
import type { CheckoutInput } from '../../client/index';
import { PaymentError } from '../../client/index';
import { Refusal } from '../../sandbox';
import { Hands, expectLedgerRules, openShop } from '../support';
import type { Shop } from '../support';

// Truly at once: the buyer pays, the sweep closes, another tab checks out, the price changes, the notification arrives.
// Each race has one winner, and what the others did is corrected. RACES=5000 runs more of them.
const RACES = Number(process.env['RACES'] ?? 1_000);
const AT_THE_SAME_TIME = 4;

let shop: Shop;
let hands: Hands;

beforeAll(async () => {
  shop = await openShop(__filename, {
    queues: [],
    // A call that times out on a stalled machine would look like rest to `settle`.
    alipay: { timeoutMs: 30_000 },
  });
  hands = new Hands(shop);
});
afterAll(() => shop.close());

async function checkOut(
  orderId: string,
  outTradeNo: string,
  price: Pick<CheckoutInput, 'totalAmount' | 'reprice'> = { totalAmount: '12.30' },
): Promise<void> {
  const { paymentUrl } = await shop.payments.checkout({
    orderId,
    outTradeNo,
    subject: 'A pot of tea',
    ...price,
  });
  await shop.alipay.control.open(paymentUrl);
}

/** Most contenders lose their race. */
async function contend(act: () => Promise<unknown>): Promise<void> {
  await act().catch((error: unknown) => {
    const lost =
      error instanceof Refusal ||
      (error instanceof PaymentError && (error.status === 409 || error.status === 503));
    if (!lost) throw error;
  });
}

async function race(number: number): Promise<void> {
  const orderId = `order-${number}`;
  const [first, second, third] = [`a${number}`, `b${number}`, `c${number}`];
  const { control } = shop.alipay;
  await checkOut(orderId, first);
  await control.scan(first);
  const contenders = [
    () => control.pay(first, { notify: false }),
    () => hands.cancel(orderId),
    () => checkOut(orderId, second).then(() => control.pay(second, { notify: false })),
    () =>
      control
        .pay(first, { notify: false })
        .then(() => control.notify(first))
        .then(() => hands.hear(first)),
    () => hands.check(first),
    () =>
      checkOut(orderId, third, { totalAmount: '9.90', reprice: true }).then(() =>
        control.pay(third, { notify: false }),
      ),
  ];
  // Which one starts first changes from race to race; the rest is up to the machine.
  const start = number % contenders.length;
  const order = [...contenders.slice(start), ...contenders.slice(0, start)];
  await Promise.all(order.map(contend));
  await expectLedgerRules(shop, orderId, await hands.settle(orderId));
}

describe('pay, cancel, a second checkout, another price, a notification and a check, all at once', () => {
  it(`leave one winner, ${RACES} times`, async () => {
    let next = 0;
    const runner = async (): Promise<void> => {
      while (next < RACES) {
        next += 1;
        await race(next);
      }
    };
    await Promise.all(Array.from({ length: AT_THE_SAME_TIME }, runner));
  }, 1_800_000);
});
