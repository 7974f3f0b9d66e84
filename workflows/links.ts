import type { SpanContext } from '@opentelemetry/api';
import { context, createTraceState, trace } from '@opentelemetry/api';
import type { Headers, WorkflowInterceptorsFactory } from '@temporalio/workflow';
import { BEGUN_IN_WORKFLOW } from './messages';

/** The header in which OpenTelemetry's interceptors pass a trace on. */
const TRACE_HEADER = '_tracer-data';

/**
 * A message whose trace is not its run's, as with every notification, is handled in its own trace, with a link to the
 * run's. Traces that begin here are marked. Bundled only if tracing is on, after OpenTelemetry's own interceptors.
 */
export const interceptors: WorkflowInterceptorsFactory = () => {
  let run: SpanContext | undefined;
  const linkToRun = (): void => {
    const span = trace.getActiveSpan();
    if (!span || !run || span.spanContext().traceId === run.traceId) return;
    const { traceId, spanId, traceFlags } = run;
    span.addLink({ context: { traceId, spanId, traceFlags } });
  };
  return {
    inbound: [
      {
        execute(input, next) {
          run = trace.getActiveSpan()?.spanContext();
          return marked(input.headers, () => next(input));
        },
        handleSignal(input, next) {
          linkToRun();
          return marked(input.headers, () => next(input));
        },
        handleUpdate(input, next) {
          linkToRun();
          return marked(input.headers, () => next(input));
        },
      },
    ],
  };
};

/** A message without a trace has begun one here; the mark is passed on to everything it causes. */
function marked<T>(headers: Headers, act: () => T): T {
  const begun = trace.getActiveSpan()?.spanContext();
  if (!begun || TRACE_HEADER in headers) return act();
  const traceState = createTraceState().set(BEGUN_IN_WORKFLOW.key, BEGUN_IN_WORKFLOW.value);
  return context.with(trace.setSpanContext(context.active(), { ...begun, traceState }), act);
}
