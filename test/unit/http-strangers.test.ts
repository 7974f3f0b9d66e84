import { connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { waitFor } from '../../dev/wait-for';
import { createLogger } from '../../worker/log';
import { PaymentError } from '../../workflows/errors';
import { closeServers, FORM, serverOf, shop } from './http-shop';

// What a stranger can do without a token or a key of Alipay, but with all the time in the world.

afterEach(() => {
  jest.restoreAllMocks();
});
afterEach(closeServers);

const TOKEN = 'a-token-of-the-shop';

const SHOP_ROUTES = [
  ['POST', '/orders'],
  ['POST', '/checkout'],
  ['GET', '/orders/A-1'],
  ['POST', '/orders/A-1/close'],
  ['GET', '/payments/P1'],
] as const;

const notify = (app: FastifyInstance, payload: string | Buffer, headers: Record<string, string> = FORM) =>
  app.inject({ method: 'POST', url: '/alipay/notify', headers, payload });

describe('a server on loopback without a token', () => {
  it.each([
    ['the old header of proxies', { 'x-forwarded-for': '203.0.113.7' }],
    ['another of them', { 'x-forwarded-proto': 'https' }],
    ['the new one', { forwarded: 'for=203.0.113.7' }],
    ["nginx's usual one", { 'x-real-ip': '203.0.113.7' }],
    ['the one of HTTP', { via: '1.1 proxy' }],
    ['a public name', { host: 'shop.example' }],
    ['a public name with a port', { host: 'shop.example:3000' }],
    ['a name that only begins like a loopback', { host: 'localhost.shop.example' }],
    ['an address in the network', { host: '10.0.0.7:3000' }],
    ['a name without end', { host: 'localhost:'.padEnd(9_000, '1') }],
  ])('refuses who comes through a proxy: %s', async (_kind, headers) => {
    const payments = shop();
    const app = serverOf(payments);
    for (const [method, url] of SHOP_ROUTES) {
      const answer = await app.inject({ method, url, headers });
      expect({ url, status: answer.statusCode, ...answer.json<object>() }).toMatchObject({
        url,
        status: 403,
        code: 'FORBIDDEN',
        message: expect.stringContaining('set API_TOKEN') as unknown,
      });
    }
    expect(payments.heard).toEqual([]);
  });

  it('refuses HTTP/1.0, which an older nginx speaks where it is told nothing but proxy_pass', async () => {
    const app = serverOf(shop());
    await app.listen({ host: '127.0.0.1', port: 0 });
    const answer = await say(app, 'POST /orders/A-1/close HTTP/1.0\r\nHost: 127.0.0.1:3000\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  });

  it.each(['localhost', 'localhost:3000', '127.0.0.1:3000', '127.8.9.10', '[::1]', '[::1]:3000'])(
    'serves who calls it %s',
    async (host) => {
      for (const [method, url] of SHOP_ROUTES) {
        const { statusCode } = await serverOf(shop()).inject({ method, url, headers: { host } });
        expect({ url, statusCode }).toEqual({ url, statusCode: 200 });
      }
    },
  );

  it.each([
    ['a page elsewhere', { origin: 'https://evil.example' }],
    ['a page without an origin', { origin: 'null' }],
    ['a page at another port of this machine', { origin: 'http://localhost:8233' }],
    ['a page that says so in the newer header', { 'sec-fetch-site': 'cross-site' }],
    ['the same, at another port of this machine', { 'sec-fetch-site': 'same-site' }],
  ])('refuses what a browser sends for %s', async (_kind, headers) => {
    const payments = shop();
    const app = serverOf(payments);
    for (const [method, url] of SHOP_ROUTES) {
      const answer = await app.inject({ method, url, headers: { host: 'localhost:3000', ...headers } });
      expect({ url, status: answer.statusCode, ...answer.json<object>() }).toMatchObject({
        url,
        status: 403,
        code: 'FORBIDDEN',
      });
    }
    expect(payments.heard).toEqual([]);
  });

  it('serves a page of its own origin', async () => {
    const headers = {
      host: 'localhost:3000',
      origin: 'http://localhost:3000',
      'sec-fetch-site': 'same-origin',
    };
    const answer = await serverOf(shop()).inject({ method: 'POST', url: '/orders/A-1/close', headers });
    expect(answer.statusCode).toBe(200);
  });

  it('serves Alipay and health probes through any proxy', async () => {
    const headers = { ...FORM, host: 'shop.example', 'x-forwarded-for': '203.0.113.7' };
    const app = serverOf(shop());
    expect((await notify(app, 'a=1', headers)).body).toBe('success');
    expect((await app.inject({ url: '/healthz', headers })).statusCode).toBe(200);
  });
});

it('a server with a token serves who has it, through any proxy', async () => {
  const config = { host: '127.0.0.1', port: 0, apiToken: TOKEN };
  const headers = {
    authorization: `Bearer ${TOKEN}`,
    host: 'shop.example',
    'x-forwarded-for': '203.0.113.7',
    origin: 'https://shop.example',
  };
  const answer = await serverOf(shop(), { config }).inject({ url: '/orders/A-1', headers });
  expect(answer.statusCode).toBe(200);
});

describe('a notification', () => {
  it('of more than 32 KB is refused before anything is read in it', async () => {
    const payments = shop();
    const app = serverOf(payments);
    expect((await notify(app, 'a='.padEnd(32 * 1024, 'x'))).body).toBe('success');
    const fields = Array.from({ length: 12_000 }, (_, i) => `${String.fromCharCode(97 + (i % 26))}=1`);
    for (const body of ['a='.padEnd(32 * 1024 + 1, 'x'), fields.join('&')]) {
      const { statusCode, body: word } = await notify(app, body);
      expect({ statusCode, word }).toEqual({ statusCode: 413, word: 'fail' });
    }
    expect(payments.heard).toHaveLength(1);
  });

  it.each([
    'application/x-www-form-urlencoded; text/html; charset=UTF-8',
    'application/x-www-form-urlencoded;charset=GBK',
    'Application/X-WWW-Form-Urlencoded; charset="utf-8"; x=1',
  ])('is read whatever stands behind its type: %s', async (type) => {
    expect((await notify(serverOf(shop()), 'a=1', { 'content-type': type })).body).toBe('success');
  });

  it('is taken at the path with a slash behind it too', async () => {
    const app = serverOf(shop());
    const answer = await app.inject({
      method: 'POST',
      url: '/alipay/notify/',
      headers: FORM,
      payload: 'a=1',
    });
    expect([answer.statusCode, answer.body]).toEqual([200, 'success']);
  });

  it('that is refused counts against its address; beyond the limit none is verified until a second later', async () => {
    const payments = shop();
    let verified = 0;
    const handleNotify: typeof payments.handleNotify = () => {
      verified += 1;
      return Promise.resolve('fail');
    };
    const app = serverOf({ ...payments, handleNotify }, { refusalsPerSecond: 3 });
    // The clock that counts a second is fixed: on a machine that stalls, ten requests take longer than that.
    const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now());
    const answers = await Promise.all(Array.from({ length: 10 }, () => notify(app, 'a=1')));
    const told = answers.map(({ statusCode, body }) => `${statusCode} ${body}`);
    expect(told.filter((one) => one === '200 fail')).toHaveLength(3);
    expect(told.filter((one) => one === '429 fail')).toHaveLength(7);
    expect(verified).toBe(3);
    clock.mockReturnValue(Date.now() + 1_000);
    expect((await notify(app, 'a=1')).statusCode).toBe(200);
  });

  it('that is genuine does not', async () => {
    const app = serverOf(shop(), { refusalsPerSecond: 3 });
    const answers = await Promise.all(Array.from({ length: 50 }, () => notify(app, 'a=1')));
    expect(new Set(answers.map(({ body }) => body))).toEqual(new Set(['success']));
  });
});

describe('a slow client', () => {
  const answersOf = async (socket: Socket): Promise<string> => {
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return text;
  };

  /** Opens a connection, sends the beginning and then a byte every 100 ms; resolves with when it was closed, ms. */
  async function drip(app: FastifyInstance, beginning: string): Promise<{ ms: number; answer: string }> {
    const { port } = app.server.address() as AddressInfo;
    // It never closes the connection itself, not even after the server has.
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => undefined);
    const began = performance.now();
    if (beginning !== '') socket.write(beginning);
    const dripping = beginning === '' ? undefined : setInterval(() => socket.write('x'), 100);
    const answer = await answersOf(socket).catch(() => '');
    const ms = performance.now() - began;
    clearInterval(dripping);
    await waitFor(async () => (await connectionsOf(app)) === 0, { what: 'the server to give up the socket' });
    socket.destroy();
    return { ms, answer };
  }

  it('has 5 s for its headers, whether it sends nothing, or a byte at a time', async () => {
    const app = serverOf(shop());
    await app.listen({ host: '127.0.0.1', port: 0 });
    for (const { ms, answer } of await Promise.all([
      drip(app, ''),
      drip(app, 'GET /orders/A-1 HTTP/1.1\r\nHost: localhost\r\nX-Drip: '),
    ])) {
      expect(ms).toBeGreaterThan(4_900);
      expect(ms).toBeLessThan(12_000);
      expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    }
  }, 30_000);

  it('has 15 s for its request, ended as punctually', async () => {
    const app = serverOf(shop());
    await app.listen({ host: '127.0.0.1', port: 0 });
    expect([app.server.headersTimeout, app.server.requestTimeout]).toEqual([5_000, 15_000]);
    // The same timer checks both; 15 s would only be a longer wait.
    app.server.headersTimeout = 1_000;
    app.server.requestTimeout = 2_000;
    const { ms } = await drip(
      app,
      'POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n',
    );
    expect(ms).toBeGreaterThan(1_900);
    expect(ms).toBeLessThan(10_000);
  }, 30_000);
});

describe('the log of requests', () => {
  function logged(): { lines: string[]; app: FastifyInstance } {
    const lines: string[] = [];
    const log = createLogger({
      env: { LOG_FORMAT: 'json', LOG_LEVEL: 'trace' },
      destination: { write: (line) => lines.push(line) },
    });
    return { lines, app: serverOf(shop(), { log, config: { host: '0.0.0.0', port: 0, apiToken: TOKEN } }) };
  }

  it.each([
    ['/orders/A-1?access_token=hunter2', 401],
    ['/nowhere?access_token=hunter2', 404],
    ['/orders/%zz?access_token=hunter2', 400],
    [`/orders/${'x'.repeat(200)}?access_token=hunter2`, 414],
    ['/alipay/notify?access_token=hunter2', 404],
  ])('holds no query: %s', async (url, status) => {
    const { lines, app } = logged();
    const answer = await app.inject(url);
    expect(answer.statusCode).toBe(status);
    expect(lines.join('')).toContain(url.slice(0, 8));
    expect(lines.join('') + answer.body).not.toContain('hunter2');
  });

  it('is not filled by long paths and headers: a thousand of them are less than 1 MB', async () => {
    const { lines, app } = logged();
    const long = 'x'.repeat(14_000);
    const requests: InjectOptions[] = [
      { url: `/${long}` },
      { url: `/orders/${long}` },
      { url: `/orders/%zz${long}` },
      { url: '/orders/A-1', headers: { host: long } },
      { url: '/orders/A-1', headers: { 'accept-version': long } },
      { url: `/nowhere/${'x'.repeat(1_900)}` },
    ];
    for (const request of requests) await app.inject(request);
    expect(lines.length).toBeGreaterThan(requests.length);
    expect(lines.join('').length / requests.length).toBeLessThan(1_000);
  });

  it('nor is the answer', async () => {
    const { app } = logged();
    const { statusCode, body } = await app.inject(`/${'x'.repeat(14_000)}`);
    expect(statusCode).toBe(414);
    expect(JSON.parse(body)).toEqual({
      code: 'INVALID_INPUT',
      message: 'the URL has more than 2048 characters',
    });
  });
});

describe('no answer is kept by a cache', () => {
  it.each([
    ['an order', { url: '/orders/A-1' }, 200],
    ['a payment', { url: '/payments/P1' }, 200],
    ['a checkout', { method: 'POST', url: '/checkout', payload: {} }, 200],
    ['what Alipay is told', { method: 'POST', url: '/alipay/notify', headers: FORM, payload: 'a=1' }, 200],
    ['a refusal', { method: 'POST', url: '/orders/A-1/close', payload: [] }, 400],
    ['a broken URL', { url: '/orders/%zz' }, 400],
    ['nothing', { url: '/nowhere' }, 404],
    ['the health', { url: '/healthz' }, 200],
  ] as const)('%s', async (_kind, request, status) => {
    const answer = await serverOf(shop()).inject(request as InjectOptions);
    expect(answer.statusCode).toBe(status);
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  it('a failure', async () => {
    const order = () => Promise.reject(new PaymentError('DATABASE_UNAVAILABLE', 'it is down'));
    const answer = await serverOf({ ...shop(), order }).inject('/orders/A-1');
    expect(answer.statusCode).toBe(503);
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  it('what is no HTTP', async () => {
    const app = serverOf(shop());
    await app.listen({ host: '127.0.0.1', port: 0 });
    expect(await say(app, 'rubbish\r\n\r\n')).toMatch(/\r\nCache-Control: no-store\r\n/);
  });
});

async function say(app: FastifyInstance, text: string): Promise<string> {
  const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
  socket.end(text);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

const connectionsOf = (app: FastifyInstance): Promise<number> =>
  new Promise((resolve, reject) =>
    app.server.getConnections((error, count) => (error ? reject(error) : resolve(count))),
  );
