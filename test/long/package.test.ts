import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import type { Sandbox } from '../../sandbox';
import { KEY_FILES, startSandbox } from '../../sandbox';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import type { confirmPayment } from '../../workflows';
import { Collector, freshDatabase, namespaceFor, temporalAddress, waitFor } from '../support';
import { freePorts } from '../support/free-ports';
import { stop } from '../support/processes';
import { example } from './foreign/examples';
import { readmeCode } from './package/readme';
import { EXPRESS_4, byCertificates } from './package/shop';

// Another project, from scratch: it installs the package that `npm pack` makes, with the dependencies that anyone would
// get today, and uses what the README promises. First as a shop whose workers run elsewhere, without Temporal's worker
// SDK; then with it.

const MINUTE = 60_000;
const root = join(__dirname, '..', '..');
const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  peerDependencies: Record<string, string>;
};
const namespace = namespaceFor(__filename);
const project = mkdtempSync(join(tmpdir(), 'durable-alipay-shop-'));

let packed: string[];
let alipay: Sandbox;
let connection: Connection;
let temporal: Client;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  const keysDir = join(project, 'keys');
  alipay = await startSandbox({ keysDir });
  connection = await Connection.connect({ address: temporalAddress() });
  temporal = new Client({ connection, namespace });
  environment = {
    ...bystanders(),
    TEMPORAL_ADDRESS: temporalAddress(),
    TEMPORAL_NAMESPACE: namespace,
    DATABASE_URL: await freshDatabase({ empty: true }),
    ALIPAY_GATEWAY: alipay.gateway,
    ALIPAY_APP_ID: alipay.appId,
    ALIPAY_SELLER_ID: alipay.sellerId,
    ALIPAY_PRIVATE_KEY_FILE: join(keysDir, KEY_FILES.appPrivate),
    ALIPAY_PUBLIC_KEY_FILE: join(keysDir, KEY_FILES.alipayPublic),
    ALIPAY_NOTIFY_URL: 'http://127.0.0.1:9/alipay/notify',
    PAYMENT_CHECK_INTERVAL: '2s',
  };
  packed = await packAndInstall();
  await expect(run('npx', ['durable-alipay', 'migrate'], { env: bystanders() })).rejects.toThrow(
    'DATABASE_URL is not set',
  );
  await command('migrate');
}, 12 * MINUTE);

afterAll(async () => {
  await connection.close();
  await alipay.close();
  rmSync(project, { recursive: true, force: true });
});

async function packAndInstall(): Promise<string[]> {
  const pack = ['pack', '--json', '--pack-destination', project];
  const stdout = await run('npm', pack, { cwd: root, env: bystanders() });
  // The build prints text before the JSON.
  const [tarball] = JSON.parse(stdout.slice(stdout.indexOf('\n[') + 1)) as [
    { filename: string; files: { path: string }[] },
  ];
  write('package.json', '{ "name": "shop", "private": true, "type": "module" }');
  // A package that does not run on this version of Node is an error, not a warning.
  write('.npmrc', 'engine-strict=true');
  write('checkout.mjs', readmeCode('PaymentClient.connect'));
  write('worker.mjs', readmeCode('runWorkers'));
  await run('npm', ['install', '--prefer-offline', `./${tarball.filename}`], { env: bystanders() });
  return tarball.files.map(({ path }) => path);
}

/** What only a worker needs, plus the framework of the last shop here. */
async function installWorkerSdk(): Promise<void> {
  const sdk = `@temporalio/worker@${peerDependencies['@temporalio/worker']}`;
  await expect(command('worker')).rejects.toThrow(`Run: npm install ${sdk}`);
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain(`npm install ${sdk}`);
  await run('npm', ['install', '--prefer-offline', sdk, EXPRESS_4], { env: bystanders() });
}

/** The optional peer behind `durable-alipay/testing`, as it is packed. */
async function installSandbox(): Promise<void> {
  const pack = ['pack', '--json', '--workspace', 'alipay-sandbox', '--pack-destination', project];
  const stdout = await run('npm', pack, { cwd: root, env: bystanders() });
  const [{ filename } = { filename: '' }] = JSON.parse(stdout.slice(stdout.indexOf('\n[') + 1)) as {
    filename: string;
  }[];
  await run('npm', ['install', '--prefer-offline', '--save-dev', `./${filename}`], { env: bystanders() });
}

/** The environment without a developer's own settings, and without npm's variables about the script it runs. */
function bystanders(): NodeJS.ProcessEnv {
  const others = /^(ALIPAY_|TEMPORAL_|DATABASE_|NODE_OPTIONS$|npm_(package_|lifecycle_|config_local_prefix))/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !others.test(name)));
}

async function run(
  command: string,
  args: readonly string[],
  { cwd = project, env = environment }: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const options = { cwd, env, timeout: 6 * MINUTE, maxBuffer: 32 * 1024 * 1024 };
  try {
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (error) {
    // Compilers print errors to standard output, which the error's own message leaves out.
    const { message, stdout = '' } = error as Error & { stdout?: string };
    throw new Error(`${message}\n${stdout}`, { cause: error });
  }
}

const node = (...args: string[]): Promise<string> => run(process.execPath, args);

const write = (file: string, text: string): void => writeFileSync(join(project, file), text);

/** Runs the README's checkout; a repeat finds the same payment. */
async function checkOut(): Promise<{ outTradeNo: string; paymentUrl: string }> {
  const [outTradeNo = '', paymentUrl = ''] = (await node('checkout.mjs')).trim().split(' ');
  return { outTradeNo, paymentUrl };
}

describe('the package', () => {
  it('holds what was built, the command and the papers, and nothing else', () => {
    const papers = [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'README.zh-CN.md',
      'client/bin.js',
      'package.json',
    ];
    expect(packed.filter((path) => !path.startsWith('dist/')).sort()).toEqual(papers);
    const rooms = new Set(
      packed.filter((path) => path.startsWith('dist/')).map((path) => path.split('/')[1]),
    );
    expect([...rooms].sort()).toEqual(['activities', 'client', 'db', 'worker', 'workflows']);
    expect(packed.filter((path) => !/\.(js|d\.ts)$/.test(path)).sort()).toEqual(
      papers.filter((path) => path !== 'client/bin.js'),
    );
    expect(packed.filter((path) => path.startsWith('dist/dev/'))).toEqual([]);
  });

  it('says nothing of the machine on which it was built', () => {
    const bundles = packed.filter((path) => path.startsWith('dist/worker/bundles/'));
    expect(bundles).toHaveLength(4);
    for (const bundle of bundles) {
      const code = readFileSync(join(project, 'node_modules', 'durable-alipay', bundle), 'utf8');
      const [, map = ''] = code.split('//# sourceMappingURL=data:application/json;charset=utf-8;base64,');
      expect(map.length).toBeGreaterThan(10_000);
      expect((code + Buffer.from(map, 'base64').toString()).includes(root)).toBe(false);
    }
  });

  it('loads neither an HTTP server nor a worker for a PaymentClient', async () => {
    const loaded = `require('durable-alipay');
       const files = Object.keys(require.cache);
       const heavy = /node_modules.(fastify|@fastify|commander|webpack|@swc|@temporalio.(worker|core-bridge|workflow|testing))[^a-z]/;
       console.log(JSON.stringify({ files: files.length, heavy: files.filter((file) => heavy.test(file)) }));`;
    const { files, heavy } = JSON.parse(await node('--eval', loaded)) as { files: number; heavy: string[] };
    expect(files).toBeGreaterThan(100);
    expect(heavy).toEqual([]);
  });
});

describe('a shop without the SDK of workers', () => {
  it('has neither that nor its native core', () => {
    const inner = readdirSync(join(project, 'node_modules', '@temporalio'));
    expect(inner).toContain('client');
    expect(inner).not.toContain('worker');
    expect(inner).not.toContain('core-bridge');
    expect(readdirSync(join(project, 'node_modules'))).not.toContain('alipay-sandbox');
  });

  it("checks out in the README's ten lines: a payment URL, and a workflow that watches", async () => {
    expect(readmeCode('PaymentClient.connect').trim().split('\n').length).toBeLessThanOrEqual(10);

    const { outTradeNo, paymentUrl } = await checkOut();

    expect(paymentUrl.startsWith(`${alipay.gateway}?`)).toBe(true);
    expect(await alipay.control.open(paymentUrl)).toBe(outTradeNo);
    const watching = await temporal.workflow.getHandle(paymentWorkflowId(outTradeNo)).describe();
    expect(watching).toMatchObject({ type: 'confirmPayment', taskQueue: 'payments' });
    expect(watching.status.name).toBe('RUNNING');
  });

  it('checks out and asks about a payment by the command', async () => {
    const order = ['A-1002', '--amount', '45.6', '--subject', 'Oolong tea'];
    const { outTradeNo } = JSON.parse(await command('checkout', ...order, '--json')) as {
      outTradeNo: string;
    };
    const shown = await command('payment', 'show', outTradeNo);
    expect(shown).toMatch(/^Order +A-1002$/m);
    expect(shown).toMatch(/^Amount +45.60$/m);
    expect(await command('--help')).toContain('Usage: durable-alipay');
  });

  it(
    'compiles against its types, and those of all that they need, on the strictest setting',
    async () => {
      write(
        'typed.ts',
        `import { PaymentClient } from 'durable-alipay';
       import type { Checkout, ErrorCode, Payment } from 'durable-alipay/client';
       import type { PaymentResult } from 'durable-alipay/messages';
       const payments: PaymentClient = await PaymentClient.connect();
       const order = { orderId: 'A', subject: 'tea', totalAmount: '1.00' };
       const checkout: Checkout = await payments.checkout(order);
       const payment: Payment = await payments.payment(checkout.outTradeNo);
       const told = ({ status }: PaymentResult): 'PAID' | 'CLOSED' | 'PARTIALLY_REFUNDED' | 'REFUNDED' => status;
       const code: ErrorCode = 'ORDER_PAID';
       export { code, payment, told };
       // @ts-expect-error -- an amount is a string
       await payments.checkout({ ...order, totalAmount: 1 });
       // @ts-expect-error -- no such status
       await payments.payments({ status: 'LOST' });`,
      );
      await expect(compile('typed.ts')).resolves.toBe('');
    },
    6 * MINUTE,
  );
});

describe('a shop with its own workers', () => {
  beforeAll(async () => {
    await installWorkerSdk();
    await installSandbox();
  }, 12 * MINUTE);

  it('has five doors, for ES modules and for CommonJS', async () => {
    write(
      'doors.mjs',
      `import { PaymentClient } from 'durable-alipay';
       import { PaymentError } from 'durable-alipay/client';
       import { paymentWorkflowId } from 'durable-alipay/messages';
       import { runWorkers } from 'durable-alipay/worker';
       import { startSandbox } from 'durable-alipay/testing';
       console.log(typeof PaymentClient, typeof PaymentError, paymentWorkflowId('X'), typeof runWorkers, typeof startSandbox);
       for (const inner of ['/dist/client/http.js', '/db']) {
         await import('durable-alipay' + inner).catch(({ code }) => console.log(code));
       }`,
    );
    expect((await node('doors.mjs')).trim().split('\n')).toEqual([
      'function function payment-X function function',
      ...Array<string>(2).fill('ERR_PACKAGE_PATH_NOT_EXPORTED'),
    ]);
    const required = `const doors = ['', '/client', '/messages', '/worker', '/testing'].map((door) => require('durable-alipay' + door));
       console.log(doors.every((door) => Object.keys(door).length > 1));`;
    expect((await node('--eval', required)).trim()).toBe('true');
  });

  it(
    'compiles against the types of workers and of the sandbox',
    async () => {
      write(
        'typed-worker.ts',
        `import { createLogger, runWorkers } from 'durable-alipay/worker';
       import { startSandbox } from 'durable-alipay/testing';
       const url: string = (await startSandbox()).gateway;
       await runWorkers();
       await runWorkers({ queues: ['payments'], log: createLogger() });
       // @ts-expect-error -- no such queue
       await runWorkers({ queues: ['refunds'] });
       export { url };`,
      );
      await expect(compile('typed-worker.ts')).resolves.toBe('');
    },
    6 * MINUTE,
  );

  it(
    'tests itself as the documentation shows',
    async () => {
      write('shop.test.mjs', example('shop.test.mjs'));
      await expect(node('--test', 'shop.test.mjs')).resolves.toMatch(/pass 1\n/);
    },
    3 * MINUTE,
  );

  it('has its own worker find the payment, and tell the order service', async () => {
    const { outTradeNo, paymentUrl } = await checkOut();
    await alipay.control.open(paymentUrl);
    await alipay.control.pay(outTradeNo, { notify: false });

    const [port = 0] = await freePorts(1);
    const worker = startWorker({ ...environment, METRICS_ADDRESS: `127.0.0.1:${port}` });
    try {
      const state = await temporal.workflow.result<typeof confirmPayment>(paymentWorkflowId(outTradeNo));
      expect(state).toMatchObject({ status: 'PAID', lastAnswer: 'paid' });
      await waitFor(async () => await ended(orderWorkflowId('A-1001')), {
        what: 'the order service to be told',
        timeoutMs: 60_000,
      });
      const metrics = await fetch(`http://127.0.0.1:${port}/metrics`);
      expect(await metrics.text()).toMatch(/^durable_alipay_/m);
    } finally {
      await stop(worker);
    }
  });
});

describe('the workflow code that was bundled with the package', () => {
  const keys = `first:${Buffer.alloc(32, 7).toString('base64')}`;
  let collector: Collector;

  beforeAll(async () => {
    collector = await Collector.start();
  });

  afterAll(() => collector.close());

  const settings = [
    { name: 'plainly' },
    { name: 'traced', traced: true },
    { name: 'encrypted', encrypted: true },
    { name: 'traced and encrypted', traced: true, encrypted: true },
  ];
  it.each(settings)('is what a worker runs, $name, without webpack', async ({ name, traced, encrypted }) => {
    const own: NodeJS.ProcessEnv = {
      ...(traced && { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' }),
      ...(encrypted && { PAYLOAD_KEYS: keys }),
    };
    const env = { ...environment, ...own };
    const orderId = `B-${name.replaceAll(' ', '-')}`;
    const order = [orderId, '--amount', '7', '--subject', 'Oolong tea', '--json'];
    const { outTradeNo, paymentUrl } = JSON.parse(
      await run('npx', ['durable-alipay', 'checkout', ...order], { env }),
    ) as { outTradeNo: string; paymentUrl: string };
    await alipay.control.open(paymentUrl);
    await alipay.control.pay(outTradeNo, { notify: false });
    const spansBefore = collector.spans.length;

    const worker = startWorker(env);
    try {
      const told = async (): Promise<boolean> => await ended(orderWorkflowId(orderId));
      await waitFor(async () => await told().catch(() => dead(worker)), {
        what: 'the order service to be told',
        timeoutMs: 120_000,
      });
    } finally {
      await stop(worker);
    }
    const ofWorkflows = collector.spans
      .slice(spansBefore)
      .filter((span) => span.name.startsWith('RunWorkflow:'));
    expect(ofWorkflows.length > 0).toBe(traced === true);
  });

  it('is what a rehearsal replays with', async () => {
    barWebpack();
    const bin = join('node_modules', 'durable-alipay', 'client', 'bin.js');
    await expect(node('--require', './no-webpack.cjs', bin, 'worker', '--rehearse')).resolves.toContain(
      'rehearsal over',
    );
  });
});

it(
  'a shop by certificates is paid in an app and in a mini program, and acts on each result once in Express 4',
  () =>
    byCertificates(project, environment as Record<string, string>, (env, ...args) =>
      run('npx', ['durable-alipay', ...args], { env }),
    ),
  8 * MINUTE,
);

/** With TypeScript's default, `skipLibCheck: false`: the declarations of all dependencies are compiled too. */
function compile(file: string): Promise<string> {
  const compiler = join(root, 'node_modules', 'typescript', 'lib', 'tsc.js');
  const types = ['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node'];
  const strict = ['--noEmit', '--strict', '--target', 'es2023', '--lib', 'es2023', '--module', 'nodenext'];
  return node(compiler, ...strict, ...types, file);
}

const command = (...args: string[]): Promise<string> => run('npx', ['durable-alipay', ...args]);

async function ended(workflowId: string): Promise<boolean> {
  const { status } = await temporal.workflow.getHandle(workflowId).describe();
  return status.name === 'COMPLETED';
}

/** Not yet, or never: a worker that has ended finishes nothing. */
function dead({ exitCode }: ChildProcess): false {
  if (exitCode !== null) throw new Error(`the worker ended with ${exitCode}`);
  return false;
}

/** The SDK loads webpack in any case; here nothing may use it. */
function barWebpack(): void {
  write(
    'no-webpack.cjs',
    `const real = require('webpack');
     const barred = { webpack: { value() { throw new Error('webpack was called'); } } };
     require.cache[require.resolve('webpack')].exports = Object.create(real, barred);`,
  );
}

/** It ends with this process, however that ends. */
function startWorker(env = environment): ChildProcess {
  barWebpack();
  const leash = `process.stdin.once('close', () => process.kill(process.pid, 'SIGTERM')).resume();`;
  const orderService = `import { createLogger, runWorkers } from 'durable-alipay/worker';
    const orderService = runWorkers({ queues: ['order-service'], log: createLogger() });`;
  write(
    'leashed-worker.mjs',
    `${orderService}\n${leash}\nawait Promise.all([import('./worker.mjs'), orderService]);`,
  );
  const log = process.env['TEST_LOG'] ? 'inherit' : 'ignore';
  return spawn(process.execPath, ['--require', './no-webpack.cjs', 'leashed-worker.mjs'], {
    cwd: project,
    env,
    stdio: ['pipe', log, log],
  });
}
