import { createServer } from 'node:http2';
import type { Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { hasStatus, within } from '../../activities/temporal-calls';

const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;
const EMPTY_MESSAGE = Buffer.alloc(5);

/** A Temporal that accepts connections and refuses each call after `pauseMs`. */
let pauseMs: number;
let server: Http2Server;
const clients: Record<string, Client> = {};

beforeAll(async () => {
  server = createServer().on('stream', (stream, { ':path': path = '' }) => {
    const connects = path.endsWith('/GetSystemInfo');
    stream.on('error', () => undefined);
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () =>
      stream.sendTrailers({ 'grpc-status': connects ? '0' : String(UNAVAILABLE) }),
    );
    setTimeout(() => stream.end(connects ? EMPTY_MESSAGE : undefined), connects ? 0 : pauseMs).unref();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  clients['the native connection'] = new Client({ connection: await NativeConnection.connect({ address }) });
  clients["the client's connection"] = new Client({ connection: await Connection.connect({ address }) });
});
afterAll(async () => {
  for (const { connection } of Object.values(clients)) await connection.close();
  server.close();
});

async function failing(temporal: Client | undefined, ms: number) {
  const calledAt = performance.now();
  const error: unknown = await within(temporal as Client, ms, () =>
    (temporal as Client).workflow.getHandle('payment-1').signal('x'),
  ).catch((thrown: unknown) => thrown);
  return { error, tookMs: performance.now() - calledAt };
}

describe.each(['the native connection', "the client's connection"])('a call of Temporal by %s', (kind) => {
  it('that is refused and repeated all the time ends when its time is over', async () => {
    pauseMs = 300;
    const { error, tookMs } = await failing(clients[kind], 500);
    expect(hasStatus(error, [DEADLINE_EXCEEDED])).toBe(true);
    // Otherwise it is retried for 10 s.
    expect(tookMs).toBeLessThan(5_000);
  });

  it('that is not answered ends when its time is over', async () => {
    pauseMs = 60_000;
    const { error, tookMs } = await failing(clients[kind], 500);
    expect(hasStatus(error, [DEADLINE_EXCEEDED])).toBe(true);
    expect(tookMs).toBeLessThan(5_000);
  });

  it('succeeds or fails as it is', async () => {
    const temporal = clients[kind] as Client;
    await expect(within(temporal, 60_000, () => Promise.resolve('done'))).resolves.toBe('done');
    const failure = new Error('refused');
    await expect(within(temporal, 60_000, () => Promise.reject(failure))).rejects.toBe(failure);
  });
});
