import type { Attributes, Span, SpanKind } from '@opentelemetry/api';
import { SpanStatusCode, isSpanContextValid, trace } from '@opentelemetry/api';

// Spans use only OpenTelemetry's API, which does nothing and costs nothing unless a tracer provider is registered.

const TRACER = 'durable-alipay';

/** The attribute by which to find a payment's traces. */
export const OUT_TRADE_NO_ATTRIBUTE = 'durable_alipay.out_trade_no';

/** The attribute by which to find an order's traces. */
export const ORDER_ID_ATTRIBUTE = 'durable_alipay.order_id';

/**
 * Whether this process has a tracer provider, ours or that of the shop that it belongs to. The API does not say, but
 * without one, spans have no valid context. The probe span is never ended, so nobody sees it.
 */
export function isTracing(): boolean {
  return isSpanContextValid(trace.getTracer(TRACER).startSpan('probe', { root: true }).spanContext());
}

/**
 * Does something in its own span, which ends with it. An error is noted by its code and rethrown: its message may quote
 * what no trace may contain.
 */
export async function inSpan<T>(
  name: string,
  { kind, attributes }: { kind?: SpanKind; attributes?: Attributes },
  act: (span: Span) => Promise<T>,
): Promise<T> {
  return trace.getTracer(TRACER).startActiveSpan(name, { kind, attributes }, async (span) => {
    try {
      return await act(span);
    } catch (error) {
      const { type, isOurFault } = explained(error);
      span.setAttribute('error.type', type);
      if (isOurFault) span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Our errors have a `code` and an HTTP `status`; a status below 500 is an answer to the caller, not a fault. */
function explained(error: unknown): { type: string; isOurFault: boolean } {
  const { code, status, name } = error as { code?: unknown; status?: unknown; name?: unknown };
  const type = [code, name].find((word) => typeof word === 'string');
  return { type: type ?? 'Error', isOurFault: typeof status !== 'number' || status >= 500 };
}
