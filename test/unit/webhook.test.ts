import type { IncomingHttpHeaders, RequestListener, Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
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

const endings: Array<() => void> = [];
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
  for (const end of endings.splice(0)) end();
});

/** An order service at this address, and the outcomes of the posts to it. */
function posting(url: string) {
  const outcomes: string[] = [];
  const to = new Webhook(
    { url, secrets: [SECRET] },
    { webhook: ({ outcome }) => void outcomes.push(outcome) },
  );
  const post = (): Promise<void> => to.post(resultWith('PAID-P1'));
  return { to, post, outcomes };
}

async function served(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** Lets the time-out elapse as soon as something has happened. */
const elapseAfter = async (happened: Promise<void>): Promise<void> => {
  await happened;
  jest.advanceTimersByTime(10_000);
};
const fakeTimeouts = (): void => {
  const doNotFake = ['setImmediate', 'nextTick', 'queueMicrotask', 'Date', 'performance'] as const;
  jest.useFakeTimers({ doNotFake: [...doNotFake] });
};

describe('an order service that brings no answer', () => {
  it('is said to be unreachable where nobody listens', async () => {
    const { post, outcomes } = posting('http://127.0.0.1:9/');
    await expect(post()).rejects.toMatchObject({
      code: 'ORDER_SERVICE_DOWN',
      wasTried: true,
      wasSent: false,
      message: expect.stringContaining('cannot be reached (ECONNREFUSED) for PAID-P1') as unknown,
    });
    expect(outcomes).toEqual(['ORDER_SERVICE_DOWN']);
  });

  it('is said to have broken off where it has', async () => {
    const { post } = posting(await served((request) => request.socket.destroy()));
    await expect(post()).rejects.toMatchObject({
      wasSent: true,
      message: expect.stringMatching(/broke off the connection \(\w+\) for PAID-P1/) as unknown,
    });
  });

  it('is waited for ten seconds where it has the result', async () => {
    fakeTimeouts();
    let arrived: () => void;
    const arriving = new Promise<void>((resolve) => (arrived = resolve));
    const { post } = posting(await served(() => arrived()));
    const posted = expect(post()).rejects.toThrow('did not answer in time for PAID-P1');
    await elapseAfter(arriving);
    await posted;
  });

  it('is said to be unreachable, without a name for it, where its TLS handshake takes longer', async () => {
    fakeTimeouts();
    let connected: () => void;
    const connecting = new Promise<void>((resolve) => (connected = resolve));
    const silent = createTcpServer((socket) => {
      endings.push(() => socket.destroy());
      connected();
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    endings.push(() => silent.close());
    const { post } = posting(`https://127.0.0.1:${(silent.address() as AddressInfo).port}/`);
    const posted = expect(post()).rejects.toThrow('cannot be reached for PAID-P1');
    await elapseAfter(connecting);
    await posted;
  });
});

describe('an order service that asks to be left alone for a while', () => {
  it.each([
    ['for some seconds', '120', 120_000],
    ['for longer than an hour, of which an hour counts', '7200', 3_600_000],
    ['until a time that has passed', 'Thu, 01 Jan 2026 00:00:00 GMT', 0],
    ['in words that nobody understands', 'soon', undefined],
  ])('%s is heard', async (_what, header, retryAfterMs) => {
    const { post } = posting(
      await served((_request, response) => response.writeHead(503, { 'retry-after': header }).end()),
    );
    await expect(post()).rejects.toMatchObject({ code: 'ORDER_SERVICE_DOWN', retryAfterMs });
  });
});

describe('an order service to which ten posts have failed', () => {
  /** `answer`: responds to the probe; the first ten posts get 503. */
  async function open(answer: RequestListener) {
    let posts = 0;
    const address = await served((request, response) => {
      posts += 1;
      if (posts <= 10) response.writeHead(503).end();
      else answer(request, response);
    });
    const shop = posting(address);
    for (let i = 0; i < 10; i += 1) await expect(shop.post()).rejects.toThrow('answered 503');
    shop.outcomes.splice(0);
    return { ...shop, posts: () => posts };
  }
  const tenSecondsLater = (): void =>
    void jest.spyOn(performance, 'now').mockReturnValue(performance.now() + 10_000);
  const NOT_TRIED = { code: 'ORDER_SERVICE_DOWN', wasTried: false };

  it('is posted nothing for ten seconds', async () => {
    const { to, post, posts, outcomes } = await open((_request, response) => response.end());
    expect(() => to.assertReachable()).toThrow('was not told: too many posts have failed');
    await expect(post()).rejects.toMatchObject(NOT_TRIED);
    expect(posts()).toBe(10);
    expect(outcomes).toEqual([]);
  });

  it('is posted one result then; until that is answered, nobody else begins', async () => {
    let answerProbe = (): void => undefined;
    let arrived: () => void;
    const arriving = new Promise<void>((resolve) => (arrived = resolve));
    const { to, post, outcomes } = await open((_request, response) => {
      answerProbe = () => void response.end();
      arrived();
    });
    tenSecondsLater();
    expect(() => to.assertReachable()).not.toThrow();
    const probe = post();
    await arriving;
    expect(() => to.assertReachable()).toThrow(expect.objectContaining(NOT_TRIED));
    await expect(post()).rejects.toMatchObject(NOT_TRIED);
    answerProbe();
    await probe;
    expect(() => to.assertReachable()).not.toThrow();
    expect(outcomes).toEqual(['taken']);
  });
});
