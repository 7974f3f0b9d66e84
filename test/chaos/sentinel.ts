import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../dev/wait-for';
import type { Chance } from './chance';
import type { World } from './world';

const ORDER = 'sentinel';
const OUT_TRADE_NO = 'sentinel_a';

/** Pays an order before anything breaks: it must stay as it is to the end. Returns its id. */
export async function paySentinel({ history, alipay, payments }: World): Promise<string> {
  const order = {
    orderId: ORDER,
    outTradeNo: OUT_TRADE_NO,
    subject: 'A pot of tea',
    totalAmount: '88.00',
    expiresIn: '1h',
  };
  const { body } = await history.post('/checkout', { orderId: ORDER, outTradeNo: OUT_TRADE_NO }, order);
  await alipay.open(String(body['paymentUrl']));
  await alipay.pay(OUT_TRADE_NO);
  await waitFor(async () => (await payments.order(ORDER)).status === 'PAID', {
    what: 'the sentinel to be PAID',
    timeoutMs: 60_000,
  });
  return ORDER;
}

/** Tries on it, until stopped, everything that anyone could try; each try may fail, none may change it. */
export function pesterSentinel(
  { history, alipay, payments }: World,
  chance: Chance,
): { tried: Map<string, number>; stop(): Promise<void> } {
  const tried = new Map<string, number>();
  const stopping = new AbortController();
  const ids = { orderId: ORDER, outTradeNo: OUT_TRADE_NO };
  const trials: Record<string, () => Promise<unknown>> = {
    'closed by the shop': () =>
      history.post(`/orders/${ORDER}/close`, { orderId: ORDER }, { ifPaidLater: 'refund' }),
    'checked out again': () =>
      history.post('/checkout', ids, { ...ids, subject: 'A pot of tea', totalAmount: '88.00' }),
    'notified again': () => alipay.notify(OUT_TRADE_NO),
    'notified by a forger': () =>
      alipay.forge(chance.one(['bad-signature', 'wrong-seller-id'] as const), OUT_TRADE_NO),
    'checked now': () => payments.checkNow(OUT_TRADE_NO),
    'refunded too much': () =>
      history.post(
        '/refunds',
        { orderId: ORDER, refundId: 'too-much' },
        { orderId: ORDER, refundId: 'too-much', amount: '88.01' },
      ),
  };
  const pestering = (async () => {
    while (!stopping.signal.aborted) {
      const [name, trial] = chance.one(Object.entries(trials));
      await trial().catch(() => undefined);
      tried.set(name, (tried.get(name) ?? 0) + 1);
      await sleep(2_000, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    tried,
    stop: async () => {
      stopping.abort();
      await pestering;
    },
  };
}
