import ms from 'ms';
import type { Database } from '../../db/connect';
import { listMerchants, merchantId } from '../../db/merchants';
import { readClock } from '../../db/recovery';
import type { TemporalStore } from '../../db/temporal-stores';
import { UNSEEN_MS, findCurrentStore } from '../../db/temporal-stores';
import type { Home } from '../../worker/pollers';
import type { Settings } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

/** Whether database, Temporal and merchant belong together. */
export async function examineInstallation(
  exam: Examination,
  { alipay }: Settings,
  { database, home }: { database: Database | undefined; home: Home | undefined },
): Promise<void> {
  const given = { environment: alipay, migrations: database };
  await exam.check('merchants', given, ({ environment, migrations }) =>
    testMerchants(migrations, merchantId(environment)),
  );
  await exam.check(
    'temporal-store',
    { ...given, namespace: home },
    ({ environment, migrations, namespace }) => testStore(migrations, namespace, merchantId(environment)),
  );
}

async function testMerchants(db: Database, ours: string): Promise<Found<true>> {
  const known = await listMerchants(db);
  if (known.length === 0) return { says: 'none yet: the first order registers its own', value: true };
  const others = known.filter((merchant) => merchant.id !== ours && merchant.correctedTo === null);
  if (!known.some(({ id }) => id === ours)) {
    throw new Fault(
      `this database belongs to ${others.map(inWords).join(', ')}, and the environment has ${ours}`,
      'Correct DATABASE_URL, or ALIPAY_APP_ID and ALIPAY_SELLER_ID. If the registered seller id is the wrong one: ' +
        'durable-alipay merchant set.',
    );
  }
  const held = known.filter(({ id, openPayments }) => id !== ours && openPayments > 0);
  if (held.length === 0) return { says: `${ours} is the environment's`, value: true };
  return {
    says: `not in this environment: ${held.map(inWords).join(', ')}`,
    advice:
      'From here nobody asks Alipay about those payments: run a worker with that merchant, or correct it by ' +
      'durable-alipay merchant set.',
    value: true,
  };
}

const inWords = ({ id, openPayments }: { id: string; openPayments: number }): string =>
  `${id} (${openPayments} open payments)`;

async function testStore(db: Database, { connection, namespace }: Home, ours: string): Promise<Found<true>> {
  const current = await findCurrentStore(db);
  if (!current) return { says: 'no worker has started yet', value: true };
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
  const unseenMs = (await readClock(db)).getTime() - current.seenAt.getTime();
  const seen = `seen ${ms(Math.max(unseenMs, 0))} ago`;
  if (namespaceInfo?.id === current.namespaceId) return judgeCurrent(current, seen);
  const where = `namespace ${current.namespace} at ${current.address}, ${seen}`;
  if (!current.merchants.includes(ours) || unseenMs < UNSEEN_MS) {
    throw new Fault(
      `workers serve this database from another Temporal store: ${where}`,
      'Correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, or DATABASE_URL: a worker would end with FOREIGN_INSTALLATION.',
    );
  }
  return {
    says: `the last worker served another Temporal store: ${where}`,
    advice: 'If that store was lost, start a worker: it takes over. If not, correct TEMPORAL_ADDRESS.',
    value: true,
  };
}

function judgeCurrent({ takenOverAt, recoveredAt }: TemporalStore, seen: string): Found<true> {
  if (takenOverAt === null || recoveredAt !== null) return { says: `workers serve it, ${seen}`, value: true };
  return {
    says: `it took over at ${takenOverAt.toISOString()}, and not all that the lost one knew is due again yet`,
    advice: 'Workers go on with it; if it stays so, look for STORE_NOT_RECOVERED in their log.',
    value: true,
  };
}
