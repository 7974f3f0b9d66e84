import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Addresses } from './infrastructure';
import { PLACES } from './places';
import type { Settings } from './settings';

/** The merchant that the sandbox knows. */
const SANDBOX = { appId: '2021000000000000', sellerId: '2088000000000000' };

/** Short enough to watch, long enough to follow. */
const DEMO_TIMINGS = { PAYMENT_CHECK_INTERVAL: '2s', CLOSE_MARGIN: '1s', SWEEP_CRON: '0/5 * * * * * *' };

/** The environment of migrations, sandbox, worker, HTTP server and CLI: the person's own, completed. */
export function environmentOf(
  { demo, ports, external }: Settings,
  { databaseUrl, temporalAddress }: Addresses,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  return {
    ...(demo ? DEMO_TIMINGS : {}),
    ...(external.temporal ? env : ownTemporal(env, temporalAddress)),
    ...(external.gateway ? {} : ownGateway(ports)),
    DATABASE_URL: databaseUrl,
    DATABASE_URL_FILE: undefined,
    PORT: String(ports.server),
    SANDBOX_PORT: String(ports.sandbox),
    SANDBOX_DIR: PLACES.sandbox,
  };
}

/**
 * A person's settings for another Temporal (keys, TLS, a profile in their configuration file) would be applied to our
 * dev server: they are left out, and a configuration file of our own stands in for theirs.
 */
function ownTemporal(env: NodeJS.ProcessEnv, address: string): NodeJS.ProcessEnv {
  const namespace = env['TEMPORAL_NAMESPACE'] ?? 'default';
  writeFileSync(
    PLACES.temporalConfig,
    `[profile.default]\naddress = ${JSON.stringify(address)}\nnamespace = ${JSON.stringify(namespace)}\n`,
    { mode: 0o600 },
  );
  const others = Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return {
    ...Object.fromEntries(others),
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    TEMPORAL_CONFIG_FILE: PLACES.temporalConfig,
  };
}

function ownGateway(ports: Settings['ports']): NodeJS.ProcessEnv {
  const keys = join(PLACES.sandbox, 'keys');
  return {
    ALIPAY_GATEWAY: `http://127.0.0.1:${ports.sandbox}/gateway.do`,
    ALIPAY_APP_ID: SANDBOX.appId,
    ALIPAY_SELLER_ID: SANDBOX.sellerId,
    ALIPAY_PRIVATE_KEY: undefined,
    ALIPAY_PRIVATE_KEY_FILE: join(keys, 'app-private.pem'),
    ALIPAY_PUBLIC_KEY: undefined,
    ALIPAY_PUBLIC_KEY_FILE: join(keys, 'alipay-public.pem'),
    ALIPAY_NOTIFY_URL: `http://127.0.0.1:${ports.server}/alipay/notify`,
  };
}
