import { join, resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { pino } from 'pino';
import { z } from 'zod';
import { readFileSync } from 'node:fs';
import { DEFAULT_APP_ID, DEFAULT_SELLER_ID, readSeed, startSandbox } from './index';
import type { AccountOptions, Sandbox, SandboxAccount, SandboxOptions } from './index';
import { CERTIFICATE_FILES } from './certificates';
import { KEY_FILES } from './keys';

/** The default folder for keys and trades. */
const HOME = '.alipay-sandbox';

const EXAMPLES = `
Examples:
  $ npx alipay-sandbox
  $ npx alipay-sandbox --port 8080 --app-id 2021004100000000 --seller-id 2088000000000000
  $ npx alipay-sandbox --host 0.0.0.0 --public-url http://192.168.1.20:4000    a phone scans its QR codes
  $ npx alipay-sandbox --merchant-public-key app-public.pem                   your shop keeps its private key
  $ npx alipay-sandbox --app 2021004100000001:2088000000000001                another application and its seller
  $ npx alipay-sandbox --app-auth-token T1:2088000000000002:2021004100000002  an ISV; repeat it for each seller
  $ npx alipay-sandbox --seed orders.json --notify-scale 60
  $ curl http://127.0.0.1:4000/setup/python-alipay-sdk > pay.py               a first payment, ready to run

Keys and trades are kept in ${HOME}/ by default. No real money moves.`;

/** The seller's own application if an ISV acts for it. */
const DEFAULT_AUTH_APP_ID = '2021000000000001';

/** `--app-auth-token`: for the first account, or for an additional seller. */
interface TokenOption {
  appAuthToken: string;
  sellerId?: string;
  authAppId?: string;
}

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
  app: AccountOptions[];
  appAuthToken: TokenOption[];
  openIds: boolean;
  keepTrades: number;
  notifyScale: number;
  certificates: boolean;
}

/** Runs a sandbox with the command line and environment until SIGTERM or SIGINT. @returns the running sandbox */
export async function runCli(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Sandbox> {
  const { dir, keys, state, seed, keepTrades, merchantPublicKey, authAppId, app, appAuthToken, ...settings } =
    command(env).parse(argv).opts<Settings>();
  const keysDir = resolve(keys ?? join(dir, 'keys'));
  const sandbox = await startSandbox({
    ...settings,
    keysDir,
    tradeLimit: keepTrades,
    stateFile: resolve(state ?? join(dir, 'state.jsonl')),
    ...(seed !== undefined && { seed: readSeed(seed) }),
    ...(merchantPublicKey !== undefined && { merchantPublicKey: readFileSync(merchantPublicKey, 'utf8') }),
    ...authorisedBy(appAuthToken, authAppId, app),
    print: console.log,
    log: pino({ name: 'sandbox' }),
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void sandbox.close());
  console.log(banner(sandbox, keysDir));
  return sandbox;
}

function authorisedBy(
  tokens: readonly TokenOption[],
  authAppId: string | undefined,
  apps: readonly AccountOptions[],
): Pick<SandboxOptions, 'authorised' | 'accounts'> {
  const [own, ...twins] = tokens.filter(({ sellerId }) => sellerId === undefined);
  if (twins.length > 0)
    throw new Error('--app-auth-token: only one may omit its seller: TOKEN:SELLER_ID:AUTH_APP_ID');
  const sellers = tokens.flatMap(({ sellerId, ...token }) =>
    sellerId === undefined ? [] : [{ ...token, sellerId }],
  );
  return {
    ...(own && {
      authorised: { appAuthToken: own.appAuthToken, authAppId: authAppId ?? DEFAULT_AUTH_APP_ID },
    }),
    accounts: [...sellers, ...apps],
  };
}

function command(env: NodeJS.ProcessEnv): Command {
  const option = (flags: string, about: string, read?: (text: string) => unknown): Option => {
    const made = new Option(flags, about);
    return read === undefined ? made : made.argParser(read);
  };
  return new Command('alipay-sandbox')
    .description('A local Alipay: gateway, cashier, notifications and faults. No real money moves.')
    .addOption(
      option('--port <port>', 'the port; 0 picks a free one', readPort).env('SANDBOX_PORT').default(4000),
    )
    .addOption(option('--host <host>', 'the address to listen on').env('HOST').default('127.0.0.1'))
    .addOption(option('--app-id <id>', 'your application', readId).default(DEFAULT_APP_ID))
    .addOption(option('--seller-id <id>', 'the seller who is paid', readId).default(DEFAULT_SELLER_ID))
    .addOption(option('--dir <dir>', 'where keys and trades are kept').env('SANDBOX_DIR').default(HOME))
    .addOption(option('--keys <dir>', 'where the keys are, or are created; default <dir>/keys'))
    .addOption(option('--state <file>', 'where trades are kept; default <dir>/state.jsonl'))
    .addOption(option('--public-url <url>', 'how phones and shops reach it, if not by <host>', readUrl))
    .addOption(
      option('--merchant-public-key <file>', "your application's public key; you keep the private one"),
    )
    .addOption(option('--seed <file>', 'orders that exist from the start, JSON'))
    .addOption(
      option(
        '--control-token <token>',
        'the token for the control API and the console; created if missing, unless --host and --public-url are loopback',
      ).env('SANDBOX_CONTROL_TOKEN'),
    )
    .addOption(
      option('--app <id[:seller[:key file]]>', 'another application, its seller and public key; repeatable')
        .argParser(all(readApp))
        .default([], 'none'),
    )
    .addOption(
      option(
        '--app-auth-token <token[:seller:app]>',
        "you are an ISV: requests must carry this token; repeatable with each seller and the seller's own application",
      )
        .argParser(all(readToken))
        .default([], 'none'),
    )
    .addOption(option('--auth-app-id <id>', "with --app-auth-token, the merchant's own application", readId))
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

const all =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly T[]): T[] => [...before, read(text)];

function readApp(text: string): AccountOptions {
  const [appId = '', sellerId = sellerOf(appId), ...file] = text.split(':');
  if (![appId, sellerId].every(isId))
    throw new InvalidArgumentError(
      'It must be APP_ID, APP_ID:SELLER_ID or APP_ID:SELLER_ID:KEY_FILE, ids of digits.',
    );
  return {
    appId,
    sellerId,
    ...(file.length > 0 && { merchantPublicKey: readFileSync(file.join(':'), 'utf8') }),
  };
}

function readToken(text: string): TokenOption {
  const [appAuthToken = '', sellerId, authAppId, ...rest] = text.split(':');
  if (appAuthToken !== '' && sellerId === undefined) return { appAuthToken };
  if (appAuthToken === '' || !isId(sellerId) || !isId(authAppId) || rest.length > 0)
    throw new InvalidArgumentError('It must be TOKEN or TOKEN:SELLER_ID:AUTH_APP_ID, ids of digits.');
  return { appAuthToken, sellerId, authAppId };
}

const isId = (text: string | undefined): text is string => /^\d{1,32}$/.test(text ?? '');

/** The seller of an application for which none was given: a different one for each. */
const sellerOf = (appId: string): string => `2088${appId.padStart(12, '0').slice(-12)}`;

function readFlag(env: NodeJS.ProcessEnv, name: string): boolean {
  const flag = z.stringbool().safeParse(env[name] ?? 'false');
  if (!flag.success) throw new Error(`${name} must be true or false`);
  return flag.data;
}

function banner(sandbox: Sandbox, keysDir: string): string {
  const { controlToken, setup, accounts } = sandbox;
  const token = controlToken === undefined ? '' : `?token=${controlToken}`;
  const [first, ...others] = accounts.map((account) =>
    exportsOf(account, keysDir, account.appId === sandbox.appId ? keysDir : join(keysDir, account.appId)),
  );
  return `
Alipay sandbox on ${sandbox.url} (control: ${sandbox.url}/control/, no real money)
Console:                ${setup.url}/${token}
What to set, by client: ${setup.url}/setup${token}
A ready first payment:  ${setup.snippets.map(({ id }) => `/setup/${id}`).join(' ')}

export ALIPAY_GATEWAY=${setup.gateway}
${first ?? ''}
${others.map((lines, n) => `\nAccount ${n + 2} of ${accounts.length}, on the same gateway:\n${lines}\n`).join('')}`;
}

/** What to set for an account's application. The files of the first one are in the keys folder itself. */
function exportsOf(
  { appId, sellerId, appAuthToken, appPrivateKey, certificates }: SandboxAccount,
  keysDir: string,
  ownDir: string,
): string {
  const settings = [
    ['APP_ID', appId],
    ['SELLER_ID', sellerId],
    ...(appAuthToken === undefined ? [] : [['APP_AUTH_TOKEN', appAuthToken]]),
    ['PRIVATE_KEY_FILE', appPrivateKey ? resolve(ownDir, KEY_FILES.appPrivate) : '<your own>'],
    ...(certificates
      ? [
          ['APP_CERT_FILE', resolve(ownDir, CERTIFICATE_FILES.app)],
          ['ROOT_CERT_FILE', resolve(keysDir, CERTIFICATE_FILES.root)],
          ['PUBLIC_CERT_FILE', resolve(keysDir, CERTIFICATE_FILES.alipay)],
        ]
      : [['PUBLIC_KEY_FILE', resolve(keysDir, KEY_FILES.alipayPublic)]]),
  ];
  return settings.map(([name = '', value = '']) => `export ALIPAY_${name}=${value}`).join('\n');
}
