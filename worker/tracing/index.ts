import type { ClientOptions } from '@temporalio/client';
import type { WorkerOptions } from '@temporalio/worker';
import { isTracing } from '../../activities/spans';
import type { Config } from '../config';
import type { Logger } from '../log';
import { openProvider } from './provider';

/** The parts of clients and workers that take part in traces. */
export interface Tracing {
  client: Pick<ClientOptions, 'interceptors'>;
  worker: Pick<WorkerOptions, 'interceptors' | 'sinks'>;
  /** Sends what is left, in at most 3 s. */
  stop(): Promise<void>;
}

/**
 * Lets a Temporal client pass a trace on to the workflows that it starts and signals, but only if this process has a
 * tracer provider, ours or the shop's.
 */
export async function clientTracing(): Promise<Tracing['client']> {
  if (!isTracing()) return {};
  const { OpenTelemetryWorkflowClientInterceptor } =
    await import('@temporalio/interceptors-opentelemetry/lib/client/index.js');
  return { interceptors: { workflow: [new OpenTelemetryWorkflowClientInterceptor()] } };
}

/** The modules that intercept workflows when there are traces; OpenTelemetry's own come first. */
export const tracedWorkflowModules = (): string[] => [
  require.resolve('@temporalio/interceptors-opentelemetry/lib/workflow-interceptors'),
  require.resolve('../../workflows/links'),
];

/** Where spans are sent, by OpenTelemetry's rule: below whatever path the collector has. Undefined: nowhere. */
export function tracesUrl({ url, collector }: Config['tracing']): string | undefined {
  if (url !== undefined) return url;
  return collector?.endsWith('/') ? `${collector}v1/traces` : collector && `${collector}/v1/traces`;
}

/**
 * Registers a tracer provider for this process and returns what else takes part; undefined if no collector is set. Then
 * OpenTelemetry's SDK, which takes 0.1 s of CPU to load (measured), is not loaded.
 *
 * @param options `service`: the name of this process in traces, unless OTEL_SERVICE_NAME overrides it
 */
export async function startTracing(
  config: Config['tracing'],
  options: { service: string; log: Logger },
): Promise<Tracing | undefined> {
  const url = tracesUrl(config);
  if (url === undefined) return undefined;
  const provider = await openProvider({ url, ...options });
  const interceptors = await import('@temporalio/interceptors-opentelemetry');
  return {
    client: await clientTracing(),
    worker: {
      interceptors: {
        activity: [
          (activity) => ({
            inbound: new interceptors.OpenTelemetryActivityInboundInterceptor(activity),
            outbound: new interceptors.OpenTelemetryActivityOutboundInterceptor(activity),
          }),
        ],
      },
      // During a replay the SDK calls no sink, so nothing is reported twice.
      sinks: {
        exporter: provider.workflowTraces.filtered(
          interceptors.makeWorkflowExporter(provider.processor, provider.resource),
        ),
      },
    },
    stop: () => provider.stop(),
  };
}
