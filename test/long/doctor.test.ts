import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ScheduleOverlapPolicy } from '@temporalio/client';
import type { Worker } from '@temporalio/worker';
import type { DiagnosisOptions, Finding } from '../../client/doctor';
import { diagnose } from '../../client/doctor';
import { markRecovered, noteStore } from '../../db/temporal-stores';
import { TASK_QUEUES } from '../../workflows/messages';
import { createWorkers } from '../../worker/worker';
import type { Shop } from '../support';
import { freshDatabase, openShop, temporalAddress, temporalCli, waitFor, workflowBundle } from '../support';
import { query } from '../../dev/postgres';
import { parsePrivateKey } from '../../worker/keys';
import { environmentOf } from '../integration/operator';

/** Nothing listens here. */
const CLOSED_PORT = 18_010;

type Env = Record<string, string>;

let shop: Shop;
let env: Env;
let orderService: Worker | undefined;
let running: Promise<void> | undefined;

beforeAll(async () => {
  shop = await openShop(__filename, { queues: [TASK_QUEUES.payments, TASK_QUEUES.alipay] });
  env = environmentOf(shop);
});
afterAll(async () => {
  orderService?.shutdown();
  await running;
  await shop.close();
});

/** The checks that found something, by name, with what they say and advise. */
async function trouble(changes: Env = {}, options: DiagnosisOptions = {}): Promise<Record<string, string>> {
  const findings = await diagnose({ ...env, ...changes }, options);
  return Object.fromEntries(
    findings
      .filter(({ verdict }) => verdict === 'fault' || verdict === 'warning')
      .map(({ check, verdict, says, advice }) => [check, `${verdict}: ${says} → ${advice ?? ''}`]),
  );
}

const verdicts = async (changes: Env = {}): Promise<Record<string, string>> =>
  Object.fromEntries((await diagnose({ ...env, ...changes })).map(({ check, verdict }) => [check, verdict]));

const newPublicKey = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 2048 })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString();

const newPrivateKey = (): string =>
  generateKeyPairSync('rsa', { modulusLength: 2048 })
    .privateKey.export({ type: 'pkcs8', format: 'pem' })
    .toString();

const listeners: Server[] = [];
afterAll(async () => {
  for (const one of listeners) await new Promise((resolve) => one.close(resolve));
});

/** An HTTP server of the test; returns its address. */
async function listen(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  listeners.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const part of request) body += String(part);
  return body;
}

describe('on a shop of which nobody has started the rest', () => {
  it('the doctor names the queue that no worker polls, and the Schedule that is not installed', async () => {
    // The other queues' workers have just started: the server may not have seen each of them poll.
    const found = await waitFor(
      async () => {
        const now = await trouble();
        return !/(payments|alipay) \(/.test(now['task-queues'] ?? '') && now;
      },
      { what: 'the other queues to be polled', timeoutMs: 60_000 },
    );
    expect(found).toMatchObject({
      'task-queues':
        "fault: no worker polls order-service (workflow tasks) → Start the shop's own worker on order-service, or runWorkers with onResult in each process that runs workers, or the built-in one: durable-alipay worker --queues order-service",
      schedule:
        'fault: the Schedule sweep-expired-orders is not installed → Run: durable-alipay sweep install',
    });
  });
});

describe('on a whole shop', () => {
  beforeAll(async () => {
    const { connection, namespace, deps } = shop;
    [orderService] = await createWorkers({
      connection,
      namespace,
      deps,
      queues: [TASK_QUEUES.orderService],
      workflowBundle: await workflowBundle(),
    });
    running = orderService?.run();
    await shop.payments.sweep.install();
    await waitFor(async () => (await verdicts())['task-queues'] === 'ok', {
      what: 'the third queue to be polled',
      timeoutMs: 60_000,
    });
  });

  it('the doctor finds no fault, and tells of each check as it comes', async () => {
    const told: Finding[] = [];
    const findings = await diagnose(env, { notify: true, tell: (finding) => told.push(finding) });
    expect(findings.filter(({ verdict }) => verdict === 'fault' || verdict === 'skipped')).toEqual([]);
    expect(told).toEqual(findings);
    expect(findings.map(({ check }) => check)).toEqual([
      'environment',
      'keys',
      'database',
      'database-clock',
      'isolation',
      'schema',
      'rights',
      'migrations',
      'results',
      'pauses',
      'temporal',
      'namespace',
      'retention',
      'search-attributes',
      'task-queues',
      'worker-deployment',
      'schedule',
      'last-sweep',
      'notifications',
      'merchants',
      'seller-ids',
      'temporal-store',
      'gateway',
      'alipay-clock',
      'signed-answers',
      'notify-url',
      'notify-endpoint',
    ]);
  });

  it('shows no secret, whatever is wrong', async () => {
    const findings = await diagnose(
      { ...env, DATABASE_URL: `postgres://shop:hunter2@127.0.0.1:${CLOSED_PORT}/shop`, API_TOKEN: 'hunter2' },
      { deadlineMs: 5_000 },
    );
    expect(JSON.stringify(findings)).not.toMatch(/hunter2|PRIVATE KEY/);
  });

  it('changes nothing in the database', async () => {
    const url = await freshDatabase({ empty: true });
    await diagnose({ ...env, DATABASE_URL: url });
    expect(await query(url, `SELECT * FROM pg_tables WHERE schemaname = 'public'`)).toEqual([]);
  });

  const databaseNamed = (name: string): string =>
    Object.assign(new URL(env['DATABASE_URL'] ?? ''), { pathname: name }).href;

  it.each<[string, () => Env | Promise<Env>, Record<string, RegExp>]>([
    [
      'a variable that is missing',
      () => ({ ALIPAY_APP_ID: '' }),
      { environment: /ALIPAY_APP_ID is not set/ },
    ],
    [
      'every fault of the environment at once',
      () => ({ SWEEP_CRON: '0/30 * * * * *', ORDER_TTL: '1s', ALIPAY_GATEWAY: 'openapi' }),
      { environment: /ALIPAY_GATEWAY .*not an http[\s\S]*SWEEP_CRON .*six fields[\s\S]*ORDER_TTL .*twice/ },
    ],
    [
      'a Temporal configuration that cannot be read',
      () => ({ TEMPORAL_CONFIG_FILE: '/nowhere.toml', TEMPORAL_PROFILE: 'live' }),
      { environment: /TEMPORAL_\* cannot be read/ },
    ],
    [
      'our own public key in the place of Alipay’s',
      () => ({ ALIPAY_PUBLIC_KEY: ownPublicKey() }),
      { environment: /ALIPAY_PUBLIC_KEY is the public half of ALIPAY_PRIVATE_KEY/ },
    ],
    [
      'a database that nothing listens for',
      () => ({ DATABASE_URL: `postgres://shop@127.0.0.1:${CLOSED_PORT}/shop` }),
      {
        database:
          /Nothing listens where DATABASE_URL points \(127\.0\.0\.1:18010\/shop, ECONNREFUSED\) → Start Postgres/,
      },
    ],
    [
      'a database that does not exist',
      () => ({ DATABASE_URL: databaseNamed('nowhere') }),
      { database: /There is no such database \(.*\/nowhere, 3D000\)/ },
    ],
    [
      'a database without tables',
      async () => ({ DATABASE_URL: await freshDatabase({ empty: true }) }),
      { schema: /holds none of the tables → Run: durable-alipay migrate/ },
    ],
    [
      'a schema that is another one',
      () => ({ DATABASE_SCHEMA: 'shop' }),
      { schema: /schema shop holds none/ },
    ],
    [
      'a migration that is pending',
      withoutLastMigration,
      { migrations: /lacks migration \d+_\w+ → Run: durable-alipay migrate/ },
    ],
    [
      'a migration that only a newer program knows',
      withNewerMigration,
      { migrations: /newer than this program/ },
    ],
    [
      'an invalid index',
      withBrokenIndex,
      {
        migrations: /index orders_paid_by is invalid.* → .*REINDEX INDEX CONCURRENTLY public.orders_paid_by/,
      },
    ],
    [
      'a user who may not write',
      readingUser,
      { rights: /user reader\w* lacks .*INSERT on payments.* → .*GRANT SELECT, INSERT, UPDATE/ },
    ],
    [
      'a user whose transactions are stricter by default',
      strictUser,
      {
        isolation:
          /warning: READ COMMITTED in transactions, but the default of user strict\w* is serializable → Run: ALTER ROLE/,
      },
    ],
    [
      'a Temporal that does not answer',
      () => ({ TEMPORAL_ADDRESS: `127.0.0.1:${CLOSED_PORT}` }),
      {
        temporal: /Nothing listens at 127\.0\.0\.1:18010 → Start Temporal, or set the right TEMPORAL_ADDRESS/,
      },
    ],
    [
      'a namespace that does not exist',
      () => ({ TEMPORAL_NAMESPACE: 'nowhere' }),
      { namespace: /no namespace nowhere → Run: temporal operator namespace create/ },
    ],
    [
      'search attributes that are not registered, and histories that are kept too short',
      freshNamespace,
      { 'search-attributes': /not registered: OutTradeNo, OrderId, PaymentStatus/, retention: /24 hours/ },
    ],
    [
      'a gateway where nothing listens',
      () => ({ ALIPAY_GATEWAY: `http://127.0.0.1:${CLOSED_PORT}/gateway.do` }),
      { gateway: /refuses connections.* → Fix ALIPAY_GATEWAY/ },
    ],
    [
      'another address in the place of the gateway',
      () => ({ ALIPAY_GATEWAY: `${shop.alipay.url}/gateway` }),
      { gateway: /returns HTTP 404 → Fix ALIPAY_GATEWAY/ },
    ],
    [
      'an application that Alipay does not know',
      () => ({ ALIPAY_APP_ID: '2021999999999999' }),
      { 'signed-answers': /isv\.invalid-app-id: Alipay has no application .* → Fix ALIPAY_APP_ID/ },
    ],
    [
      'a private key that Alipay has not the public half of',
      () => ({ ALIPAY_PRIVATE_KEY: newPrivateKey() }),
      {
        'signed-answers': /isv\.invalid-signature: .*cannot verify our signature.* → Upload its public half/,
      },
    ],
    [
      'a public key that is not Alipay’s',
      () => ({ ALIPAY_PUBLIC_KEY: newPublicKey() }),
      { 'signed-answers': /does not verify with ALIPAY_PUBLIC_KEY → Set Alipay's public key/ },
    ],
    [
      'a clock at Alipay that is two minutes off',
      withLateGateway,
      { 'alipay-clock': /fault: .* 2m ahead of Alipay's → .*NTP/ },
    ],
    [
      'a notify URL that anybody can read along',
      () => ({ ALIPAY_NOTIFY_URL: 'http://shop.example/alipay/notify' }),
      { 'notify-url': /fault: .*is not https/ },
    ],
    [
      'a notify URL in a private network',
      () => ({ ALIPAY_NOTIFY_URL: 'https://192.168.1.5/alipay/notify' }),
      { 'notify-url': /fault: .*private network/ },
    ],
  ])('the doctor names %s', async (_what, misconfigure, expected) => {
    const found = await trouble(await misconfigure(), { deadlineMs: 8_000 });
    for (const [check, words] of Object.entries(expected))
      expect(found).toMatchObject({ [check]: expect.stringMatching(words) as unknown });
  });

  it.each([
    ['a minute and more', 70_000, 'fault'],
    ['some seconds', 10_000, 'warning'],
    ['a second or two', 2_000, 'ok'],
  ])('judges clocks that are %s apart', async (_how, offMs, verdict) => {
    const findings = await diagnose(env, { now: () => Date.now() + offMs });
    const clocks = findings.filter(({ check }) => check.endsWith('clock'));
    expect(clocks.map((clock) => clock.verdict)).toEqual([verdict, verdict]);
  });

  it('names a gateway that is down, that hangs, and that answers unsigned or throttles', async () => {
    const { control } = shop.alipay;
    await control.down(true);
    expect((await trouble())['gateway']).toMatch(/HTTP 502 → Wait/);
    await control.down(false);
    for (const [mode, words] of [
      ['no-signature', /fault: no reliable answer: answer without signature/],
      ['20000', /fault: no reliable answer: 20000/],
      ['20000-unsigned', /fault: no reliable answer: 20000/],
      ['20000-gbk', /fault: no reliable answer: 20000/],
      ['40006', /fault: .*40006|fault: isv\.insufficient/],
      ['40005', /warning: Alipay throttles our calls → Set ALIPAY_MAX_RPS/],
      ['40005-unsigned', /warning: Alipay throttles our calls/],
      ['40005-gbk', /warning: Alipay throttles our calls/],
      ['hang', /fault: no reliable answer: no answer/],
    ] as const) {
      await control.fault({ mode, method: 'alipay.trade.query' });
      // A short time-out only for what never comes: a busy machine may take longer than this to answer.
      const changes: Env = mode === 'hang' ? { ALIPAY_TIMEOUT: '300ms' } : {};
      expect([mode, (await trouble(changes))['signed-answers']]).toEqual([
        mode,
        expect.stringMatching(words),
      ]);
      await control.clearFaults();
    }
  });

  it('names a Schedule that is paused, with who and why', async () => {
    await shop.payments.sweep.pause('li: maintenance');
    expect((await trouble())['schedule']).toMatch(
      /is paused \(li: maintenance\): nothing is swept → .*sweep resume/,
    );
    await shop.payments.sweep.resume('li: over');
  });

  it('names a last sweep that was ended by force', async () => {
    const handle = shop.temporal.schedule.getHandle('sweep-expired-orders');
    const last = async (): Promise<string> =>
      (await handle.describe()).info.recentActions.at(-1)?.action.workflow.workflowId ?? '';
    // A sweep that no worker takes up waits, so that it can be terminated. It has its own id: the server appends only
    // whole seconds, so a sweep triggered within the same second as the previous one would get the same id.
    await handle.update((schedule) => ({
      ...schedule,
      spec: { intervals: [{ every: '1 day' }] },
      action: { ...schedule.action, taskQueue: 'nobody', workflowId: 'sweep-nobody-takes-up' },
    }));
    await handle.trigger(ScheduleOverlapPolicy.ALLOW_ALL);
    await waitFor(async () => (await last()).startsWith('sweep-nobody-takes-up'), {
      what: 'the triggered sweep',
      timeoutMs: 60_000,
    });
    await shop.temporal.workflow.getHandle(await last()).terminate('stuck for an hour');
    expect((await trouble())['last-sweep']).toMatch(
      /fault: .* is TERMINATED: .*stuck for an hour → .*temporal workflow show/,
    );
    await shop.payments.sweep.install();
  });

  it('names another Temporal store that workers serve, or have served, and content is only with its own', async () => {
    const { namespaceInfo } = await shop.connection.workflowService.describeNamespace({
      namespace: shop.namespace,
    });
    const seen = {
      namespaceId: randomUUID(),
      address: 'old:7233',
      namespace: 'default',
      merchants: shop.deps.alipay.ids,
    };
    const age = (seconds: number) =>
      shop.sql(`UPDATE temporal_stores SET seen_at = clock_timestamp() - :seconds * interval '1 second'`, {
        seconds,
      });
    await noteStore(shop.db, seen);
    expect((await trouble())['temporal-store']).toMatch(
      /^fault: workers serve this database from another Temporal store: namespace default at old:7233, seen .* FOREIGN/,
    );
    await age(30);
    expect((await trouble())['temporal-store']).toMatch(
      /^warning: the last worker served another Temporal store: .*old:7233, seen (3\ds|[4-9]\ds|[12]m) ago → If that store was lost/,
    );
    await noteStore(shop.db, { ...seen, namespaceId: namespaceInfo?.id ?? '' });
    expect((await trouble())['temporal-store']).toMatch(/^warning: it took over at .* STORE_NOT_RECOVERED/);
    await markRecovered(shop.db, namespaceInfo?.id ?? '');
    expect(await verdicts()).toMatchObject({ merchants: 'ok', 'temporal-store': 'ok' });
  });

  it('names whatever else answers at the notify URL, only where it is asked to', async () => {
    const believer = await listen(
      (request, response) => void bodyOf(request).then(() => response.end('success')),
    );
    const stranger = await listen((request, response) => {
      request.resume();
      response.writeHead(404).end('not here');
    });
    const notify = { notify: true };
    expect((await trouble({ ALIPAY_NOTIFY_URL: believer }, notify))['notify-endpoint']).toMatch(
      /accepts an unsigned notification/,
    );
    expect((await trouble({ ALIPAY_NOTIFY_URL: stranger }, notify))['notify-endpoint']).toMatch(
      /returns HTTP 404/,
    );
    expect(
      (await trouble({ ALIPAY_NOTIFY_URL: `http://127.0.0.1:${CLOSED_PORT}` }, notify))['notify-endpoint'],
    ).toMatch(/refuses connections/);
    expect(await verdicts({ ALIPAY_NOTIFY_URL: stranger })).not.toHaveProperty('notify-endpoint');
  });

  it('waits for nobody longer than the deadline, and skips what needs the answer', async () => {
    const sockets: Socket[] = [];
    const silent = createTcpServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const findings = await diagnose(
      { ...env, DATABASE_URL: `postgres://shop@127.0.0.1:${port}/shop` },
      { deadlineMs: 400 },
    );
    expect(findings.find(({ check }) => check === 'database')).toMatchObject({
      verdict: 'fault',
      says: 'no answer within 400ms',
    });
    expect(
      // Temporal may well be slower than this deadline too.
      findings
        .filter(({ says }) => says.startsWith('needs database'))
        .map(({ check, says }) => [check, says]),
    ).toEqual([
      ['database-clock', 'needs database'],
      ['isolation', 'needs database'],
      ['schema', 'needs database'],
      ['rights', 'needs database, schema'],
      ['migrations', 'needs database, schema, rights'],
      ['results', 'needs database'],
      ['pauses', 'needs database'],
    ]);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => silent.close(resolve));
  });
});

function ownPublicKey(): string {
  return parsePrivateKey(shop.alipay.appPrivateKey).publicKey;
}

async function withoutLastMigration(): Promise<Env> {
  const DATABASE_URL = await freshDatabase();
  await query(
    DATABASE_URL,
    `DELETE FROM durable_alipay_migrations WHERE id = (SELECT max(id) FROM durable_alipay_migrations)`,
  );
  return { DATABASE_URL };
}

async function withNewerMigration(): Promise<Env> {
  const DATABASE_URL = await freshDatabase();
  await query(
    DATABASE_URL,
    `INSERT INTO durable_alipay_migrations (name, batch, migration_time) VALUES ('99990101_later', 9, now())`,
  );
  return { DATABASE_URL };
}

async function withBrokenIndex(): Promise<Env> {
  const DATABASE_URL = await freshDatabase();
  await query(
    DATABASE_URL,
    `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_paid_by'::regclass`,
  );
  return { DATABASE_URL };
}

/** A user for this test only, with read access and nothing else. */
async function readingUser(): Promise<Env> {
  const url = await freshDatabase();
  const user = `reader_${process.pid}`;
  await query(url, `CREATE ROLE ${user} LOGIN PASSWORD 'reader'`);
  await query(url, `GRANT SELECT ON ALL TABLES IN SCHEMA public TO ${user}`);
  return { DATABASE_URL: Object.assign(new URL(url), { username: user, password: 'reader' }).href };
}

/** The same shop, with a user for whom an administrator has set another isolation level. */
async function strictUser(): Promise<Env> {
  const url = env['DATABASE_URL'] ?? '';
  const user = `strict_${process.pid}`;
  await query(url, `CREATE ROLE ${user} SUPERUSER LOGIN PASSWORD 'strict'`);
  await query(url, `ALTER ROLE ${user} SET default_transaction_isolation = 'serializable'`);
  return { DATABASE_URL: Object.assign(new URL(url), { username: user, password: 'strict' }).href };
}

/** A namespace that no worker has prepared. */
async function freshNamespace(): Promise<Env> {
  const namespace = `doctor-${process.pid}`;
  await promisify(execFile)(temporalCli(), [
    ...['operator', 'namespace', 'create', '--namespace', namespace, '--retention', '24h'],
    ...['--address', temporalAddress()],
  ]);
  await waitFor(
    async () => (await verdicts({ TEMPORAL_NAMESPACE: namespace }))['search-attributes'] === 'fault',
    { what: 'the namespace to be known', timeoutMs: 60_000, everyMs: 500 },
  );
  return { TEMPORAL_NAMESPACE: namespace };
}

/** The sandbox behind a proxy whose clock is two minutes slow. */
async function withLateGateway(): Promise<Env> {
  const url = await listen((request, response) => {
    void bodyOf(request).then(async (body) => {
      const answer = await fetch(`${shop.alipay.url}${request.url ?? ''}`, {
        method: request.method ?? 'GET',
        ...(request.method === 'POST' && {
          body,
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        }),
      });
      response.setHeader('date', new Date(Date.now() - 120_000).toUTCString());
      response.end(await answer.text());
    });
  });
  return { ALIPAY_GATEWAY: `${url}/gateway.do` };
}
