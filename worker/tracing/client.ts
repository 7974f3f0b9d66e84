import type { ClientOptions } from '@temporalio/client';
import { isTracing } from '../../activities/spans';

/**
 * What lets a client of Temporal carry a trace on to the workflows that it starts and signals: only where this process
 * has a tracer provider, ours or the shop's.
 */
export async function clientTracing(): Promise<Pick<ClientOptions, 'interceptors'>> {
  if (!isTracing()) return {};
  const { OpenTelemetryWorkflowClientInterceptor } =
    await import('@temporalio/interceptors-opentelemetry/lib/client/index.js');
  return { interceptors: { workflow: [new OpenTelemetryWorkflowClientInterceptor()] } };
}
