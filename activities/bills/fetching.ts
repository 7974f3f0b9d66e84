import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Context } from '@temporalio/activity';
import type { Bill } from '../../db/bill-lines';
import { beginLoad, deleteLoad, insertLines, sealLoad } from '../../db/bill-lines';
import { sellerOf } from '../../db/merchants';
import type { AlipayQueueActivities } from '../../workflows/messages';
import type { ActivityDependencies } from '../dependencies';
import { openArchive } from './archive';
import { downloadBill } from './download';
import { checkSummary, readDetail } from './read-bill';

type Dependencies = Pick<ActivityDependencies, 'db' | 'alipay' | 'billOrigins'>;

export function createFetchActivities({
  db,
  alipay,
  billOrigins,
}: Dependencies): Pick<AlipayQueueActivities, 'fetchBill'> {
  /** The lines count only once all of them are in the table and add up. */
  async function load(bill: Bill & { load: number }, path: string): Promise<void> {
    const { cancellationSignal } = Context.current();
    const archive = await openArchive(path);
    try {
      const lines = readDetail(await archive.detail(), bill);
      let next = await lines.next();
      for (; !next.done; next = await lines.next()) {
        cancellationSignal.throwIfAborted();
        await insertLines(db, bill, next.value);
      }
      await checkSummary(await archive.summary(), bill, next.value);
    } finally {
      archive.close();
    }
  }

  return {
    async fetchBill({ merchant, date }) {
      const gateway = alipay.ofBill({ merchant, date });
      const address = await gateway.billAddress(date);
      if (address === 'none') return false;
      const sellerId = sellerOf(merchant);
      const bill = { sellerId, date, load: await beginLoad(db, { sellerId, date }) };
      if (address !== 'empty') {
        const folder = await mkdtemp(join(tmpdir(), 'durable-alipay-bill-'));
        try {
          const path = join(folder, 'bill.zip');
          const origins = [...billOrigins, new URL(gateway.settings.gateway).origin];
          await downloadBill(address.url, path, { origins });
          await load(bill, path);
        } catch (error) {
          // The next attempt loads its own lines. Lines left here are deleted when a later bill is sealed; the error matters.
          await deleteLoad(db, bill).catch(() => undefined);
          throw error;
        } finally {
          await rm(folder, { recursive: true, force: true });
        }
      }
      await sealLoad(db, bill);
      return true;
    },
  };
}
