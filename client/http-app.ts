import { randomUUID } from 'node:crypto';
import fastify from 'fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest, LogController } from 'fastify';
import { answerError, answerMalformedRequest, answerNotFound, cut, pathOf } from './http-errors';
import type { ServerMetrics } from './metrics';

interface AppOptions {
  log: FastifyBaseLogger;
  /** Bytes; a scope may allow less. */
  bodyLimit: number;
  /** The last resort against a handler that hangs, ms. Default: none. */
  handlerTimeout?: number;
  /** @defaultValue Fastify's: one line for each request and one for its response */
  logController?: LogController;
  /** Counts requests. Default: they are not counted. */
  metrics?: Pick<ServerMetrics, 'began' | 'ended'>;
}

/** How long a client may take to send its headers and its whole request, ms. */
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;

/** How often Node looks for slower clients, ms. At its default, 30 s, a slow socket would live that much longer. */
const CHECK_SOCKETS_EVERY_MS = 500;

/** The longest route has some 150 characters, and no route reads a query. */
const LONGEST_URL = 2_048;

/** The status that proxies log for a client that did not wait. */
const CLIENT_GONE = 499;

/**
 * The basis of every HTTP server here, without routes: limits of time and size, errors as `{code, message}`, responses
 * that are not cached, and a log without query strings.
 */
export function createApp({ log, metrics, ...options }: AppOptions): FastifyInstance {
  const app = fastify({
    loggerInstance: log.child({}, { serializers: { req: logRequest } }),
    ...options,
    genReqId: () => randomUUID(),
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: CHECK_SOCKETS_EVERY_MS },
    routerOptions: { querystringParser: () => ({}) },
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
    clientErrorHandler: answerMalformedRequest,
  });
  // fetch sends a string as text/plain by default. If parsed, it would be refused for its fields, not for its type.
  app.removeContentTypeParser('text/plain');
  app.setErrorHandler(answerError);
  app.setNotFoundHandler(answerNotFound);
  if (metrics) countRequests(app, metrics);
  app.addHook('onRequest', (request, reply, done) => {
    void reply.header('cache-control', 'no-store');
    done(request.url.length > LONGEST_URL ? tooLong() : undefined);
  });
  return app;
}

const tooLong = (): Error =>
  Object.assign(new Error(`the URL has more than ${LONGEST_URL} characters`), { statusCode: 414 });

/** A query may hold a token, and strangers choose path and host. */
function logRequest({ method, url, host, ip, socket }: FastifyRequest): object {
  return { method, url: pathOf(url), host: cut(host, 64), remoteAddress: ip, remotePort: socket.remotePort };
}

/** Counts on `close`, not in a response hook: a client that went away gets no response, and must not stay in flight. */
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
