import { openGateway } from '../../../activities/alipay/open';
import type { AlipayGateway } from '../../../activities/alipay/gateway';
import type { Database } from '../../../db/connect';
import { openDatabase } from '../../../db/connect';
import { readConfig } from '../../../worker/config';
import { CONNECTIONS } from './work';

/** What a contender's process works with, from the environment that the application's own processes read. */
export interface Means {
  db: Database;
  alipay: AlipayGateway;
  databaseUrl: string;
  intervalMs: number;
  /** Where it receives notifications. */
  http: { host: string; port: number };
}

/** Opens the database and the gateway client from the environment. */
export function openMeans(env: NodeJS.ProcessEnv, maxConnections = CONNECTIONS): Means {
  const { database, alipay, payments, http } = readConfig(env, {
    needs: ['database', 'alipay', 'payments', 'http'],
  });
  const db = openDatabase({ ...database, maxConnections });
  return {
    db,
    alipay: openGateway(db, { name: 'default', ...alipay }),
    databaseUrl: database.url,
    intervalMs: payments.intervalMs,
    http,
  };
}
