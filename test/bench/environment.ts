import { join } from 'node:path';
import { TEMPORAL_CONFIG } from '../../dev/places';
import { DEFAULT_APP_ID, DEFAULT_SELLER_ID, KEY_FILES } from '../../sandbox';

/** The environment of every process of a rig: where the others are, and the row's own settings. */
export function environment(
  folder: string,
  where: {
    databaseUrl: string;
    address: string;
    namespace: string;
    sandboxPort: number;
    serverPort: number;
    own: Record<string, string>;
  },
): NodeJS.ProcessEnv {
  // What the user has set for another Alipay or another Temporal does not apply to this rig.
  const others = Object.entries(process.env).filter(
    ([name]) => !/^(TEMPORAL|ALIPAY|PAYMENT|SWEEP|DATABASE|LOG|ORDER)_/.test(name),
  );
  const keys = join(folder, 'sandbox', 'keys');
  return {
    ...Object.fromEntries(others),
    TEMPORAL_ADDRESS: where.address,
    TEMPORAL_NAMESPACE: where.namespace,
    TEMPORAL_CONFIG_FILE: TEMPORAL_CONFIG,
    DATABASE_URL: where.databaseUrl,
    ALIPAY_GATEWAY: `http://127.0.0.1:${where.sandboxPort}/gateway.do`,
    ALIPAY_APP_ID: DEFAULT_APP_ID,
    ALIPAY_SELLER_ID: DEFAULT_SELLER_ID,
    ALIPAY_PRIVATE_KEY_FILE: join(keys, KEY_FILES.appPrivate),
    ALIPAY_PUBLIC_KEY_FILE: join(keys, KEY_FILES.alipayPublic),
    ALIPAY_NOTIFY_URL: `http://127.0.0.1:${where.serverPort}/alipay/notify`,
    CLOSE_MARGIN: '1s',
    // Rows run sweeps themselves: the Schedule would close some of their orders.
    SWEEP_CRON: '@every 24h',
    HOST: '127.0.0.1',
    PORT: String(where.serverPort),
    SANDBOX_PORT: String(where.sandboxPort),
    // The books must not forget.
    SANDBOX_KEEP_TRADES: '10000000',
    SANDBOX_DIR: join(folder, 'sandbox'),
    LOG_FORMAT: 'json',
    ...where.own,
  };
}
