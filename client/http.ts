import helmet from '@fastify/helmet';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../worker/config';
import { PaymentError } from '../workflows/errors';
import { refuseOtherPages, requireLocal, requireToken } from './http-access';
import { createApp } from './http-app';
import { notifyRoute } from './http-notify';
import type { NotifyLimits } from './http-notify';
import { traceRequests } from './http-spans';
import type { ServerMetrics } from './metrics';
import type { CheckoutInput, OrderInput, PaymentClient, RefundInput } from './index';

/** What the server needs of a {@link PaymentClient}. */
export type HttpPayments = Pick<
  PaymentClient,
  | 'registerOrder'
  | 'checkout'
  | 'closeOrder'
  | 'order'
  | 'payment'
  | 'refund'
  | 'refundStatus'
  | 'handleNotify'
  | 'health'
>;

export interface HttpServerOptions extends NotifyLimits {
  payments: HttpPayments;
  config: Config['http'];
  log: FastifyBaseLogger;
  /** Counts requests. Default: they are not counted. */
  metrics?: Pick<ServerMetrics, 'began' | 'ended'>;
}

/** An order has five short fields: anything larger is a mistake or an attack. */
const BODY_LIMIT = 64 * 1024;

/** Anyone may call the health routes at any rate: Postgres and Temporal are asked no more often than this. */
const HEALTH_FRESH_MS = 1_000;

/** The last resort: every wait inside has its own deadline; the longest, for a close, is a minute. */
const HANDLER_TIMEOUT_MS = 90_000;

/**
 * The HTTP server for the shop and Alipay, not listening yet. Success is 200, every error is `{code, message}`; except
 * for Alipay, which reads only `success` or `fail`.
 */
export function buildHttpServer({
  payments,
  config,
  log,
  metrics,
  ...limits
}: HttpServerOptions): FastifyInstance {
  const app = createApp({ log, metrics, bodyLimit: BODY_LIMIT, handlerTimeout: HANDLER_TIMEOUT_MS });
  allowEmptyJson(app);

  void app.register(helmet);
  void app.register((scope) => notifyRoute(scope, payments, limits));
  void app.register((scope, _options, done) => {
    restrict(scope, config.apiToken);
    traceRequests(scope, { follow: true });
    shopRoutes(scope, payments);
    done();
  });
  probeRoutes(app, payments);
  return app;
}

/** Admits requests with the token; if none is set, those of local programs, but not of pages of another origin. */
function restrict(scope: FastifyInstance, apiToken: string | undefined): void {
  if (apiToken !== undefined) {
    scope.addHook('onRequest', requireToken('API_TOKEN', apiToken));
    return;
  }
  scope.addHook('onRequest', requireLocal('API_TOKEN'));
  scope.addHook('onRequest', refuseOtherPages('API_TOKEN'));
}

function shopRoutes(app: FastifyInstance, payments: HttpPayments): void {
  app.post('/orders', ({ body }) => payments.registerOrder(body as OrderInput));

  app.post('/checkout', ({ body }) => payments.checkout(body as CheckoutInput));

  app.get<{ Params: { orderId: string } }>('/orders/:orderId', ({ params }) =>
    payments.order(params.orderId),
  );

  app.post<{ Params: { orderId: string } }>('/orders/:orderId/close', ({ params, body }) =>
    payments.closeOrder({ ...noteOf(body), orderId: params.orderId }),
  );

  app.post('/refunds', ({ body }) => payments.refund(body as RefundInput));

  app.get<{ Params: { refundId: string } }>('/refunds/:refundId', ({ params }) =>
    payments.refundStatus(params.refundId),
  );

  app.get<{ Params: { outTradeNo: string } }>('/payments/:outTradeNo', ({ params }) =>
    payments.payment(params.outTradeNo),
  );
}

/** Who closes an order and why; both may be left out. Their values are checked where the order is closed. */
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

/**
 * `/livez`: whether this process serves; it checks nothing else, since a restart fixes no dependency. `/readyz`, or
 * `/healthz`: whether Temporal responds for our namespace and Postgres has all tables; 503 if one does not.
 */
function probeRoutes(app: FastifyInstance, payments: HttpPayments): void {
  const health = shared(() => payments.health(), HEALTH_FRESH_MS);
  const isReady = async (_request: FastifyRequest, reply: FastifyReply) => {
    const { database, temporal, reason } = await health();
    if (database && temporal) return { status: 'ok', database, temporal };
    return reply.code(503).send({
      status: 'down',
      database,
      temporal,
      code: database ? 'TEMPORAL_UNAVAILABLE' : 'DATABASE_UNAVAILABLE',
      message:
        reason ??
        `no answer from ${database ? 'Temporal' : temporal ? 'the database' : 'the database and Temporal'}`,
    });
  };
  // Probes come every few seconds and would fill the log.
  const quiet = { logLevel: 'warn' } as const;
  app.get('/livez', quiet, () => ({ status: 'ok' }));
  app.get('/readyz', quiet, isReady);
  app.get('/healthz', quiet, isReady);
}

/** Calls share one answer while it is pending and for `freshMs` after that. */
function shared<T>(ask: () => Promise<T>, freshMs: number): () => Promise<T> {
  let latest: Promise<T> | undefined;
  return () =>
    (latest ??= ask().finally(() => {
      setTimeout(() => (latest = undefined), freshMs).unref();
    }));
}

/** A close needs no body, but many HTTP libraries announce JSON anyway. */
function allowEmptyJson(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body.trim() === '') done(null, undefined);
    else void parseJson(request, body, done);
  });
}
