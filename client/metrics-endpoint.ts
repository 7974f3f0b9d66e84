import fastify from 'fastify';
import type { Registry } from 'prom-client';
import { PaymentError } from '../workflows/errors';

/**
 * Serves a registry to Prometheus, `GET /metrics`, on a listener apart: the public port never has it.
 *
 * @param address host:port
 * @returns what ends it
 * @throws PaymentError CONFIG_INVALID where nothing can listen there
 */
export async function serveMetrics(registry: Registry, address: string): Promise<() => Promise<void>> {
  const app = fastify({ forceCloseConnections: true });
  app.get('/metrics', async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  );
  const [host = '', port] = address.split(':');
  try {
    await app.listen({ host, port: Number(port) });
  } catch (cause) {
    await app.close();
    throw new PaymentError('CONFIG_INVALID', `METRICS_ADDRESS ${address} ${adviceFor(cause)}`, { cause });
  }
  return () => app.close();
}

function adviceFor(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  return code === 'EADDRINUSE'
    ? 'is in use, by another process or by PORT; give each process a METRICS_ADDRESS of its own'
    : `cannot be listened on (${code}); set METRICS_ADDRESS to a free host:port of this machine`;
}
