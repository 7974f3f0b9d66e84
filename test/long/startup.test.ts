import { execFile } from 'node:child_process';
import { createServer as createHttp2Server } from 'node:http2';
import type { Http2Server } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Connection } from '@temporalio/client';
import { createLogger } from '../../worker/log';
import { connectTemporal } from '../../worker/startup';
import { temporalFault } from '../../worker/temporal-faults';
import { runWorkers } from '../../worker/worker';
import { PaymentError } from '../../workflows/errors';
import type { Shop } from '../support';
import { openShop, startProcess, temporalAddress, waitFor } from '../support';
import { environmentOf } from '../integration/operator';

// What a worker says that cannot reach Temporal: why, and what to do. Never a secret. (For Postgres: database-faults.)

/** Nothing listens here. */
const CLOSED = '127.0.0.1:18010';

const EMPTY_MESSAGE = Buffer.alloc(5);

const API_KEY = 'the-key-that-has-expired';

const servers: (Server | Http2Server)[] = [];
const sockets = new Set<Socket>();
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
});

async function listen(server: Server | Http2Server): Promise<string> {
  servers.push(server);
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A Temporal that returns this gRPC status for every call; or for only one, and empty responses for the others. */
function refusing(status: number, call = ''): Promise<string> {
  const server = createHttp2Server();
  server.on('stream', (stream, { ':path': path = '' }) => {
    if (!path.endsWith(call)) {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(EMPTY_MESSAGE);
      return;
    }
    stream.respond(
      {
        ':status': 200,
        'content-type': 'application/grpc',
        'grpc-status': String(status),
        'grpc-message': 'Request unauthorized.',
      },
      { endStream: true },
    );
  });
  return listen(server);
}

/** Runs what must fail; returns its error, and what the log says. */
async function failure(
  attempt: (log: ReturnType<typeof createLogger>) => Promise<unknown>,
): Promise<{ error: PaymentError; logged: string }> {
  let logged = '';
  const log = createLogger({ env: {}, destination: { write: (line) => void (logged += line) } });
  const error: unknown = await attempt(log).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PaymentError)) throw new Error('it did not fail as it should', { cause: error });
  return { error, logged };
}

describe('a worker of wrong usage', () => {
  it('says so as every command does, and ends with 2', async () => {
    const started = promisify(execFile)(process.execPath, [
      ...['--import', 'tsx', join(__dirname, '..', '..', 'worker', 'main.ts'), '--queues', 'orders'],
    ]);
    await expect(started).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^INVALID_INPUT: option '--queues <names>' .*No such queue: orders\./,
      ) as unknown,
    });
  });
});

describe('a worker that does not reach Temporal', () => {
  it.each<[string, () => string | Promise<string>, RegExp]>([
    [
      'nothing listens',
      () => CLOSED,
      /^Nothing listens at 127\.0\.0\.1:18010\. Start Temporal, or set the right TEMPORAL_ADDRESS/,
    ],
    [
      'the host has no address',
      () => 'nowhere.invalid:7233',
      /^The host of nowhere\.invalid:7233 cannot be resolved/,
    ],
    [
      'the API key has expired',
      () => refusing(16),
      /refuses the API key or certificate: it is missing, wrong or has expired\. Set the right TEMPORAL_API_KEY/,
    ],
    [
      'the API key has no rights',
      () => refusing(7),
      /gives this API key or certificate no rights here\. Give it rights/,
    ],
    [
      'it is not Temporal',
      () => listen(createServer((socket) => socket.once('data', () => socket.end('HTTP/1.1 400\r\n\r\n')))),
      /is not Temporal/,
    ],
    ['it is out of order', () => refusing(13), /^Temporal does not answer at .*: .*Request unauthorized/],
  ])('says so where %s, at each attempt and at the end', async (_why, open, says) => {
    const address = await open();
    const metadata = { authorization: `Bearer ${API_KEY}` };
    const { error, logged } = await failure((log) => connectTemporal({ address, metadata }, log, 1));
    expect(error).toMatchObject({ code: 'TEMPORAL_UNAVAILABLE', cause: expect.anything() as unknown });
    expect(error.message).toMatch(says);
    expect(JSON.parse(logged)).toMatchObject({
      msg: 'not reachable yet',
      what: 'Temporal',
      reason: expect.stringMatching(new RegExp(says.source.split('\\. ')[0] ?? '', 'i')) as unknown,
    });
    expect(`${error.message} ${logged}`).not.toContain(API_KEY);
  });

  it('says so where TLS is spoken to a server without it', async () => {
    const { error } = await failure((log) =>
      connectTemporal({ address: temporalAddress(), apiKey: API_KEY }, log, 0),
    );
    expect(error.message).toMatch(/one side uses TLS and the other does not.* Set or unset TEMPORAL_TLS/);
  });

  it('waits for a silent one no longer than ten seconds an attempt', async () => {
    const address = await listen(createServer());
    const { error } = await failure((log) => connectTemporal({ address }, log, 0));
    expect(error.message).toMatch(/^Temporal does not answer at .*timed out after 10000ms/);
  });

  it('gives the same causes in the same words as those who use the other client', async () => {
    for (const [status, says] of [
      [16, 'refuses the API key'],
      [7, 'no rights here'],
    ] as const) {
      const address = await refusing(status);
      const connection = Connection.lazy({ address, connectTimeout: 30_000 });
      const error: unknown = await connection
        .ensureConnected()
        .then(() => connection.workflowService.getSystemInfo({}))
        .catch((thrown: unknown) => thrown);
      expect(temporalFault(error, address).what).toContain(says);
      await connection.close();
    }
  });
});

describe('a worker that fails after its first connection says why, in words of the interface', () => {
  let shop: Shop;
  beforeAll(async () => (shop = await openShop(__filename, { queues: [] })));
  afterAll(() => shop.close());

  it('where the API key has no rights in this namespace', async () => {
    const env = { ...environmentOf(shop), TEMPORAL_ADDRESS: await refusing(7, '/DescribeNamespace') };
    const { error } = await failure((log) => runWorkers({ env, log }));
    expect(error).toMatchObject({
      code: 'TEMPORAL_UNAVAILABLE',
      message: expect.stringMatching(/no rights here\. Give it rights in this namespace/) as unknown,
      cause: expect.objectContaining({ code: 7 }) as unknown,
    });
  });

  it('where a table is gone', async () => {
    await shop.sql('ALTER TABLE alipay_keys RENAME TO elsewhere');
    const { error } = await failure((log) => runWorkers({ env: environmentOf(shop), log }));
    await shop.sql('ALTER TABLE elsewhere RENAME TO alipay_keys');
    expect(error).toMatchObject({
      code: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(/^The schema lacks tables or columns \(42P01\)\./) as unknown,
      cause: expect.objectContaining({ code: '42P01' }) as unknown,
    });
  });
});

describe('a worker that is told to stop while it waits', () => {
  it.each([
    ['for Postgres', { DATABASE_URL: `postgres://shop@${CLOSED}/shop` }, '"what":"Postgres"'],
    ['for Temporal', { TEMPORAL_ADDRESS: CLOSED }, '"what":"Temporal"'],
  ])('%s ends at once', async (_what, missing, waits) => {
    const shop = await openShop(__filename, { queues: [] });
    const worker = startProcess('worker/main.ts', { ...environmentOf(shop), ...missing });
    try {
      await waitFor(() => worker.output().includes(waits), { what: 'the worker to wait', timeoutMs: 90_000 });
      const toldAt = performance.now();
      expect(await worker.stop()).toBe(143);
      // A worker that ignored this would retry for about a minute.
      expect(performance.now() - toldAt).toBeLessThan(20_000);
    } finally {
      worker.kill();
      await shop.close();
    }
  });
});
