import type { Context, TextMapPropagator } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, TraceFlags, trace } from '@opentelemetry/api';
import type * as Sdk from '@opentelemetry/sdk-trace-node';
import type { OpenTelemetryWorkflowExporter } from '@temporalio/interceptors-opentelemetry';
import type { InjectedSink } from '@temporalio/worker';
import { BEGUN_IN_WORKFLOW } from '../../workflows/messages';

/**
 * Workflow code cannot know OTEL_TRACES_SAMPLER, so it records each trace that begins in it, and marks it. Out here it is
 * kept or not by its id: every process decides the same about every part of it.
 */
export class WorkflowTraces {
  /** @param keeps whether traces of this id are kept: {@link rootSampling} */
  constructor(private readonly keeps: (traceId: string) => boolean) {}

  /** A propagator by which activities, and what they call, hear of the decision. */
  decidingIn(propagator: TextMapPropagator): TextMapPropagator {
    return {
      inject: (...args) => propagator.inject(...args),
      fields: () => propagator.fields(),
      extract: (...args) => this.#decide(propagator.extract(...args)),
    };
  }

  /** A sink that takes no span of traces that are not kept. */
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

/** As `tracestate` writes it. */
const MARK = `${BEGUN_IN_WORKFLOW.key}=${BEGUN_IN_WORKFLOW.value}`;

/** What the standard variables, read and checked at start, say of a trace that has no parent: whether its id is kept. */
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
