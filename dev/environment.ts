import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_APP_ID, DEFAULT_SELLER_ID, KEY_FILES } from '../sandbox';
import { ENVIRONMENT } from '../worker/config';
import { PLACES, TEMPORAL_CONFIG } from './places';
import { postgresUrl } from './postgres';
import { DATABASE } from './settings';
import type { Settings } from './settings';

/** Short enough to watch, long enough to follow. */
const DEMO_TIMINGS = { PAYMENT_CHECK_INTERVAL: '2s', CLOSE_MARGIN: '1s', SWEEP_CRON: '0/5 * * * * * *' };

/** The environment of migrations, sandbox, worker, HTTP server and CLI: the user's own, completed. */
export function environmentOf(
  { demo, ports, external, namespace }: Settings,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv {
  return {
    ...(demo ? DEMO_TIMINGS : {}),
    ...(external.temporal ? env : ownTemporal(env, `127.0.0.1:${ports.temporal}`, namespace)),
    ...(external.gateway ? {} : ownGateway(ports)),
    DATABASE_URL: external.database ?? postgresUrl(ports.postgres, DATABASE),
    DATABASE_URL_FILE: undefined,
    PORT: String(ports.server),
    SANDBOX_PORT: String(ports.sandbox),
    SANDBOX_DIR: PLACES.sandbox,
  };
}

/** A user's settings for another Temporal (keys, TLS, a profile) would apply to our dev server: they are left out. */
function ownTemporal(env: NodeJS.ProcessEnv, address: string, namespace: string): NodeJS.ProcessEnv {
  const others = Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  return {
    ...Object.fromEntries(others),
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    TEMPORAL_CONFIG_FILE: TEMPORAL_CONFIG,
  };
}

function ownGateway(ports: Settings['ports']): NodeJS.ProcessEnv {
  const keys = join(PLACES.sandbox, 'keys');
  return {
    ALIPAY_GATEWAY: `http://127.0.0.1:${ports.sandbox}/gateway.do`,
    ALIPAY_APP_ID: DEFAULT_APP_ID,
    ALIPAY_SELLER_ID: DEFAULT_SELLER_ID,
    ALIPAY_PRIVATE_KEY: undefined,
    ALIPAY_PRIVATE_KEY_FILE: join(keys, KEY_FILES.appPrivate),
    ALIPAY_PUBLIC_KEY: undefined,
    ALIPAY_PUBLIC_KEY_FILE: join(keys, KEY_FILES.alipayPublic),
    ALIPAY_NOTIFY_URL: `http://127.0.0.1:${ports.server}/alipay/notify`,
  };
}

/** Only the HTTP server reads `PORT`, and a shop next to it usually has its own. */
const OURS = ENVIRONMENT.filter(({ name }) => name !== 'PORT').flatMap(({ name, orFile }) =>
  orFile ? [name, `${name}_FILE`] : [name],
);

/** Temporal's variables that a shell has exported; only the SDK knows all their names. */
const TEMPORALS = String.raw`$(env | sed -n 's/^\(TEMPORAL_[A-Z_]*\)=.*/\1/p')`;

/**
 * Writes the settings with which the parts of the local environment were started, for a shell that runs the command
 * line with them: `set -a; . <file>; set +a`. First it unsets every variable that they read, so that nothing of the
 * shell's own remains. It contains a database password; only its owner may read it.
 */
export function writeEnvironment(file: string, env: NodeJS.ProcessEnv): void {
  const settings = Object.entries(env)
    .filter(([name]) => OURS.includes(name) || /^TEMPORAL_[A-Z_]+$/.test(name))
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${quoted(value)}`]));
  // An existing file would keep its mode.
  rmSync(file, { force: true });
  writeFileSync(file, [`unset ${OURS.join(' ')} ${TEMPORALS}`, ...settings, ''].join('\n'), { mode: 0o600 });
}

/** As one word for a POSIX shell, whatever it contains. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
