import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { acquireSlot } from '../../db/alipay-quota';
import type { Database } from '../../db/connect';
import { openDatabase, row, rows, transaction } from '../../db/connect';
import { closeOrderWithPayments, openPayment, registerOrder } from '../../db/ledger';
import { findPaymentsOfOrder } from '../../db/payments';
import { query } from '../../dev/postgres';
import { freshDatabase, waitFor } from '../support';

/** Defaults that an administrator may have set for the database. */
const STRICT = ['repeatable read', 'serializable'];

const MERCHANT = {
  name: 'default',
  appId: '2021000000000000',
  sellerId: '2088000000000000',
  gateway: 'http://127.0.0.1/gateway.do',
};

let url: string;
/** At READ COMMITTED. */
let db: Database;

beforeAll(async () => {
  url = await freshDatabase();
  db = openDatabase({ url });
});
afterAll(() => db.destroy());

describe.each(STRICT)('a role whose default is %s', (isolation) => {
  let strict: Database;
  beforeAll(async () => {
    const role = `${isolation.replace(/ /, '_')}_${process.pid}`;
    await query(url, `CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD 'strict'`);
    await query(url, `ALTER ROLE ${role} SET default_transaction_isolation = '${isolation}'`);
    strict = openDatabase({
      url: Object.assign(new URL(url), { username: role, password: 'strict' }).href,
    });
    expect(await row(strict, 'SHOW transaction_isolation')).toEqual({ transaction_isolation: isolation });
  });
  afterAll(() => strict.destroy());

  /** Holds a lock while the strict role's work begins and waits for it, then does `meanwhile` and lets go. */
  async function whileItWaits<T>(
    work: () => Promise<T>,
    lock: (trx: Database) => Promise<unknown>,
    meanwhile: (trx: Database) => Promise<unknown>,
  ): Promise<T> {
    let working: Promise<T> | undefined;
    await transaction(db, async (trx) => {
      await lock(trx);
      working = work();
      working.catch(() => undefined);
      const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await waitFor(async () => (await query(url, waiting)).length === 1, { what: 'the work to wait' });
      await meanwhile(trx);
    });
    return working as Promise<T>;
  }

  it('closes no order beside a payment that was inserted meanwhile', async () => {
    const orderId = `closing-${isolation.length}`;
    await registerOrder(db, {
      orderId,
      subject: 'tea',
      totalAmount: '12.30',
      closeBy: 'sweep',
      merchant: MERCHANT,
      ttlMs: 60_000,
    });
    const outcome = await whileItWaits(
      () => closeOrderWithPayments(strict, { orderId, asked: [], actor: 'sweep', reason: 'expired' }),
      (trx) => rows(trx, 'SELECT 1 FROM :schema:.orders WHERE id = :orderId FOR UPDATE', { orderId }),
      (trx) =>
        openPayment(trx, {
          orderId,
          totalAmount: '12.30',
          newOutTradeNo: `X${isolation.length}`,
          product: 'page',
          merchant: MERCHANT,
          marginMs: 1_000,
          plan: { firstCheckInMs: null, slowChecksMs: [] },
        }),
    );
    expect(outcome).toBe('changed');
    expect(await findPaymentsOfOrder(db, orderId)).toMatchObject([{ status: 'UNPAID' }]);
    expect(await row(db, 'SELECT status FROM :schema:.orders WHERE id = :orderId', { orderId })).toEqual({
      status: 'UNPAID',
    });
  });

  it('waits where two write one row by single statements', async () => {
    const appId = `app-${isolation.length}`;
    // So far apart that a slow machine does not reach the next one.
    const slot = { appId, perSecond: 0.04, maxWaitMs: 60_000 };
    expect(await acquireSlot(db, slot)).toBe(0);
    const next = await whileItWaits(
      () => acquireSlot(strict, slot),
      (trx) => acquireSlot(trx, slot),
      () => Promise.resolve(),
    );
    // The third slot, 50 seconds after the first: no slot was taken twice.
    expect(next).toBeGreaterThan(25_000);
  });

  it('fails a statement of its own transaction as anybody else does', async () => {
    const failing = strict.transaction(async (trx) => {
      await rows(trx, 'SELECT count(*) FROM :schema:.alipay_quota');
      await acquireSlot(db, { appId: `app-${isolation.length}`, perSecond: 1, maxWaitMs: 600_000 });
      await acquireSlot(trx, { appId: `app-${isolation.length}`, perSecond: 1, maxWaitMs: 600_000 });
    });
    await expect(failing).rejects.toMatchObject({ code: '40001' });
  });
});
