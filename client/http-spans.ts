import type { Context, Span } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, propagation, trace } from '@opentelemetry/api';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isTracing } from '../activities/spans';

/**
 * A span around each request of a scope, if this process has a tracer provider. Hooks that were added to the scope
 * earlier run first, such as the one that checks the token: requests that they refuse get no span.
 *
 * @param options `follow`: continue the trace that the caller names; not for strangers, who could have every request
 *   traced
 */
export function traceRequests(scope: FastifyInstance, { follow }: { follow: boolean }): void {
  if (!isTracing()) return;
  const tracer = trace.getTracer('durable-alipay');
  const spans = new WeakMap<FastifyRequest, { span: Span; inside: Context }>();

  scope.addHook('onRequest', (request, _reply, done) => {
    const parent = follow ? propagation.extract(ROOT_CONTEXT, request.headers) : ROOT_CONTEXT;
    const route = request.routeOptions.url ?? '';
    const span = tracer.startSpan(
      `${request.method} ${route}`,
      {
        kind: SpanKind.SERVER,
        attributes: { 'http.request.method': request.method, 'http.route': route },
      },
      parent,
    );
    spans.set(request, { span, inside: trace.setSpan(parent, span) });
    done();
  });
  // Not earlier: Fastify reads the body between the two hooks, and what runs after that loses the context of the first.
  scope.addHook('preValidation', (request, _reply, done) => {
    context.with(spans.get(request)?.inside ?? ROOT_CONTEXT, done);
  });
  scope.addHook('onResponse', (request, reply, done) => {
    const { span } = spans.get(request) ?? {};
    span?.setAttribute('http.response.status_code', reply.statusCode);
    if (reply.statusCode >= 500) span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
    done();
  });
}
