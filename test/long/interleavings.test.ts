import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readEvidence } from '../../activities/evidence';
import { storeAnswer } from '../../activities/payments';
import type { Database } from '../../db/connect';
import {
  closeOrderWithPayments,
  openPayment,
  recordEvidence,
  recordReview,
  requestRefund,
} from '../../db/ledger';
import { PaymentError } from '../../workflows/errors';
import { check, readFacts } from '../chaos/checker';
import type { Violation } from '../chaos/checker';
import type { Outcome } from '../chaos/interleave';
import { Interleaver } from '../chaos/interleave';
import type { Shop } from '../support';
import { openShop } from '../support';

// The ledger's transactions, two or three of them on one order, statement by statement in every possible order; then
// the same without the order's lock, where the same rules must find what the lock is for.

let shop: Shop;
beforeAll(async () => {
  // Each of some thousand queries is sent only once.
  shop = await openShop(__filename, { queues: [], alipay: { timeoutMs: 20_000 } });
});
afterAll(() => shop.close());

/** The order that all actors work on; the first payment was paid, or both were. */
class Scene {
  static #scenes = 0;
  readonly orderId = `order-${(Scene.#scenes += 1)}`;
  readonly first = `${this.orderId}_a`.replace('-', '_');
  readonly second = `${this.orderId}_b`.replace('-', '_');

  /** A payment; with `paid`, Alipay has said that it is paid, which is not recorded yet. */
  async open(outTradeNo: string, { paid }: { paid: boolean }): Promise<void> {
    const { paymentUrl } = await shop.payments.checkout({
      ...{ orderId: this.orderId, outTradeNo, subject: 'A pot of tea', totalAmount: '12.30' },
    });
    await shop.alipay.control.open(paymentUrl);
    await shop.alipay.control.scan(outTradeNo);
    // The query that whatever closes it has made.
    await shop.gateway.query(outTradeNo);
    if (!paid) return;
    await shop.alipay.control.pay(outTradeNo, { notify: false });
    await storeAnswer(shop.db, outTradeNo, 0, await shop.gateway.query(outTradeNo));
  }

  /** The order is PAID by the first payment. */
  async settle(): Promise<void> {
    await record(shop.db, this.first);
  }

  /** The first payment is in REVIEW: Alipay took another amount. */
  async putInReview(): Promise<void> {
    await shop.sql(
      `UPDATE payments SET status = 'REVIEW', review_reason = 'amount differs' WHERE out_trade_no = :first`,
      {
        first: this.first,
      },
    );
    await shop.sql(
      `INSERT INTO payment_events (out_trade_no, actor, event, detail) VALUES (:first, 'query', 'review', '{}')`,
      { first: this.first },
    );
    await shop.sql(`UPDATE evidence SET recorded_at = now() WHERE out_trade_no = :first`, {
      first: this.first,
    });
  }
}

const record = (db: Database, outTradeNo: string) =>
  recordEvidence(db, outTradeNo, { read: readEvidence, policy: 'refund', brakeFen: null });

/** What can be done to an order, each in its own transaction. */
const DEEDS = {
  record: (db, { first }) => record(db, first),
  'record the other': (db, { second }) => record(db, second),
  /** The first was not paid when Alipay was queried. */
  close: (db, { orderId, first }) =>
    closeOrderWithPayments(db, {
      ...{ orderId, actor: 'sweep', reason: 'expired' },
      asked: [{ outTradeNo: first, recheckInMs: null }],
    }),
  checkout: (db, { orderId, second }) =>
    openPayment(db, {
      ...{ orderId, outTradeNo: second, newOutTradeNo: second, product: 'page', marginMs: 1_000 },
      totalAmount: '12.30',
      merchant: shop.gateway.settings,
      plan: { firstCheckInMs: 60_000, slowChecksMs: [] },
    }),
  refund: (db, { orderId }) => refund(db, orderId, '8.00'),
  'refund again': (db, { orderId }) => refund(db, orderId, '8.01'),
  resolve: (db, { first }) =>
    recordReview(
      db,
      { outTradeNo: first, to: 'PAID', actor: 'anna', reason: 'it is right' },
      {
        fresh: {
          answer: 'paid',
          tradeStatus: 'TRADE_SUCCESS',
          wasPaid: true,
          totalAmount: '12.30',
          isRefunded: false,
        },
        ...{ tradeNo: '2026', recheckInMs: null },
      },
    ),
} satisfies Record<string, (db: Database, scene: Scene) => Promise<unknown>>;

type Deed = keyof typeof DEEDS;

const refund = (db: Database, orderId: string, amount: string) =>
  requestRefund(db, {
    ...{ orderId, refundId: `${orderId}-${amount}`, amount, reason: 'faulty', requestedBy: 'shop' },
    merchants: [`${shop.alipay.appId}/${shop.alipay.sellerId}`],
  });

/** These rules hold only later: nothing is told or refunded here, and nothing queries Alipay. */
const LATER = new Set([
  'told means acted on',
  'success is owed',
  'money is found soon',
  'refunds are proven, once each',
]);

interface Case {
  deeds: readonly Deed[];
  prepare: (scene: Scene) => Promise<void>;
}

const paidAtAlipay = (scene: Scene) => scene.open(scene.first, { paid: true });
const bothPaid = async (scene: Scene): Promise<void> => {
  await scene.open(scene.second, { paid: true });
  await paidAtAlipay(scene);
};
const settled = async (scene: Scene): Promise<void> => {
  await paidAtAlipay(scene);
  await scene.settle();
};
const inReview = async (scene: Scene): Promise<void> => {
  await bothPaid(scene);
  await scene.putInReview();
};

const unpaid = (scene: Scene) => scene.open(scene.first, { paid: false });

const PAIRS: readonly Case[] = [
  { deeds: ['record', 'close'], prepare: paidAtAlipay },
  { deeds: ['record', 'record the other'], prepare: bothPaid },
  { deeds: ['record', 'checkout'], prepare: paidAtAlipay },
  { deeds: ['close', 'checkout'], prepare: unpaid },
  { deeds: ['refund', 'refund again'], prepare: settled },
  { deeds: ['resolve', 'record the other'], prepare: inReview },
  { deeds: ['resolve', 'close'], prepare: inReview },
];

const TRIPLES: readonly Case[] = [
  { deeds: ['record', 'close', 'checkout'], prepare: paidAtAlipay },
  { deeds: ['record', 'record the other', 'close'], prepare: bothPaid },
  { deeds: ['refund', 'refund again', 'checkout'], prepare: settled },
  { deeds: ['resolve', 'record the other', 'checkout'], prepare: inReview },
];

/** How many orders of three actors at most: each takes a tenth of a second on a busy machine. */
const MOST = Number(process.env['INTERLEAVINGS'] ?? 40);

interface Find {
  order: string;
  what: string;
}

/** Takes one case through its orders; returns how many there were, and each that broke a rule. */
async function explore(
  { deeds, prepare }: Case,
  how: { withoutLock?: boolean; most?: number; once?: boolean } = {},
): Promise<{ orders: Set<string>; finds: Find[] }> {
  let scene = new Scene();
  const actors = deeds.map((name) => ({ name, act: (db: Database) => DEEDS[name](db, scene) }));
  const interleaver = await Interleaver.open(actors, shop.databaseUrl, how);
  const orders = new Set<string>();
  const finds: Find[] = [];
  const before = async (): Promise<void> => {
    await forget();
    scene = new Scene();
    await prepare(scene);
  };
  const after = async (outcome: Outcome): Promise<void> => {
    const order = outcome.order.join(', ');
    orders.add(order);
    for (const what of await judge(outcome)) finds.push({ order, what });
  };
  try {
    if (how.once) await interleaver.interrupted(before, after);
    else await interleaver.all(before, after, how.most);
    // What was found once is found again.
    const [found] = finds;
    if (found) {
      await before();
      const again = await interleaver.replay(found.order.split(', '));
      expect(await judge(again)).toContain(found.what);
    }
  } finally {
    await interleaver.close();
    await forget();
  }
  return { orders, finds };
}

/** One order is judged at a time: the rules read only its rows. Only a superuser can delete append-only rows. */
async function forget(): Promise<void> {
  await shop.db.transaction(async (trx) => {
    await trx.raw(`SET LOCAL session_replication_role = replica`);
    for (const table of ['order_messages', 'refunds', 'evidence', 'payment_events', 'payments', 'orders'])
      await trx.raw(`DELETE FROM ${table}`);
  });
  await shop.alipay.control.clearJournal();
}

async function judge({ ends }: Outcome): Promise<string[]> {
  const promises = { checks: 3, intervalMs: 0, patienceMs: 60_000 };
  const facts = await readFacts({ db: shop.db, alipay: shop.alipay.control, promises, atRest: true });
  const ours = new Set(facts.payments.map(({ outTradeNo }) => outTradeNo));
  const trades = facts.trades.filter(({ outTradeNo }) => ours.has(outTradeNo));
  // What is on its way to a refund, or due to be closed as a leftover, counts as at rest for these transactions.
  const due = new Set(
    facts.payments.filter(({ recheckAt }) => recheckAt).map(({ outTradeNo }) => outTradeNo),
  );
  const isLater = ({ rule, how, outTradeNo }: Violation): boolean =>
    LATER.has(rule) ||
    /REFUNDING/.test(how) ||
    (/of an order that is PAID/.test(how) && due.has(outTradeNo ?? ''));
  const broken = check({ ...facts, trades }).filter((violation) => !isLater(violation));
  const owed = new Set(
    facts.evidence.filter(({ recordedAt }) => recordedAt === null).map(({ outTradeNo }) => outTradeNo),
  );
  const isOwed = ({ outTradeNo }: Violation): boolean => owed.has(outTradeNo ?? '');
  return [
    ...broken.filter((violation) => !isOwed(violation)).map(({ rule, how }) => `${rule}: ${how}`),
    ...(ends['close'] === 'closed' && facts.orders[0]?.status !== 'CLOSED'
      ? ['close said that it closed the order']
      : []),
    ...Object.entries(ends)
      .filter(([, end]) => end instanceof Error && !(end instanceof PaymentError))
      // Postgres aborts either of the two.
      .map(([name, end]) =>
        /deadlock detected/.test(String(end)) ? 'a deadlock' : `${name} ended with ${String(end)}`,
      ),
  ];
}

describe('every order of the statements', () => {
  it.each(PAIRS)(
    'of $deeds.0 and $deeds.1 keeps every rule',
    async (one) => {
      const { orders, finds } = await explore(one);
      expect(finds).toEqual([]);
      // Each of them comes first, and meets the other's lock at each of its statements.
      expect(orders.size).toBeGreaterThan(10);
    },
    180_000,
  );

  it.each(TRIPLES)(
    'of $deeds.0, $deeds.1 and $deeds.2 keeps every rule',
    async (one) => {
      const { orders, finds } = await explore(one, { most: MOST });
      expect(finds).toEqual([]);
      expect(orders.size).toBeGreaterThan(10);
    },
    300_000,
  );
});

describe('without the lock of the order', () => {
  it.each(PAIRS.filter(({ deeds }) => !deeds.includes('resolve') || deeds.includes('record the other')))(
    'some order of $deeds.0 and $deeds.1 breaks a rule, and does so again',
    async (one) => {
      const { finds } = await explore(one, { withoutLock: true, once: true });
      expect(finds.length).toBeGreaterThan(0);
    },
    180_000,
  );
});
