import type { IncomingHttpHeaders, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Webhook as Verifier } from 'standardwebhooks';
import { Webhook } from '../../activities/webhook';
import type { PaymentResult } from '../../workflows/messages';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

const resultWith = (messageId: string): PaymentResult => ({
  messageId,
  orderId: 'A',
  outTradeNo: 'P1',
  status: 'PARTIALLY_REFUNDED',
  totalAmount: '12.30',
  refundedAmount: '1.00',
  at: '2026-11-24T10:57:25.120Z',
});

let receiver: Server;
let webhook: Webhook;
let last: { headers: IncomingHttpHeaders; body: string };

beforeAll(async () => {
  receiver = createServer((request, response) => {
    void text(request).then((body) => {
      last = { headers: request.headers, body };
      response.end();
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  webhook = new Webhook(
    { url: `http://127.0.0.1:${port}/`, secrets: [SECRET] },
    { webhook: () => undefined },
  );
});
afterAll(() => {
  receiver.closeAllConnections();
  receiver.close();
});

async function idOf(messageId: string): Promise<unknown> {
  await webhook.post(resultWith(messageId));
  const verified = new Verifier(SECRET).verify(last.body, last.headers as Record<string, string>);
  expect(verified).toMatchObject({ messageId });
  return last.headers['webhook-id'];
}

describe('the webhook-id', () => {
  it.each([
    ['PAID-20261124_b86e', 'PAID-20261124_b86e'],
    ['REFUND-P1-1.00', 'REFUND-P1-1_00'],
  ])('of %s is %s', async (messageId, id) => {
    expect(await idOf(messageId)).toBe(id);
  });

  it.each(['REFUND-P1-退款 7', 'REFUND-P1-a\tb\u0001', 'REFUND-P1-A.1', 'REFUND-P1-A.1.00'])(
    'of %j, with the number of a refund in the portal, is a digest that a header can carry',
    async (messageId) => {
      const id = await idOf(messageId);
      expect(id).toMatch(/^h-[0-9a-f]{64}$/);
      expect(await idOf(messageId)).toBe(id);
      expect(await idOf(`${messageId}!`)).not.toBe(id);
    },
  );
});
