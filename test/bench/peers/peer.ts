import { row } from '../../../db/connect';
import type { Database } from '../../../db/connect';
import { migrateUp } from '../../../db/migrator';
import { createDatabase } from '../../../dev/postgres';
import { freePorts } from '../../support/free-ports';
import type { Rig } from '../rig';
import type { Contender } from './contender';
import type { Means } from './open-work';
import { openMeans } from './open-work';

/** A peer's own database in the same PostgreSQL as the application's, with the same tables. */
export async function openPeer(
  rig: Rig,
  { name, version, file }: { name: string; version: string; file: string },
  connect: (means: Means) => Promise<Pick<Contender, 'checkOut'> & { close(): Promise<unknown> }>,
): Promise<Contender> {
  const databaseUrl = await createDatabase(rig.postgresUrl, name.replace('-', '_'));
  const [port] = await freePorts(1);
  const own = {
    DATABASE_URL: databaseUrl,
    PORT: String(port),
    ALIPAY_NOTIFY_URL: `http://127.0.0.1:${port}/alipay/notify`,
  };
  const means = openMeans({ ...rig.env, ...own }, CLIENT_CONNECTIONS);
  await migrateUp(means.db);
  let started = 0;
  let client: Awaited<ReturnType<typeof connect>> | undefined;
  return {
    name,
    version,
    db: means.db,
    http: undefined,
    server: undefined,
    async checkOut(orderId) {
      if (!client) throw new Error('The worker makes the tables: start it first');
      return client.checkOut(orderId);
    },
    async startWorker() {
      const worker = await rig.startProcess({
        name: `${name}-worker-${(started += 1)}`,
        file,
        env: own,
        ready: (service) =>
          service.tail(50).includes('ready') ? Promise.resolve() : Promise.reject(new Error('not ready')),
      });
      client ??= await connect(means);
      return worker;
    },
    toldAgain: () => countToldAgain(means.db),
    async close() {
      await client?.close();
      await means.db.destroy();
    },
  };
}

/** As many as the bench's own pool for the application. */
const CLIENT_CONNECTIONS = 10;

async function countToldAgain(db: Database): Promise<number> {
  const counted = await row<{ again: number }>(
    db,
    `SELECT CAST(count(*) AS integer) AS again FROM payment_events
     WHERE event = 'told' AND detail ->> 'repeated' = 'true'`,
  );
  return counted?.again ?? 0;
}
