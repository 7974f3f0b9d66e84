import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import type {
  ClientHttp2Session,
  Http2SecureServer,
  IncomingHttpHeaders,
  ServerHttp2Session,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { readTemporalConfig } from '../../worker/temporal-config';
import { namespaceFor, temporalAddress } from '../support';

// In front of the real server is a proxy that requires a client certificate, as a production Temporal does, and
// remembers the API key it was given.

const NAMESPACE = namespaceFor(__filename);
const API_KEY = 'the-key-of-this-namespace';

let folder: string;
let door: Door;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'durable-alipay-tls-'));
  makeCertificates();
  door = await Door.open(temporalAddress());
  writeFileSync(
    join(folder, 'temporal.toml'),
    `
[profile.live]
address = "127.0.0.1:${door.port}"
namespace = "${NAMESPACE}"
api_key = "${API_KEY}"
[profile.live.tls]
server_name = "localhost"
server_ca_cert_path = "${join(folder, 'ca.pem')}"
client_cert_path = "${join(folder, 'client.pem')}"
client_key_path = "${join(folder, 'client.key')}"

[profile.without-certificate]
address = "127.0.0.1:${door.port}"
[profile.without-certificate.tls]
server_name = "localhost"
server_ca_cert_path = "${join(folder, 'ca.pem')}"

[profile.stranger]
address = "127.0.0.1:${door.port}"
[profile.stranger.tls]
server_name = "localhost"
server_ca_cert_path = "${join(folder, 'ca.pem')}"
client_cert_path = "${join(folder, 'stranger.pem')}"
client_key_path = "${join(folder, 'stranger.key')}"
`,
  );
});
afterAll(async () => {
  await door.close();
  rmSync(folder, { recursive: true, force: true });
});

const profile = (name: string) =>
  readTemporalConfig({ TEMPORAL_CONFIG_FILE: join(folder, 'temporal.toml'), TEMPORAL_PROFILE: name });

/** Our own certificate authority, and what it and a stranger have signed. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=the authority');
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'stranger.key',
    '-out',
    'stranger.pem',
    '-subj',
    '/CN=a stranger',
  );
  writeFileSync(join(folder, 'names'), 'subjectAltName=DNS:localhost');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const signed = [
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      'names',
    ];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, ...signed);
  }
  chmodSync(join(folder, 'client.key'), 0o600);
}

/** Terminates TLS and passes each call on to a server without TLS. */
class Door {
  readonly apiKeys = new Set<string | undefined>();
  readonly #sessions = new Set<ServerHttp2Session | ClientHttp2Session>();

  private constructor(
    private readonly server: Http2SecureServer,
    private readonly target: string,
  ) {}

  static async open(target: string): Promise<Door> {
    const file = (name: string) => readFileSync(join(folder, name));
    const server = createSecureServer({
      key: file('server.key'),
      cert: file('server.pem'),
      ca: file('ca.pem'),
      requestCert: true,
      rejectUnauthorized: true,
    });
    const door = new Door(server, target);
    server.on('session', (session) => door.#join(session));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return door;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  #join(session: ServerHttp2Session): void {
    const beyond = connectHttp2(`http://${this.target}`);
    for (const one of [session, beyond]) {
      this.#sessions.add(one);
      one.on('error', () => undefined).once('close', () => this.#sessions.delete(one));
    }
    session.once('close', () => beyond.close());
    session.on('stream', (stream, headers) => {
      this.apiKeys.add(headers.authorization);
      const call = beyond.request(headers);
      let trailers: IncomingHttpHeaders = {};
      call.on('response', (answer) => stream.respond(answer, { waitForTrailers: true }));
      call.on('trailers', (last: IncomingHttpHeaders) => {
        trailers = last;
      });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      stream.on('error', () => call.close()).pipe(call);
      call.on('error', () => stream.close()).pipe(stream);
    });
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const session of this.#sessions) session.destroy();
    await closed;
  }
}

describe('a profile of a configuration file', () => {
  it('says where Temporal is, by which certificates, and with which key', () => {
    const { connectionOptions, namespace } = profile('live');
    expect(namespace).toBe(NAMESPACE);
    expect(connectionOptions).toMatchObject({
      address: `127.0.0.1:${door.port}`,
      apiKey: API_KEY,
      tls: { serverNameOverride: 'localhost', clientCertPair: expect.anything() as unknown },
    });
  });

  it('gives way to what the environment says', () => {
    const { connectionOptions, namespace } = readTemporalConfig({
      TEMPORAL_CONFIG_FILE: join(folder, 'temporal.toml'),
      TEMPORAL_PROFILE: 'live',
      TEMPORAL_NAMESPACE: 'another',
      TEMPORAL_API_KEY: 'another-key',
    });
    expect(namespace).toBe('another');
    expect(connectionOptions).toMatchObject({ address: `127.0.0.1:${door.port}`, apiKey: 'another-key' });
  });

  it('that does not exist is an error that names it', () => {
    expect(() => void profile('nowhere')).toThrow(/nowhere/);
  });
});

describe('a server that wants a certificate', () => {
  it('lets a client in, as checkout connects, and is shown its API key', async () => {
    const { connectionOptions, namespace = '' } = profile('live');
    const connection = await Connection.connect(connectionOptions);
    try {
      const client = new Client({ connection, namespace });
      expect(await client.workflow.count()).toMatchObject({ count: 0 });
      expect(door.apiKeys).toContain(`Bearer ${API_KEY}`);
    } finally {
      await connection.close();
    }
  });

  it('lets a worker in, as workers connect, and is shown its API key', async () => {
    door.apiKeys.clear();
    const connection = await NativeConnection.connect(profile('live').connectionOptions);
    await connection.workflowService.getSystemInfo({});
    await connection.close();
    expect(door.apiKeys).toContain(`Bearer ${API_KEY}`);
  });

  it.each(['without-certificate', 'stranger'])('keeps out one %s', async (name) => {
    const { connectionOptions } = profile(name);
    await expect(Connection.connect({ ...connectionOptions, connectTimeout: 3_000 })).rejects.toThrow();
    await expect(NativeConnection.connect(connectionOptions)).rejects.toThrow();
  });
});
