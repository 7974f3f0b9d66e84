import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import type { PaymentResult } from '../../workflows/messages';

/** The order service of a shop without Temporal: it acts once on each result, as docs/shop.md says. */
export interface Reception {
  /** What it has acted on, oldest first. */
  acted: PaymentResult[];
  /** How it takes results: it may be down, or break after it has acted and before it responds. */
  mood: 'well' | 'down' | 'breaks after acting';
  /** For the worker. */
  environment: Record<string, string>;
  close(): Promise<void>;
}

export async function openReception(): Promise<Reception> {
  const secret = randomBytes(32).toString('base64');
  const verifier = new Webhook(secret);
  const known = new Set<string>();
  const server = createServer((request, response) => void receive(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const reception: Reception = {
    acted: [],
    mood: 'well',
    environment: {
      ORDER_SERVICE_URL: `http://127.0.0.1:${port}/results`,
      ORDER_SERVICE_SECRET: `whsec_${secret}`,
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };

  async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await read(request);
    if (reception.mood === 'down') return void response.writeHead(503).end();
    const result = verifier.verify(body, request.headers as Record<string, string>) as PaymentResult;
    if (!known.has(result.messageId)) reception.acted.push(result);
    known.add(result.messageId);
    if (reception.mood === 'breaks after acting') return void response.destroy();
    response.writeHead(200).end();
  }
  return reception;
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
