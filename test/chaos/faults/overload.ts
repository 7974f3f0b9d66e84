import { request } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { World } from '../world';
import type { Fault } from './fault';

const CONNECTIONS = 200;

/** The statuses that an overloaded or pestered server may return to a stranger; any other is a finding. */
const FITTING = new Set([400, 404, 408, 413, 429, 431, 503]);

/** Sends one request and returns its status; 0: the connection was broken. */
function ask(url: string, path: string, body?: string): Promise<number> {
  return new Promise((resolve) => {
    const asked = request(
      `${url}${path}`,
      {
        method: body === undefined ? 'GET' : 'POST',
        headers: { 'content-type': 'application/json' },
        agent: false,
        timeout: 20_000,
      },
      (response) => response.resume().once('close', () => resolve(response.statusCode ?? 0)),
    );
    asked.once('error', () => resolve(0)).once('timeout', () => asked.destroy());
    asked.end(body);
  });
}

/** A client that sends its request one byte at a time. */
function dawdle(url: string): Socket {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const text = 'POST /checkout HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: ';
  let said = 0;
  const drip = setInterval(() => {
    if (socket.writable) socket.write(text[said] ?? 'a');
    said += 1;
  }, 200);
  return socket
    .on('error', () => undefined)
    .once('close', () => clearInterval(drip))
    .resume();
}

async function storm({ url, history }: World, until: () => boolean): Promise<number> {
  let asked = 0;
  const one = async (place: number): Promise<void> => {
    while (!until()) {
      const status =
        place % 10 === 0
          ? await ask(url, '/checkout', JSON.stringify({ orderId: 'x'.repeat(100_000) }))
          : await ask(url, `/orders/nobody-${place}`);
      asked += 1;
      if (status !== 0 && !FITTING.has(status)) history.oddities.push(`HTTP ${status} to a stranger`);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS / 2 }, (_, place) => one(place)));
  return asked;
}

export const OVERLOAD: Fault = {
  name: 'HTTP overload',
  takes: ['server'],
  seconds: [4, 8],
  strike: (world) => {
    let isOver = false;
    const dawdlers = Array.from({ length: CONNECTIONS / 2 }, () => dawdle(world.url));
    const storming = storm(world, () => isOver);
    return Promise.resolve({
      what: `${CONNECTIONS} connections, half of them slow-loris`,
      end: async () => {
        isOver = true;
        for (const socket of dawdlers) socket.destroy();
        return storming;
      },
    });
  },
};
