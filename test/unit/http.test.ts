import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import type { FastifyInstance, InjectOptions } from 'fastify';
import type { Order } from '../../db/orders';
import type { HttpPayments } from '../../client/http';
import { createServerMetrics } from '../../client/metrics';
import { serveMetrics } from '../../client/listening';
import { freePorts } from '../support/free-ports';
import { waitFor } from '../../dev/wait-for';
import { createLogger } from '../../worker/log';
import { ERRORS, PaymentError } from '../../workflows/errors';
import type { ErrorCode } from '../../workflows/errors';
import { CHECKOUT, FORM, closeServers, serverOf, shop } from './http-shop';
import { ORDER, PAYMENT, REFUND } from './rows';

const broken = (error: Error) => (): Promise<never> => Promise.reject(error);

afterEach(closeServers);

describe('the routes of a shop', () => {
  it.each([
    ['POST', '/orders', ORDER],
    ['POST', '/checkout', CHECKOUT],
    ['GET', '/orders/A-1', ORDER],
    ['POST', '/refunds', REFUND],
    ['GET', '/refunds/R-17', REFUND],
    ['POST', '/orders/A-1/close', { ...ORDER, status: 'CLOSED' }],
    ['GET', '/payments/P1', PAYMENT],
  ] as const)('%s %s answers 200 with JSON', async (method, url, body) => {
    const response = await serverOf(shop()).inject({
      method,
      url,
      ...(method === 'POST' && { payload: {} }),
    });
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual(JSON.parse(JSON.stringify(body)));
  });

  it('hand on what a shop says as it is', async () => {
    const payments = shop();
    const input = { orderId: 'A-1', subject: '绿茶', totalAmount: '12.30', product: 'wap' };
    await serverOf(payments).inject({ method: 'POST', url: '/checkout', payload: input });
    expect(payments.heard).toEqual([input]);
  });

  it.each([
    ['nothing', undefined, {}],
    ['who and why', { actor: 'li', reason: 'sold out' }, { actor: 'li', reason: 'sold out' }],
    ['another id, which does not count', { orderId: 'A-2' }, {}],
  ])('close an order on %s', async (_kind, payload, note) => {
    const payments = shop();
    const response = await serverOf(payments).inject({ method: 'POST', url: '/orders/A-1/close', payload });
    expect(response.statusCode).toBe(200);
    expect(payments.heard).toEqual([{ orderId: 'A-1', ...note }]);
  });

  it('close an order where JSON is announced and none comes', async () => {
    const headers = { 'content-type': 'application/json' };
    const response = await serverOf(shop()).inject({
      method: 'POST',
      url: '/orders/A-1/close',
      headers,
      payload: '',
    });
    expect(response.statusCode).toBe(200);
  });

  it.each(
    (Object.keys(ERRORS) as ErrorCode[])
      .filter((code) => ERRORS[code].status !== 500)
      .map((code) => [code, ERRORS[code].status] as const),
  )('answer %s as %i with code and message', async (code, status) => {
    const checkout = broken(new PaymentError(code, 'what to do'));
    const response = await serverOf({ ...shop(), checkout }).inject({
      method: 'POST',
      url: '/checkout',
      payload: {},
    });
    expect(response.statusCode).toBe(status);
    expect(response.json()).toEqual({ code, message: 'what to do' });
  });

  it.each([
    ['a bug', new TypeError("secret is not a function, reading 'hunter2'")],
    ['an error that is ours but not theirs', new PaymentError('CONFIG_INVALID', 'hunter2')],
  ])('tell nothing about %s but the id to look for in the log', async (_kind, error) => {
    const lines: string[] = [];
    const log = createLogger({
      env: { LOG_FORMAT: 'json' },
      destination: { write: (line) => lines.push(line) },
    });
    const app = serverOf({ ...shop(), order: broken(error) }, { log });
    const response = await app.inject('/orders/A-1');
    expect(response.statusCode).toBe(500);
    const { code, message } = response.json<{ code: string; message: string }>();
    expect(code).toBe('INTERNAL');
    expect(response.body).not.toContain('hunter2');
    const logged = lines.find((line) => line.includes('hunter2'));
    expect(message).toContain((JSON.parse(logged ?? '{}') as { reqId: string }).reqId);
  });

  it.each([
    [
      'an unknown path',
      { method: 'GET', url: '/nowhere?x=1' },
      404,
      'NOT_FOUND',
      'no such route: GET /nowhere',
    ],
    [
      'another method',
      { method: 'DELETE', url: '/orders/A-1' },
      404,
      'NOT_FOUND',
      'no such route: DELETE /orders/A-1',
    ],
    ['a broken URL', { method: 'GET', url: '/orders/%zz' }, 400, 'INVALID_INPUT', 'is not a valid url'],
    [
      'broken JSON',
      { method: 'POST', url: '/orders', payload: '{"a":', headers: { 'content-type': 'application/json' } },
      400,
      'INVALID_INPUT',
      'JSON',
    ],
    [
      'a prototype in JSON',
      {
        method: 'POST',
        url: '/orders',
        payload: '{"__proto__":{}}',
        headers: { 'content-type': 'application/json' },
      },
      400,
      'INVALID_INPUT',
      'JSON',
    ],
    [
      'a form where JSON belongs',
      { method: 'POST', url: '/orders', payload: 'a=1', headers: FORM },
      415,
      'INVALID_INPUT',
      'send JSON, with content-type: application/json',
    ],
    [
      'JSON that fetch sends as text',
      {
        method: 'POST',
        url: '/orders',
        payload: '{}',
        headers: { 'content-type': 'text/plain;charset=UTF-8' },
      },
      415,
      'INVALID_INPUT',
      'send JSON, with content-type: application/json',
    ],
    [
      'a close with a list',
      { method: 'POST', url: '/orders/A-1/close', payload: [] },
      400,
      'INVALID_INPUT',
      'must be an object',
    ],
    [
      'a huge body',
      { method: 'POST', url: '/orders', payload: { subject: 'x'.repeat(65_536) } },
      413,
      'INVALID_INPUT',
      'too large',
    ],
  ] as const)('refuse %s', async (_kind, request, status, code, words) => {
    const response = await serverOf(shop()).inject(request as InjectOptions);
    expect(response.statusCode).toBe(status);
    expect(response.json()).toEqual({ code, message: expect.stringContaining(words) as unknown });
  });

  it('answer even what is not HTTP with a code', async () => {
    const app = serverOf(shop());
    await app.listen({ host: '127.0.0.1', port: 0 });
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
    socket.end('rubbish\r\n\r\n');
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'INVALID_INPUT' });
  });

  it('send the headers that keep browsers from guessing', async () => {
    const { headers } = await serverOf(shop()).inject('/orders/A-1');
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff' });
  });
});

describe('the token', () => {
  const apiToken = 'correct horse battery'.replaceAll(' ', '-');
  const guarded = () => serverOf(shop(), { config: { host: '0.0.0.0', port: 0, apiToken } });

  const ROUTES = [
    ['POST', '/orders'],
    ['POST', '/checkout'],
    ['GET', '/orders/A-1'],
    ['POST', '/orders/A-1/close'],
    ['GET', '/payments/P1'],
  ] as const;

  it.each(ROUTES)('opens %s %s', async (method, url) => {
    const headers = { authorization: `Bearer ${apiToken}` };
    expect((await guarded().inject({ method, url, headers })).statusCode).toBe(200);
  });

  it.each(ROUTES)('is missed at %s %s', async (method, url) => {
    const response = await guarded().inject({ method, url });
    expect(response.statusCode).toBe(401);
    expect(response.headers['www-authenticate']).toBe('Bearer');
    expect(response.json()).toMatchObject({ code: 'UNAUTHORIZED' });
    expect(response.body).not.toContain(apiToken);
  });

  it.each(['Bearer wrong', `Bearer ${apiToken}x`, `Basic ${apiToken}`, apiToken, 'Bearer ', ''])(
    'is not %j',
    async (authorization) => {
      const response = await guarded().inject({ url: '/orders/A-1', headers: { authorization } });
      expect(response.statusCode).toBe(401);
    },
  );

  it('is not asked of Alipay, nor of a health probe', async () => {
    const notified = await guarded().inject({
      method: 'POST',
      url: '/alipay/notify',
      headers: FORM,
      payload: 'a=1',
    });
    expect(notified.body).toBe('success');
    expect((await guarded().inject('/healthz')).statusCode).toBe(200);
  });
});

describe('the route of Alipay', () => {
  const notify = (
    app: FastifyInstance,
    payload = 'out_trade_no=P1&sign=x',
    headers: Record<string, string> = FORM,
  ) => app.inject({ method: 'POST', url: '/alipay/notify', headers, payload });

  it.each(['success', 'fail'] as const)('answers exactly %s', async (word) => {
    const response = await notify(serverOf({ ...shop(), handleNotify: () => Promise.resolve(word) }));
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toMatch(/^text\/plain/);
    expect(response.body).toBe(word);
  });

  it('hands on the body byte for byte: what is signed is decided there', async () => {
    const payments = shop();
    const body = 'subject=%E7%BB%BF%E8%8C%B6+250&empty=&a=1&a=2&sign=a%2Bb%3D';
    await notify(serverOf(payments), body, {
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
    });
    expect(payments.heard).toEqual([Buffer.from(body)]);
  });

  it('hands on an empty body too', async () => {
    const payments = shop();
    await notify(serverOf(payments), '', {});
    expect(payments.heard).toEqual(['']);
  });

  it.each([
    ['the database is down', new PaymentError('DATABASE_UNAVAILABLE', 'down'), 503],
    ['Temporal is down', new PaymentError('TEMPORAL_UNAVAILABLE', 'down'), 503],
    ['something breaks', new Error('hunter2'), 500],
  ])('answers fail where %s, so that Alipay comes again', async (_kind, error, status) => {
    const response = await notify(serverOf({ ...shop(), handleNotify: broken(error) }));
    expect(response.statusCode).toBe(status);
    expect(response.body).toBe('fail');
  });

  it.each([
    ['JSON', '{"a":1}', { 'content-type': 'application/json' }, 415],
    ['more than 32 KiB', 'a='.padEnd(32 * 1024 + 1, 'x'), FORM, 413],
  ])('refuses %s with fail', async (_kind, body, headers, status) => {
    const payments = shop();
    const response = await notify(serverOf(payments), body, headers);
    expect(response.statusCode).toBe(status);
    expect(response.body).toBe('fail');
    expect(payments.heard).toEqual([]);
  });

  it('is not there for other methods', async () => {
    const response = await serverOf(shop()).inject({ method: 'GET', url: '/alipay/notify' });
    expect(response.statusCode).toBe(404);
  });

  it('refuses a flood, and only there', async () => {
    const payments = shop();
    const app = serverOf(payments, { notificationsPerSecond: 2 });
    // All within one second, even if the machine stalls between two of them.
    const clock = jest.spyOn(Date, 'now').mockReturnValue(Date.now());
    const answers = [await notify(app), await notify(app), await notify(app)];
    clock.mockRestore();
    expect(answers.map(({ statusCode, body }) => `${statusCode} ${body}`)).toEqual([
      '200 success',
      '200 success',
      '429 fail',
    ]);
    expect(payments.heard).toHaveLength(2);
    expect((await app.inject('/orders/A-1')).statusCode).toBe(200);
  });
});

describe('the health', () => {
  it('is ok where database and Temporal answer', async () => {
    const response = await serverOf(shop()).inject('/healthz');
    expect(response.statusCode).toBe(200);
    expect(response.json()).toEqual({ status: 'ok', database: true, temporal: true });
  });

  it.each([
    [{ database: false, temporal: true }, 'DATABASE_UNAVAILABLE', 'no answer from the database'],
    [{ database: true, temporal: false }, 'TEMPORAL_UNAVAILABLE', 'no answer from Temporal'],
    [
      { database: false, temporal: false },
      'DATABASE_UNAVAILABLE',
      'no answer from the database and Temporal',
    ],
  ])('is 503 with %j', async (health, code, message) => {
    const response = await serverOf({ ...shop(), health: () => Promise.resolve(health) }).inject('/healthz');
    expect(response.statusCode).toBe(503);
    expect(response.json()).toEqual({ status: 'down', ...health, code, message });
  });

  it('is told by /readyz too, while /livez asks no dependency', async () => {
    const down = { database: false, temporal: false };
    const app = serverOf({ ...shop(), health: () => Promise.resolve(down) });
    expect((await app.inject('/readyz')).statusCode).toBe(503);
    const live = await app.inject('/livez');
    expect(live.statusCode).toBe(200);
    expect(live.json()).toEqual({ status: 'ok' });
  });

  it('is asked for once, however many want to know it, and again a second later', async () => {
    let asked = 0;
    const health = async (): Promise<{ database: boolean; temporal: boolean }> => {
      asked += 1;
      await new Promise((resolve) => setTimeout(resolve, 20));
      return { database: true, temporal: asked === 1 };
    };
    const app = serverOf({ ...shop(), health });
    const probe = async (): Promise<number> => (await app.inject('/healthz')).statusCode;
    const began = Date.now();
    expect(new Set(await Promise.all(Array.from({ length: 50 }, probe)))).toEqual(new Set([200]));
    expect(await probe()).toBe(200);
    expect(asked).toBe(1);
    await waitFor(async () => (await probe()) === 503, { what: 'the health to be asked for again' });
    expect(Date.now() - began).toBeGreaterThanOrEqual(1_000);
    expect(asked).toBe(2);
  });

  it('that could not be asked for is asked for again', async () => {
    const LOST = new PaymentError('DATABASE_UNAVAILABLE', 'it is gone');
    let asked = 0;
    const health = (): Promise<{ database: boolean; temporal: boolean }> =>
      ++asked === 1 ? Promise.reject(LOST) : Promise.resolve({ database: true, temporal: true });
    const app = serverOf({ ...shop(), health });
    expect((await app.inject('/healthz')).statusCode).toBe(503);
    await waitFor(async () => (await app.inject('/healthz')).statusCode === 200, {
      what: 'the health',
      everyMs: 1_100,
    });
  });
});

describe('the log', () => {
  it('holds no signature, no buyer and no credentials', async () => {
    const lines: string[] = [];
    const log = createLogger({
      env: { LOG_LEVEL: 'trace', LOG_FORMAT: 'json' },
      destination: { write: (line) => lines.push(line) },
    });
    const error = Object.assign(new Error('no route to postgres://shop:hunter2@db/shop'), {
      body: 'buyer_id=2088hunter2&trade_status=TRADE_SUCCESS&sign=hunter2',
      fields: { buyer_logon_id: 'hunter2@example.com', buyerId: 'hunter2', sign: 'hunter2' },
    });
    const app = serverOf({ ...shop(), handleNotify: broken(error) }, { log });
    await app.inject({
      method: 'POST',
      url: '/alipay/notify?sign=hunter2',
      headers: { ...FORM, authorization: 'Bearer hunter2' },
      payload: 'sign=hunter2',
    });
    log.info({ config: { privateKey: 'hunter2', apiToken: 'hunter2' } }, 'GET /?a=1&sign=hunter2');
    expect(lines.join('')).toContain('no route to postgres://');
    expect(lines.join('')).not.toContain('hunter2');
  });
});

describe('counting requests', () => {
  function countedServer(payments: HttpPayments) {
    const metrics = createServerMetrics(['default']);
    const app = serverOf(payments, { metrics });
    const value = async (name: string, labels: Record<string, string> = {}): Promise<number> => {
      const { values } = (await metrics.registry.getSingleMetric(`durable_alipay_http_${name}`)?.get()) ?? {
        values: [],
      };
      return values
        .filter((one) => Object.entries(labels).every(([key, wanted]) => String(one.labels[key]) === wanted))
        .reduce((sum, one) => sum + one.value, 0);
    };
    return { app, value };
  }

  it('tells how many are being answered, and not of a client that has gone away', async () => {
    let answer: (order: Order) => void = () => undefined;
    const slow = () => new Promise<Order>((resolve) => (answer = resolve));
    const { app, value } = countedServer({ ...shop(), order: slow });
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const leaving = new AbortController();
    const request = fetch(`${url}/orders/A-1`, { signal: leaving.signal });
    await waitFor(async () => (await value('in_flight')) === 1, { what: 'the request to arrive' });
    leaving.abort();
    await expect(request).rejects.toThrow();
    await waitFor(async () => (await value('in_flight')) === 0, { what: 'the client to be missed' });
    expect(await value('requests_total', { status: '499', route: '/orders/:orderId' })).toBe(1);
    answer(ORDER);
  });
});

describe('the metrics endpoint', () => {
  it('is a listener apart, which has nothing but the metrics', async () => {
    const [port = 0] = await freePorts(1);
    const { registry } = createServerMetrics(['default']);
    const stop = await serveMetrics(registry, `127.0.0.1:${port}`);
    const at = `http://127.0.0.1:${port}`;
    const answer = await fetch(`${at}/metrics`);
    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await answer.text()).toMatch(
      /^durable_alipay_notifications_total\{merchant="default",outcome="refused",code="NOTIFICATION_FORGED"\} 0$/m,
    );
    expect((await fetch(`${at}/orders/A-1`)).status).toBe(404);
    await expect(serveMetrics(registry, `127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `METRICS_ADDRESS 127.0.0.1:${port} is in use, by another process or by PORT; give each process a METRICS_ADDRESS of its own`,
    });
    await stop();
    await expect(fetch(`${at}/metrics`)).rejects.toThrow();
  });

  it('says what to fix where nothing can listen', async () => {
    const { registry } = createServerMetrics(['default']);
    await expect(serveMetrics(registry, '203.0.113.1:9464')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('set METRICS_ADDRESS to a free host:port') as unknown,
    });
  });
});
