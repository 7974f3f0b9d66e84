import { createServer } from 'node:net';
import { waitFor } from './wait-for';

/** Whether this port of the loopback address is free. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/** @throws Error that names the port, who needs it, and which variable chooses another one */
export async function assertFree(port: number, [variable, what]: readonly [string, string], timeoutMs = 0) {
  await waitFor(() => isFree(port), { what: `port ${port}`, timeoutMs }).catch(() => {
    throw new Error(
      `Port ${port}, wanted by ${what}, is busy. Stop what listens there, or set ${variable} to another port.`,
    );
  });
}
