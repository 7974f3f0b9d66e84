import { resolve } from 'node:path';
import { pino } from 'pino';
import { z } from 'zod';
import { KEY_FILES, startSandbox, type Sandbox } from './index';

const environment = z.object({
  SANDBOX_PORT: z.coerce.number().int().min(0).max(65_535).default(4000),
  HOST: z.string().min(1).default('127.0.0.1'),
  SANDBOX_DIR: z.string().min(1).default('.temporal/sandbox'),
  SANDBOX_NOTIFY_SCALE: z.coerce.number().positive().default(1),
});

/** Runs a sandbox by environment alone, until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const settings = environment.safeParse(process.env);
  if (!settings.success) throw new Error(`SANDBOX_SETTINGS: ${z.prettifyError(settings.error)}`);
  const {
    SANDBOX_PORT: port,
    HOST: host,
    SANDBOX_DIR: dir,
    SANDBOX_NOTIFY_SCALE: notifyScale,
  } = settings.data;
  const keysDir = resolve(dir, 'keys');
  const log = pino({ name: 'sandbox' });
  const sandbox = await startSandbox({
    port,
    host,
    keysDir,
    stateFile: resolve(dir, 'state.jsonl'),
    notifyScale,
    log,
  });
  stopOnSignal(sandbox);
  console.log(banner(sandbox, keysDir));
}

function banner(sandbox: Sandbox, keysDir: string): string {
  return `
Alipay sandbox on ${sandbox.url} (control: ${sandbox.url}/control/, no real money)

export ALIPAY_GATEWAY=${sandbox.gateway}
export ALIPAY_APP_ID=${sandbox.appId}
export ALIPAY_SELLER_ID=${sandbox.sellerId}
export ALIPAY_PRIVATE_KEY_FILE=${resolve(keysDir, KEY_FILES.appPrivate)}
export ALIPAY_PUBLIC_KEY_FILE=${resolve(keysDir, KEY_FILES.alipayPublic)}
`;
}

function stopOnSignal(sandbox: Sandbox): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void sandbox.close());
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
