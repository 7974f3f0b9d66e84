import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { devNull } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AlipayGateway } from '../../activities/alipay/gateway';
import { downloadBill } from '../../activities/bills/download';
import { fetchOrFault } from '../../client/doctor/http';
import type { Sandbox } from '../../sandbox';
import { startSandbox } from '../../sandbox';
import { parsePrivateKey } from '../../worker/keys';

/** An HTTP proxy that opens tunnels (CONNECT) and does nothing else, unless told to refuse. */
class Proxy {
  readonly tunnels: string[] = [];
  readonly credentials: (string | undefined)[] = [];
  refusal: string | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((_request, response) => response.writeHead(405).end());
    this.#server.on('connect', (request, client: Socket) => {
      this.tunnels.push(request.url ?? '');
      this.credentials.push(request.headers['proxy-authorization']);
      this.#sockets.add(client);
      if (this.refusal !== undefined) {
        client.end(`HTTP/1.1 ${this.refusal}\r\n\r\n`);
        return;
      }
      const { hostname, port } = new URL(`http://${request.url ?? ''}`);
      const upstream = connect(Number(port || 80), hostname, () => {
        client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
        upstream.pipe(client).pipe(upstream);
      });
      this.#sockets.add(upstream);
      for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
    });
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** This process' own environment, without any proxy: undici looks nowhere else. */
const before = process.env;
const withoutProxy = Object.fromEntries(Object.entries(before).filter(([name]) => !/_proxy$/i.test(name)));
let proxy: Proxy;
let sandbox: Sandbox;

beforeAll(async () => {
  proxy = new Proxy();
  [sandbox] = await Promise.all([startSandbox(), proxy.open()]);
});
afterAll(async () => {
  await sandbox.close();
  await proxy.close();
});
beforeEach(() => {
  proxy.tunnels.length = 0;
  proxy.credentials.length = 0;
  proxy.refusal = undefined;
  process.env = { ...withoutProxy };
});
afterEach(() => {
  process.env = before;
});

/** The sandbox has an http address, so its proxy is HTTP_PROXY; an https address uses HTTPS_PROXY. */
const gatewayBehind = (variables: Record<string, string>, gateway = sandbox.gateway): AlipayGateway => {
  Object.assign(process.env, variables);
  return new AlipayGateway({
    name: 'default',
    gateway,
    appId: sandbox.appId,
    privateKey: parsePrivateKey(sandbox.appPrivateKey).pkcs1,
    publicKey: sandbox.alipayPublicKey,
    sellerId: sandbox.sellerId,
    notifyUrl: 'http://127.0.0.1:9/alipay/notify',
    timeoutMs: 3_000,
  });
};

const proxyUrl = (credentials = ''): string => `http://${credentials}127.0.0.1:${proxy.port}`;

describe('calls of Alipay', () => {
  it('go through the proxy by a tunnel, with its credentials, and verify', async () => {
    const gateway = gatewayBehind({ HTTP_PROXY: proxyUrl('shop:s%40fe@') });
    await expect(gateway.query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
    expect(proxy.tunnels).toEqual([new URL(sandbox.url).host]);
    expect(proxy.credentials).toEqual([`Basic ${Buffer.from('shop:s@fe').toString('base64')}`]);
  });

  it('go through HTTPS_PROXY to an https gateway', async () => {
    proxy.refusal = '502 Bad Gateway';
    const gateway = gatewayBehind({ HTTPS_PROXY: proxyUrl() }, 'https://openapi.alipay.example/gateway.do');
    await expect(gateway.query('nobody')).rejects.toMatchObject({ kind: 'down' });
    expect(proxy.tunnels).toEqual(['openapi.alipay.example:443']);
  });

  it('go straight to the hosts of NO_PROXY', async () => {
    const gateway = gatewayBehind({ HTTP_PROXY: proxyUrl(), NO_PROXY: 'localhost,127.0.0.1' });
    await expect(gateway.query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
    expect(proxy.tunnels).toEqual([]);
  });

  it('go straight without a proxy', async () => {
    await expect(gatewayBehind({}).query('nobody')).resolves.toMatchObject({ answer: 'not-exist' });
    expect(proxy.tunnels).toEqual([]);
  });

  it.each(['403 Forbidden', '407 Proxy Authentication Required'])(
    'were not asked where the proxy answers %s: nothing was sent',
    async (refusal) => {
      proxy.refusal = refusal;
      const gateway = gatewayBehind({ HTTP_PROXY: proxyUrl() });
      const calls = (await sandbox.control.journal()).length;
      await expect(gateway.query('nobody')).rejects.toMatchObject({ kind: 'down' });
      expect((await sandbox.control.journal()).length).toBe(calls);
    },
  );

  it('were not asked where nobody listens at the proxy’s address', async () => {
    const gateway = gatewayBehind({ HTTP_PROXY: 'http://127.0.0.1:9' });
    await expect(gateway.query('nobody')).rejects.toMatchObject({ kind: 'down' });
  });
});

it('the doctor looks for the gateway through the proxy', async () => {
  process.env['HTTP_PROXY'] = proxyUrl();
  const { status } = await fetchOrFault(`${sandbox.url}/healthz`, { what: 'it', variable: 'ALIPAY_GATEWAY' });
  expect([status, proxy.tunnels.length]).toEqual([200, 1]);
});

describe('the download of a bill', () => {
  const download = (url: string): Promise<void> =>
    downloadBill(url, devNull, { origins: [new URL(url).origin] });

  it('goes through the proxy, and says what broke off where the proxy refuses', async () => {
    process.env['HTTPS_PROXY'] = proxyUrl('shop:s%40fe@');
    proxy.refusal = '502 Bad Gateway';
    await expect(download('https://dwbillcenter.alipay.example/bill')).rejects.toMatchObject({
      code: 'BILL_UNREADABLE',
      message: expect.stringContaining('the download broke off (UND_ERR_ABORTED)') as unknown,
    });
    expect(proxy.tunnels).toEqual(['dwbillcenter.alipay.example:443']);
    expect(proxy.credentials).toEqual([`Basic ${Buffer.from('shop:s@fe').toString('base64')}`]);
  });

  it('goes straight to the hosts of NO_PROXY', async () => {
    Object.assign(process.env, { HTTP_PROXY: proxyUrl(), NO_PROXY: '127.0.0.1' });
    await expect(download(`${sandbox.url}/bills/none`)).rejects.toThrow('its address returned HTTP 404');
    expect(proxy.tunnels).toEqual([]);
  });
});
