import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An HTTP server that remembers every body posted to it, and responds with what it is told to. */
export interface Listener {
  readonly bodies: string[];
  readonly url: string;
  answer: string;
  close(): Promise<void>;
}

/** Listens on a free port of this machine. */
export async function listen(): Promise<Listener> {
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      bodies.push(body);
      response.end(listener.answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const listener: Listener = {
    bodies,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    answer: 'success',
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
  return listener;
}
