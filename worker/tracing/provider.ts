import type { TextMapPropagator } from '@opentelemetry/api';
import { context, propagation, trace } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { SpanProcessor } from '@opentelemetry/sdk-trace-node';
import { TimeoutStrategy, timeout } from 'cockatiel';
import type { Logger } from '../log';
import { WorkflowTraces, rootSampling } from './sampling';
import { TidyExporter } from './tidy';

/** A collector that does not respond delays nobody for longer. */
const FLUSH_MS = 3_000;

/** Registered in this process until it is stopped. */
export interface Provider {
  processor: SpanProcessor;
  workflowTraces: WorkflowTraces;
  resource: Resource;
  stop(): Promise<void>;
}

/**
 * Registers a provider that sends spans in batches to `url`. Sampler, limits, batches, headers and timeouts come from
 * the standard variables, which OpenTelemetry's SDK reads itself.
 */
export async function openProvider({
  url,
  service,
  log,
}: {
  url: string;
  service: string;
  log: Logger;
}): Promise<Provider> {
  const sdk = await import('@opentelemetry/sdk-trace-node');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const workflowTraces = new WorkflowTraces(rootSampling(sdk));
  /**
   * W3C's `traceparent` without baggage: what a caller puts there, perhaps about a buyer, would end up in histories.
   * Workflows do not understand other formats.
   */
  class TraceparentProvider extends sdk.NodeTracerProvider {
    protected override _buildPropagatorFromEnv(): TextMapPropagator | undefined {
      const traceparent = this._getPropagator('tracecontext');
      return traceparent && workflowTraces.decidingIn(traceparent);
    }
  }

  const processor = new sdk.BatchSpanProcessor(new TidyExporter(new OTLPTraceExporter({ url }), log));
  const resource = await describeProcess(service);
  const provider = new TraceparentProvider({ resource, spanProcessors: [processor] });
  provider.register();
  return {
    processor,
    workflowTraces,
    resource,
    async stop() {
      await timeout(FLUSH_MS, TimeoutStrategy.Aggressive)
        .execute(() => provider.shutdown())
        .catch(() => log.warn({ code: 'TRACES_UNSENT' }, 'the last traces are lost'));
      trace.disable();
      context.disable();
      propagation.disable();
    },
  };
}

/** OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence. */
async function describeProcess(service: string): Promise<Resource> {
  const { Resource, envDetectorSync } = await import('@opentelemetry/resources');
  const named = new Resource({ 'service.name': service }).merge(envDetectorSync.detect());
  return new Resource(Resource.default().merge(named).attributes);
}
