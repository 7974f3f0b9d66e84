import type { Attributes, Span, SpanKind } from '@opentelemetry/api';
import { SpanStatusCode, isSpanContextValid, trace } from '@opentelemetry/api';

// Spans use OpenTelemetry's API alone, which does nothing and costs nothing unless a tracer provider is registered.

const TRACER = 'durable-alipay';

/** By this attribute a payment is found among the traces. */
export const OUT_TRADE_NO_ATTRIBUTE = 'durable_alipay.out_trade_no';

/** By this one an order. */
export const ORDER_ID_ATTRIBUTE = 'durable_alipay.order_id';

/**
 * Whether this process has a tracer provider, ours or that of the shop that it belongs to. The API does not say; without
 * one, spans have no valid context. The span that asks is never ended, so nobody sees it.
 */
export function isTracing(): boolean {
  return isSpanContextValid(trace.getTracer(TRACER).startSpan('probe', { root: true }).spanContext());
}

/**
 * Does something within a span of its own, which ends with it. An error is noted by its code and passed on: its message
 * may quote what no trace may hold.
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

/** A `code` and an HTTP `status` are what our errors have; one below 500 is an answer to the caller, no fault. */
function explained(error: unknown): { type: string; isOurFault: boolean } {
  const { code, status, name } = error as { code?: unknown; status?: unknown; name?: unknown };
  const type = [code, name].find((word) => typeof word === 'string');
  return { type: type ?? 'Error', isOurFault: typeof status !== 'number' || status >= 500 };
}
