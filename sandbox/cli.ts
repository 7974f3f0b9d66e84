import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { z } from 'zod';
import { readFileSync } from 'node:fs';
import { DEFAULT_APP_ID, DEFAULT_SELLER_ID, readSeed, startSandbox, type Sandbox } from './index';
import { CERTIFICATE_FILES } from './certificates';
import { KEY_FILES } from './keys';

/** The folder in which keys and trades are kept when nothing else is said. */
const HOME = '.alipay-sandbox';

const EXAMPLES = `
Examples:
  $ npx alipay-sandbox
  $ npx alipay-sandbox --port 8080 --app-id 2021004100000000 --seller-id 2088000000000000
  $ npx alipay-sandbox --host 0.0.0.0 --public-url http://192.168.1.20:4000    a phone scans its QR codes
  $ npx alipay-sandbox --merchant-public-key app-public.pem                   your shop keeps its private key
  $ npx alipay-sandbox --seed orders.json --notify-scale 60
  $ curl http://127.0.0.1:4000/setup/python-alipay-sdk > pay.py               a first payment, ready to run

Keys and trades are kept in ${HOME}/ unless you say where. No real money moves.`;

/** The seller's own application, where an ISV acts for it. */
const DEFAULT_AUTH_APP_ID = '2021000000000001';

interface Settings {
  port: number;
  host: string;
  appId: string;
  sellerId: string;
  dir: string;
  keys?: string;
  state?: string;
  publicUrl?: string;
  merchantPublicKey?: string;
  seed?: string;
  controlToken?: string;
  authAppId?: string;
  appAuthToken?: string;
  openIds: boolean;
  keepTrades: number;
  notifyScale: number;
  certificates: boolean;
}

/** Runs a sandbox by command line and environment, until SIGTERM or SIGINT. */
export async function runCli(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const { dir, keys, state, seed, keepTrades, merchantPublicKey, authAppId, appAuthToken, ...settings } =
    command(env).parse(argv).opts<Settings>();
  const keysDir = resolve(keys ?? join(dir, 'keys'));
  const sandbox = await startSandbox({
    ...settings,
    keysDir,
    tradeLimit: keepTrades,
    stateFile: resolve(state ?? join(dir, 'state.jsonl')),
    ...(seed !== undefined && { seed: readSeed(seed) }),
    ...(merchantPublicKey !== undefined && { merchantPublicKey: readFileSync(merchantPublicKey, 'utf8') }),
    ...(appAuthToken !== undefined && {
      authorised: { appAuthToken, authAppId: authAppId ?? DEFAULT_AUTH_APP_ID },
    }),
    print: console.log,
    log: pino({ name: 'sandbox' }),
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void sandbox.close());
  console.log(banner(sandbox, keysDir));
}

function command(env: NodeJS.ProcessEnv): Command {
  const option = (flags: string, about: string, read?: (text: string) => unknown): Option => {
    const made = new Option(flags, about);
    return read === undefined ? made : made.argParser(read);
  };
  return new Command('alipay-sandbox')
    .description('A local Alipay: gateway, cashier, notifications and faults. No real money moves.')
    .addOption(
      option('--port <port>', 'the port; 0 takes a free one', readPort).env('SANDBOX_PORT').default(4000),
    )
    .addOption(option('--host <host>', 'the address to listen on').env('HOST').default('127.0.0.1'))
    .addOption(option('--app-id <id>', 'your application', readId).default(DEFAULT_APP_ID))
    .addOption(option('--seller-id <id>', 'the seller who is paid', readId).default(DEFAULT_SELLER_ID))
    .addOption(option('--dir <dir>', 'where keys and trades are kept').env('SANDBOX_DIR').default(HOME))
    .addOption(option('--keys <dir>', 'where the keys are, or are made; default <dir>/keys'))
    .addOption(option('--state <file>', 'where trades are kept; default <dir>/state.jsonl'))
    .addOption(option('--public-url <url>', 'how phones and shops reach it, if not by <host>', readUrl))
    .addOption(
      option('--merchant-public-key <file>', "your application's public key; you keep the private one"),
    )
    .addOption(option('--seed <file>', 'orders that exist from the start, JSON'))
    .addOption(
      option(
        '--control-token <token>',
        'what control API and console ask for; off loopback there is always one',
      ).env('SANDBOX_CONTROL_TOKEN'),
    )
    .addOption(option('--app-auth-token <token>', 'you are an ISV: requests must carry this token'))
    .addOption(option('--auth-app-id <id>', "with it, the merchant's own application", readId))
    .addOption(
      option('--keep-trades <n>', 'how many orders it remembers', readCount)
        .env('SANDBOX_KEEP_TRADES')
        .default(20_000),
    )
    .addOption(option('--open-ids', 'name buyers by open_id').default(false))
    .addOption(
      option('--notify-scale <n>', 'repeat notifications n times faster than Alipay', readScale)
        .env('SANDBOX_NOTIFY_SCALE')
        .default(1),
    )
    .addOption(
      option('--certificates', 'certificate mode (公钥证书模式)').default(
        readFlag(env, 'SANDBOX_CERTIFICATES'),
      ),
    )
    .addHelpText('after', EXAMPLES);
}

const reader =
  <T>(schema: z.ZodType<T>, wanted: string) =>
  (text: string): T => {
    const read = schema.safeParse(text);
    if (!read.success) throw new InvalidArgumentError(`It must be ${wanted}.`);
    return read.data;
  };

const readPort = reader(z.coerce.number().int().min(0).max(65_535), 'a port, 0 to 65535');
const readCount = reader(z.coerce.number().int().min(1), 'a whole number above 0');
const readScale = reader(z.coerce.number().positive(), 'a number above 0');
const readUrl = reader(z.url({ protocol: /^https?$/ }), 'an http address');
const readId = reader(z.string().regex(/^\d{1,32}$/), 'digits');

function readFlag(env: NodeJS.ProcessEnv, name: string): boolean {
  const flag = z.stringbool().safeParse(env[name] ?? 'false');
  if (!flag.success) throw new Error(`${name} must be true or false`);
  return flag.data;
}

function banner(sandbox: Sandbox, keysDir: string): string {
  const { controlToken, setup } = sandbox;
  const token = controlToken === undefined ? '' : `?token=${controlToken}`;
  const own = setup.appPrivateKey ? resolve(keysDir, KEY_FILES.appPrivate) : '<your own>';
  return `
Alipay sandbox on ${sandbox.url} (control: ${sandbox.url}/control/, no real money)
Console:                ${setup.url}/${token}
What to set, by client: ${setup.url}/setup${token}
A ready first payment:  ${setup.snippets.map(({ id }) => `/setup/${id}`).join(' ')}

export ALIPAY_GATEWAY=${setup.gateway}
export ALIPAY_APP_ID=${sandbox.appId}
export ALIPAY_SELLER_ID=${sandbox.sellerId}
export ALIPAY_PRIVATE_KEY_FILE=${own}
${trustOf(sandbox, (name) => resolve(keysDir, name))}
`;
}

function trustOf({ certificates }: Sandbox, pathOf: (name: string) => string): string {
  if (!certificates) return `export ALIPAY_PUBLIC_KEY_FILE=${pathOf(KEY_FILES.alipayPublic)}`;
  return `export ALIPAY_APP_CERT_FILE=${pathOf(CERTIFICATE_FILES.app)}
export ALIPAY_ROOT_CERT_FILE=${pathOf(CERTIFICATE_FILES.root)}
export ALIPAY_PUBLIC_CERT_FILE=${pathOf(CERTIFICATE_FILES.alipay)}`;
}
