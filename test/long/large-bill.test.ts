import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Database } from '../../db/connect';
import { openDatabase, rows, slowTransaction } from '../../db/connect';
import { registerMerchant } from '../../db/merchants';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import { parsePrivateKey } from '../../worker/keys';
import { freshDatabase } from '../support';
import type { LargeBillInput, LargeBillOutput } from './large-bill/main';

// A million payments, and the bill that contains them all: in constant memory, and within three minutes on two cores.

const PAYMENTS = 1_000_000;
const date = '2026-01-01';

let database: Database;
let alipay: Sandbox;
let input: LargeBillInput;

beforeAll(async () => {
  const databaseUrl = await freshDatabase();
  database = openDatabase({ url: databaseUrl });
  alipay = await startSandbox();
  const { appId, sellerId } = alipay;
  const merchant = await registerMerchant(database, {
    name: 'default',
    appId,
    sellerId,
    gateway: alipay.gateway,
  });
  await slowTransaction(database, async (trx) => {
    // As the sandbox's `bulkPayment` has them. The first three were missed, the fourth is a fen short.
    await rows(
      trx,
      `INSERT INTO orders (id, subject, total_amount, status, merchant, expires_at)
       SELECT 'bulk_' || lpad(CAST(n AS text), 7, '0'), 'tea', (100 + n % 10000) / 100.0, CASE WHEN n <= 3 THEN 'UNPAID' ELSE 'PAID' END,
         :merchant, now() + interval '1 day' FROM generate_series(1, ${PAYMENTS}) AS n`,
      { merchant },
    );
    await rows(
      trx,
      `INSERT INTO payments (out_trade_no, order_id, merchant, total_amount, status, paid_amount, callback_time)
       SELECT id, id, merchant, total_amount, status, CASE WHEN status = 'PAID' THEN total_amount - CASE WHEN id = 'bulk_0000004' THEN 0.01 ELSE 0 END END,
         CASE WHEN status = 'PAID' THEN timestamptz '2026-01-01 12:00:00+08' END FROM orders`,
    );
    await rows(trx, `ANALYZE`);
  });
  await alipay.control.bills({ bulk: PAYMENTS });
  const gateway = {
    name: 'default',
    gateway: alipay.gateway,
    appId,
    sellerId,
    privateKey: parsePrivateKey(alipay.appPrivateKey).pkcs1,
    publicKey: alipay.alipayPublicKey,
    notifyUrl: 'http://127.0.0.1/',
    timeoutMs: 5_000,
  };
  input = { databaseUrl, gateway, merchant, date };
}, 900_000);

afterAll(async () => {
  await database.destroy();
  await alipay.close();
});

async function reconcile(): Promise<LargeBillOutput> {
  const program = join(__dirname, 'large-bill', 'main.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--import',
    'tsx',
    program,
    JSON.stringify(input),
  ]);
  return JSON.parse(stdout) as LargeBillOutput;
}

it('reconciles a million lines in 400 MB and three minutes, and gives the same twice', async () => {
  const first = await reconcile();
  const again = await reconcile();
  for (const { fetchSeconds, compareSeconds, peakMb } of [first, again])
    process.stderr.write(
      `a million lines: ${fetchSeconds.toFixed(1)} s to load, ${compareSeconds.toFixed(1)} s to compare, ${peakMb.toFixed(0)} MB\n`,
    );
  const { report, peakMb } = first;
  expect(report.discrepancies).toEqual({
    'payment-unrecorded': { found: 3, repaired: 0, open: 3, openAmount: '3.06' },
    'payment-differs': { found: 1, repaired: 0, open: 1, openAmount: '1.04' },
  });
  expect(report.bill.payments.count).toBe(PAYMENTS);
  expect(report.matched.payments.count).toBe(PAYMENTS - 4);
  expect(peakMb).toBeLessThan(400);
  // A busy machine may delay one of them.
  const seconds = [first, again].map(({ fetchSeconds, compareSeconds }) => fetchSeconds + compareSeconds);
  expect(Math.min(...seconds)).toBeLessThan(180);
  expect(again.report).toEqual(report);
}, 900_000);
