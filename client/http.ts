import { randomUUID } from 'node:crypto';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastify from 'fastify';
import type { FastifyBaseLogger, FastifyError, FastifyInstance } from 'fastify';
import type { Config } from '../worker/config';
import { PaymentError } from '../workflows/errors';
import { answerError, answerMalformedRequest, answerNotFound, explain } from './http-errors';
import { traceRequests } from './http-spans';
import { requireToken } from './http-token';
import { parseOrderId, parseOutTradeNo } from './input';
import type { ServerMetrics } from './metrics';
import type { CheckoutInput, OrderInput, PaymentClient } from './payment-client';

/** What the server needs of a {@link PaymentClient}. */
export type HttpPayments = Pick<
  PaymentClient,
  'registerOrder' | 'checkout' | 'closeOrder' | 'order' | 'payment' | 'handleNotify' | 'health'
>;

export interface HttpServerOptions {
  payments: HttpPayments;
  config: Config['http'];
  log: FastifyBaseLogger;
  /** Counts requests. Default: nobody does. */
  metrics?: Pick<ServerMetrics, 'began' | 'ended'>;
  /** @defaultValue {@link NOTIFICATIONS_PER_SECOND} */
  notificationsPerSecond?: number;
}

/**
 * From one address. Far above what a busy shop gets from Alipay, and low enough that a flood of forgeries cannot
 * eat the CPU by signature checks. A genuine notification that is refused costs nothing: Alipay sends it again, and
 * the delay queue asks anyway. Behind a proxy all of them come from one address.
 */
export const NOTIFICATIONS_PER_SECOND = 300;

/** A notification has some thirty short fields, an order five: all else is a mistake or an attack. */
const BODY_LIMIT = 64 * 1024;

/** Anybody may ask for the health, as often as they like: Postgres and Temporal are asked no oftener than this. */
const HEALTH_FRESH_MS = 1_000;

/** The last resort: what is awaited inside has deadlines of its own, the longest of them a minute (a close). */
const HANDLER_TIMEOUT_MS = 90_000;

/** What proxies write into their logs for a client that did not wait. */
const CLIENT_GONE = 499;

/** The path of Alipay's notifications: `ALIPAY_NOTIFY_URL` ends with it, unless a proxy rewrites. */
export const NOTIFY_PATH = '/alipay/notify';

/**
 * The shop's and Alipay's way in, not listening yet. Success is 200, every error `{code, message}`, except to
 * Alipay, which reads `success` or `fail` and nothing else.
 */
export function buildHttpServer({
  payments,
  config,
  log,
  metrics,
  notificationsPerSecond = NOTIFICATIONS_PER_SECOND,
}: HttpServerOptions): FastifyInstance {
  const app = fastify({
    loggerInstance: log,
    genReqId: () => randomUUID(),
    bodyLimit: BODY_LIMIT,
    // A client gets 15 s to say what it wants, and 5 s of them for the headers (a slow-loris holds a socket longer).
    requestTimeout: 15_000,
    http: { headersTimeout: 5_000 },
    handlerTimeout: HANDLER_TIMEOUT_MS,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
    clientErrorHandler: answerMalformedRequest,
  });
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(answerNotFound);
  allowEmptyJson(app);
  if (metrics) countRequests(app, metrics);

  void app.register(helmet);
  void app.register((scope) => notifyRoute(scope, payments, notificationsPerSecond));
  void app.register((scope, _options, done) => {
    if (config.apiToken !== undefined) scope.addHook('onRequest', requireToken('API_TOKEN', config.apiToken));
    traceRequests(scope, { follow: true });
    shopRoutes(scope, payments);
    done();
  });
  healthRoute(app, payments);
  return app;
}

/** When the answer has left, or its client has: a client that goes away is never answered, and must not stay counted. */
function countRequests(app: FastifyInstance, metrics: Pick<ServerMetrics, 'began' | 'ended'>): void {
  app.addHook('onRequest', (request, reply, done) => {
    metrics.began();
    reply.raw.once('close', () =>
      metrics.ended({
        method: request.method,
        route: request.routeOptions.url ?? 'unknown',
        status: reply.raw.writableFinished ? reply.statusCode : CLIENT_GONE,
        ms: reply.elapsedTime,
      }),
    );
    done();
  });
}

function shopRoutes(app: FastifyInstance, payments: HttpPayments): void {
  app.post('/orders', ({ body }) => payments.registerOrder(body as OrderInput));

  app.post('/checkout', ({ body }) => payments.checkout(body as CheckoutInput));

  app.get<{ Params: { orderId: string } }>('/orders/:orderId', ({ params }) =>
    payments.order(parseOrderId(params.orderId)),
  );

  app.post<{ Params: { orderId: string } }>('/orders/:orderId/close', ({ params, body }) =>
    payments.closeOrder({
      actor: 'shop',
      reason: 'cancelled by the shop',
      ...noteOf(body),
      orderId: parseOrderId(params.orderId),
    }),
  );

  app.get<{ Params: { outTradeNo: string } }>('/payments/:outTradeNo', ({ params }) =>
    payments.payment(parseOutTradeNo(params.outTradeNo)),
  );
}

/** Who closes an order and why; both may be left out. What they hold is checked where the order is closed. */
function noteOf(body: unknown): { actor?: string; reason?: string } {
  if (body === undefined || body === null) return {};
  if (typeof body !== 'object' || Array.isArray(body)) {
    throw new PaymentError(
      'INVALID_INPUT',
      'the body must be an object like {"actor": "…", "reason": "…"}, or empty',
    );
  }
  return body;
}

/** Whatever goes wrong, Alipay reads `fail` and sends the notification again. */
async function notifyRoute(scope: FastifyInstance, payments: HttpPayments, perSecond: number): Promise<void> {
  await scope.register(rateLimit, { max: perSecond, timeWindow: 1_000 });
  traceRequests(scope, { follow: false });
  scope.removeAllContentTypeParsers();
  // Raw, because what Alipay signed is decided by the bytes as they came.
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer' },
    (_request, body, done) => done(null, body),
  );
  scope.setErrorHandler((error: FastifyError, request, reply) => {
    const { status } = explain(error, request);
    return reply.code(status).type('text/plain').send('fail');
  });
  scope.post<{ Body: Buffer | undefined }>(NOTIFY_PATH, async ({ body }, reply) => {
    const answer = await payments.handleNotify(body);
    return reply.type('text/plain').send(answer);
  });
}

function healthRoute(app: FastifyInstance, payments: HttpPayments): void {
  const health = shared(() => payments.health(), HEALTH_FRESH_MS);
  // Probes come every few seconds and would fill the log.
  app.get('/healthz', { logLevel: 'warn' }, async (_request, reply) => {
    const { database, temporal } = await health();
    if (database && temporal) return { status: 'ok', database, temporal };
    return reply.code(503).send({
      status: 'down',
      database,
      temporal,
      code: database ? 'TEMPORAL_UNAVAILABLE' : 'DATABASE_UNAVAILABLE',
      message: `no answer from ${database ? 'Temporal' : temporal ? 'the database' : 'the database and Temporal'}`,
    });
  });
}

/** All who ask while an answer is awaited, or for so long after it came, get that one. */
function shared<T>(ask: () => Promise<T>, freshMs: number): () => Promise<T> {
  let latest: Promise<T> | undefined;
  return () =>
    (latest ??= ask().finally(() => {
      setTimeout(() => (latest = undefined), freshMs).unref();
    }));
}

/** A close needs no body, and many HTTP libraries announce JSON all the same. */
function allowEmptyJson(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body.trim() === '') done(null, undefined);
    else void parseJson(request, body, done);
  });
}
