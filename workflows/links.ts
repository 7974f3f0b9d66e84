import type { SpanContext } from '@opentelemetry/api';
import { trace } from '@opentelemetry/api';
import type { WorkflowInterceptorsFactory } from '@temporalio/workflow';

/**
 * A message that comes from another trace than its run, as every notification does, is handled in that trace; a link
 * leads from there to the run's. In the bundle only where there are traces, after OpenTelemetry's own interceptors.
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
          return next(input);
        },
        handleSignal(input, next) {
          linkToRun();
          return next(input);
        },
        handleUpdate(input, next) {
          linkToRun();
          return next(input);
        },
      },
    ],
  };
};
