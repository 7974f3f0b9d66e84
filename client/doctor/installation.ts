import ms from 'ms';
import type { Database } from '../../db/connect';
import { readBacklog } from '../../db/backlog';
import { findOtherSellers, listMerchants, merchantId } from '../../db/merchants';
import type { TemporalStore } from '../../db/temporal-stores';
import { UNSEEN_MS, findCurrentStore } from '../../db/temporal-stores';
import type { Home } from '../../worker/pollers';
import type { Settings } from './configuration';
import type { Examination, Found } from './examination';
import { Fault } from './examination';

/** A rolling restart takes less; every 5 s workers record that they serve the store. */
const DESERTED_MS = 60_000;

/** Whether database, Temporal and merchant belong together. */
export async function examineInstallation(
  exam: Examination,
  { merchants }: Settings,
  { database, home }: { database: Database | undefined; home: Home | undefined },
): Promise<void> {
  const given = { environment: merchants, migrations: database };
  await exam.check('notifications', { migrations: database }, ({ migrations }) => testArrivals(migrations));
  await exam.check('merchants', given, ({ environment, migrations }) =>
    testMerchants(migrations, environment.map(merchantId)),
  );
  await exam.check('seller-ids', given, ({ environment, migrations }) =>
    testSellers(migrations, environment.map(merchantId)),
  );
  await exam.check(
    'temporal-store',
    { ...given, namespace: home },
    ({ environment, migrations, namespace }) => testStore(migrations, namespace, environment.map(merchantId)),
  );
}

/** Whether Alipay's notifications arrive, judging by what was recorded. */
async function testArrivals(db: Database): Promise<Found> {
  const { foundByAskingAlone: found } = await readBacklog(db, []);
  if (found === 0) return { says: 'none is missing, judging by the payments of this hour' };
  return {
    says: `no notification has arrived for an hour, and ${found} payments were found by asking`,
    advice:
      'Alipay cannot reach ALIPAY_NOTIFY_URL. Check its certificate chain (including intermediate certificates), any CDN or ' +
      'firewall that responds in its place, and redirects from http://; then: durable-alipay doctor --notify.',
  };
}

async function testMerchants(db: Database, ours: readonly string[]): Promise<Found> {
  const known = await listMerchants(db);
  if (known.length === 0) return { says: 'none yet: the first order registers its own' };
  const others = known.filter((merchant) => !ours.includes(merchant.id) && merchant.correctedTo === null);
  if (!known.some(({ id }) => ours.includes(id))) {
    throw new Fault(
      `this database belongs to ${others.map(inWords).join(', ')}, but the environment has ${ours.join(', ')}`,
      'Correct DATABASE_URL, or ALIPAY_APP_ID and ALIPAY_SELLER_ID. If the registered seller id is the wrong one: ' +
        'durable-alipay merchant set.',
    );
  }
  const held = known.filter(({ id, openPayments }) => !ours.includes(id) && openPayments > 0);
  if (held.length === 0) return { says: `the environment has ${ours.join(', ')}` };
  return {
    says: `not in this environment: ${held.map(inWords).join(', ')}`,
    advice:
      'This process does not ask Alipay about those payments: run a worker with that merchant, or correct it with ' +
      'durable-alipay merchant set.',
  };
}

/** Before a payment, no answer from Alipay names the seller; a genuine notification does. */
async function testSellers(db: Database, ours: readonly string[]): Promise<Found> {
  const [wrong] = await findOtherSellers(db, ours);
  if (!wrong) return { says: 'no notification has named another seller' };
  const { appId, sellerId, otherSeller } = wrong;
  throw new Fault(
    `Alipay has notified of a payment by application ${appId} to seller ${otherSeller}, but the environment has ${sellerId}`,
    `If ${otherSeller} is the shop's account, set it (ALIPAY_SELLER_ID, or in MERCHANTS_FILE), then: durable-alipay merchant set. ` +
      'Alipay resends refused notifications for 25 hours.',
  );
}

const inWords = ({ id, openPayments }: { id: string; openPayments: number }): string =>
  `${id} (${openPayments} open payments)`;

async function testStore(
  db: Database,
  { connection, namespace }: Home,
  ours: readonly string[],
): Promise<Found> {
  const current = await findCurrentStore(db);
  if (!current) return { says: 'no worker has started yet' };
  const { namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
  const { unseenMs } = current;
  if (namespaceInfo?.id === current.namespaceId) return judgeCurrent(current);
  const where = `namespace ${current.namespace} at ${current.address}, ${seen(current)}`;
  if (!ours.some((id) => current.merchants.includes(id)) || unseenMs < UNSEEN_MS) {
    throw new Fault(
      `workers serve this database from another Temporal store: ${where}`,
      'Correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, or DATABASE_URL: a worker would exit with FOREIGN_INSTALLATION.',
    );
  }
  return {
    says: `the last worker served another Temporal store: ${where}`,
    advice: 'If that store was lost, start a worker: it takes over. If not, correct TEMPORAL_ADDRESS.',
  };
}

const seen = ({ unseenMs }: Pick<TemporalStore, 'unseenMs'>): string => `seen ${ms(unseenMs)} ago`;

/** What to report if workers serve, or last served, this very store. */
export function judgeCurrent(store: Pick<TemporalStore, 'unseenMs' | 'takenOverAt' | 'recoveredAt'>): Found {
  const { unseenMs, takenOverAt, recoveredAt } = store;
  if (unseenMs > DESERTED_MS) {
    return {
      says: `no worker serves it, ${seen(store)}`,
      advice: 'Start one: durable-alipay worker. If it exits, its last line says why.',
    };
  }
  if (takenOverAt === null || recoveredAt !== null) return { says: `workers serve it, ${seen(store)}` };
  return {
    says: `it took over at ${takenOverAt.toISOString()}, but not all work of the lost store is due again yet`,
    advice: 'Workers are still on it; if this persists, look for STORE_NOT_RECOVERED in their log.',
  };
}
