import type { FastifyInstance } from 'fastify';
import fastify from 'fastify';
import type { Registry } from 'prom-client';
import { PaymentError } from '../workflows/errors';

interface Place {
  host: string;
  port: number;
}

/** The variables that hold a host and a port, or the one, `address`, that holds both. */
type Names = { host: string; port: string } | { address: string };

/**
 * Makes a server listen, and closes it if it cannot.
 *
 * @param ready what the log calls it, before its URL
 * @throws PaymentError CONFIG_INVALID that names the variables to fix
 */
export async function listen(
  app: FastifyInstance,
  { host, port }: Place,
  names: Names,
  ready = 'server',
): Promise<void> {
  try {
    await app.listen({ host, port, listenTextResolver: (url) => `${ready} ready at ${url}` });
  } catch (error) {
    await app.close();
    const advice = adviceFor(error, { host, port }, names);
    throw advice ? new PaymentError('CONFIG_INVALID', advice, { cause: error }) : error;
  }
}

function adviceFor(error: unknown, { host, port }: Place, names: Names): string | undefined {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if ('address' in names) {
    const { address } = names;
    const advice =
      code === 'EADDRINUSE'
        ? `is in use, by another process or by PORT; give each process a ${address} of its own`
        : `cannot be listened on (${code}); set ${address} to a free host:port of this machine`;
    return `${address} ${host}:${port} ${advice}`;
  }
  return {
    EADDRINUSE: `${names.port} ${port} on ${host} is in use by another process; stop it or set another ${names.port}`,
    EACCES: `${names.port} ${port} on ${host} cannot be opened by this user; set ${names.port} to 1024 or more`,
    EADDRNOTAVAIL: `${names.host} ${host} is not an address of this machine; set ${names.host} to one, or to 0.0.0.0 for all`,
    ENOTFOUND: `${names.host} ${host} is neither an address nor a known name; fix ${names.host}`,
  }[code];
}

/**
 * Serves a registry to Prometheus at `GET /metrics`, on a separate listener: the public port never has it.
 *
 * @param address host:port
 * @returns a function that stops it
 * @throws PaymentError CONFIG_INVALID if nothing can listen there
 */
export async function serveMetrics(registry: Registry, address: string): Promise<() => Promise<void>> {
  const app = fastify({ forceCloseConnections: true });
  app.get('/metrics', async (_request, reply) =>
    reply.type(registry.contentType).send(await registry.metrics()),
  );
  const [host = '', port] = address.split(':');
  await listen(app, { host, port: Number(port) }, { address: 'METRICS_ADDRESS' });
  return () => app.close();
}
