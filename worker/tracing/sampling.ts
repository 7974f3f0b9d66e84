import type { Context, TextMapPropagator } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, TraceFlags, trace } from '@opentelemetry/api';
import type * as Sdk from '@opentelemetry/sdk-trace-node';
import type { OpenTelemetryWorkflowExporter } from '@temporalio/interceptors-opentelemetry';
import type { InjectedSink } from '@temporalio/worker';
import { BEGUN_IN_WORKFLOW } from '../../workflows/messages';

/**
 * Workflow code cannot read OTEL_TRACES_SAMPLER, so it records and marks each trace that begins in it. Outside, the
 * trace is kept or dropped by its id, so that every process decides the same for all its parts.
 */
export class WorkflowTraces {
  /** @param keeps whether traces of this id are kept: {@link rootSampling} */
  constructor(private readonly keeps: (traceId: string) => boolean) {}

  /** A propagator that passes the decision on to activities and to what they call. */
  decidingIn(propagator: TextMapPropagator): TextMapPropagator {
    return {
      inject: (...args) => propagator.inject(...args),
      fields: () => propagator.fields(),
      extract: (...args) => this.#decide(propagator.extract(...args)),
    };
  }

  /** A sink that drops the spans of traces that are not kept. */
  filtered(sink: InjectedSink<OpenTelemetryWorkflowExporter>): InjectedSink<OpenTelemetryWorkflowExporter> {
    return {
      export: {
        ...sink.export,
        fn: (info, spans) => {
          const kept = spans.filter(
            ({ parentSpanId, spanContext: { traceId, traceState } }) =>
              (parentSpanId !== undefined && !traceState?.includes(MARK)) || this.keeps(traceId),
          );
          return sink.export.fn(info, kept);
        },
      },
    };
  }

  #decide(extracted: Context): Context {
    const parent = trace.getSpanContext(extracted);
    if (!parent?.traceState?.get(BEGUN_IN_WORKFLOW.key)) return extracted;
    const traceFlags = this.keeps(parent.traceId) ? TraceFlags.SAMPLED : TraceFlags.NONE;
    return trace.setSpanContext(extracted, { ...parent, traceFlags });
  }
}

/** The mark as `tracestate` contains it. */
const MARK = `${BEGUN_IN_WORKFLOW.key}=${BEGUN_IN_WORKFLOW.value}`;

/** The sampling that the standard variables, read and checked at start, set for a trace without a parent, by its id. */
export function rootSampling({
  AlwaysOffSampler,
  AlwaysOnSampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
}: typeof Sdk): (traceId: string) => boolean {
  const { OTEL_TRACES_SAMPLER: name = '', OTEL_TRACES_SAMPLER_ARG: ratio } = process.env;
  let sampler: Sdk.Sampler = new AlwaysOnSampler();
  if (name.endsWith('always_off')) sampler = new AlwaysOffSampler();
  if (name.endsWith('traceidratio')) sampler = new TraceIdRatioBasedSampler(ratio ? Number(ratio) : 1);
  return (traceId) =>
    sampler.shouldSample(ROOT_CONTEXT, traceId, '', SpanKind.INTERNAL, {}, []).decision ===
    SamplingDecision.RECORD_AND_SAMPLED;
}
