import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { pendingMigrations, unknownMigrations } from '../../db/migrator';
import { checkDatabase } from '../../worker/startup';
import type { Shop } from '../support';
import { expectLedgerRules, openShop } from '../support';
import { Story } from '../integration/story';
import { UnderWay } from './under-way';

/** What the next release's migration may do (docs/upgrades.md, "expand"). */
const EXPANDED = `
  ALTER TABLE orders ADD channel text NOT NULL DEFAULT 'shop';
  ALTER TABLE payments ADD voucher text;
  ALTER TABLE payments ADD attempts integer NOT NULL DEFAULT 0;
  CREATE INDEX payments_by_voucher ON payments (voucher) WHERE voucher IS NOT NULL;
  CREATE TABLE vouchers (id text PRIMARY KEY, out_trade_no text REFERENCES payments (out_trade_no));
  INSERT INTO durable_alipay_migrations (name, batch, migration_time)
    VALUES ('29990101_add_vouchers', 99, now());
`;

let shop: Shop;
let story: Story;
beforeAll(async () => {
  shop = await openShop(__filename, { payments: { intervalMs: 3_000 } });
  story = new Story(shop);
});
afterAll(() => shop.close());

describe('a worker of before, beside a schema that the next release has expanded', () => {
  it('carries on the payments under way, and begins new ones', async () => {
    const payments = await UnderWay.place(story);
    await shop.db.raw(EXPANDED);
    await payments.goOn();
    // Also after a restart, such as a node leaving: it knows less than the schema, and misses nothing.
    await shop.stopWorkers();
    await checkDatabase(shop.db, 'public', shop.deps.log);
    expect(await pendingMigrations(shop.db, 'public')).toEqual([]);
    expect(await unknownMigrations(shop.db, 'public')).toEqual(['29990101_add_vouchers']);
    await shop.startWorkers();
    await payments.comeToRest();
    for (const orderId of payments.orderIds) {
      await expectLedgerRules(shop, orderId, await shop.payments.payments({ orderId }));
    }
  }, 480_000);
});
