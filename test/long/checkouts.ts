/**
 * A process of a shop, for tests: waits for a line on its standard input, then takes CHECKOUTS payments from checkout
 * to PAID, ten at a time, and prints what it saw as JSON. It exits when its standard input closes.
 */
import { createInterface } from 'node:readline';
import { openDatabase, rows } from '../../db/connect';
import { storeEvidence } from '../../db/evidence';
import type { AlipayWord } from '../../db/ledger';
import { openPayment, recordEvidence, registerOrder } from '../../db/ledger';
import { markTold } from '../../db/order-messages';

export interface Seen {
  paid: number;
  /** Results that belong to another order, or to another shop. */
  strange: string[];
  errors: string[];
}

const env = process.env as Record<
  'DATABASE_URL' | 'DATABASE_SCHEMA' | 'SHOP' | 'CENTS' | 'CHECKOUTS',
  string
>;
const db = openDatabase({
  url: env.DATABASE_URL,
  schema: env.DATABASE_SCHEMA,
  maxConnections: 5,
  ...(process.env['DATABASE_POOLER'] === 'transaction' && { pooler: 'transaction' }),
});

const MERCHANT = {
  name: 'default',
  appId: '2021000000000000',
  sellerId: '2088000000000000',
  gateway: 'https://alipay.example',
};

async function payOne(number: number): Promise<string | undefined> {
  const orderId = `${env.SHOP}-${number}`;
  const totalAmount = `${number}.${env.CENTS}`;
  const outTradeNo = `${env.SHOP}x${number}`;
  const order = await registerOrder(db, {
    orderId,
    subject: 'tea',
    totalAmount,
    closeBy: 'sweep',
    merchant: MERCHANT,
    ttlMs: 3_600_000,
  });
  const { payment } = await openPayment(db, {
    orderId,
    totalAmount,
    merchant: MERCHANT,
    newOutTradeNo: outTradeNo,
    product: 'page',
    marginMs: 1_000,
    plan: { firstCheckInMs: null, slowChecksMs: [] },
  });
  const body = Buffer.from(`trade_no=T${outTradeNo}`);
  await storeEvidence(db, {
    outTradeNo,
    kind: 'answer',
    signed: { bytes: body, signature: 'signed', charset: 'utf-8', keyFingerprint: 'key' },
    isNews: true,
    says: { tradeStatus: 'TRADE_SUCCESS', totalAmount },
  });
  const read = (): AlipayWord => ({
    kind: 'paid',
    tradeNo: `T${outTradeNo}`,
    totalAmount,
    at: null,
    content: {},
  });
  const { recorded } = await recordEvidence(db, outTradeNo, { read, policy: 'refund', brakeFen: null });
  const messages = await rows<{ id: string }>(
    db,
    `SELECT id FROM :schema:.order_messages WHERE order_id = :orderId AND told_at IS NULL ORDER BY seq`,
    { orderId },
  );
  for (const { id } of messages) await markTold(db, id, 'signal');
  const seen = JSON.stringify([
    order.id,
    order.totalAmount,
    payment.outTradeNo,
    recorded.status,
    recorded.undelivered,
    messages.map(({ id }) => id),
  ]);
  const expected = JSON.stringify([orderId, totalAmount, outTradeNo, 'PAID', true, [`PAID-${outTradeNo}`]]);
  return seen === expected ? undefined : seen;
}

async function payAll(): Promise<Seen> {
  const seen: Seen = { paid: 0, strange: [], errors: [] };
  const numbers = Array.from({ length: Number(env.CHECKOUTS) }, (_, index) => index + 1);
  const lane = async (): Promise<void> => {
    for (let number = numbers.shift(); number !== undefined; number = numbers.shift()) {
      try {
        const strange = await payOne(number);
        if (strange === undefined) seen.paid++;
        else seen.strange.push(strange);
      } catch (error) {
        seen.errors.push(String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: 10 }, lane));
  return seen;
}

process.stdin.once('close', () => process.exit());
createInterface({ input: process.stdin }).once('line', () => {
  void payAll()
    .then((seen) => process.stdout.write(`${JSON.stringify(seen)}\n`))
    .finally(() => db.destroy());
});
process.stdout.write('ready\n');
