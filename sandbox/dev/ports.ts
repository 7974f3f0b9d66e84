import { createServer } from 'node:net';

const HOST = '127.0.0.1';

/** Whether nobody listens on this port of the loopback address. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: HOST, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * Refuses a port that somebody else holds.
 *
 * @param what - who wants it, for the message
 * @param choose - what to set to take another port
 * @throws Error that names the port and what to set
 */
export async function assertFree(port: number, what: string, choose: string): Promise<void> {
  if (await isFree(port)) return;
  throw new Error(
    `Port ${port}, wanted by ${what}, is busy. Stop what listens there, or choose another port: ${choose}`,
  );
}

/** Distinct ports that are free now, picked by the operating system. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, HOST, resolve);
      });
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('The system gave no port');
    return address.port;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
