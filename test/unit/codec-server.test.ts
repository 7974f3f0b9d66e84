import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { FastifyInstance } from 'fastify';
import { buildCodecServer, serveCodec } from '../../client/codec-server';
import type { CodecServerOptions, JsonPayload } from '../../client/codec-server';
import { createLogger } from '../../worker/log';
import { EncryptionCodec } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';

const KEY = `a:${randomBytes(32).toString('base64')}`;
const WEB_UI = 'http://localhost:8233';
const TOKEN = 'a-token-of-the-codec';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

const plain: JsonPayload = {
  metadata: { encoding: base64('json/plain') },
  data: base64('{"orderId":"A-1001"}'),
};

const opened: FastifyInstance[] = [];
afterEach(() => Promise.all(opened.splice(0).map((app) => app.close())));

function serverOf(config: Partial<CodecServerOptions['config']> = {}, keys = KEY): FastifyInstance {
  const app = buildCodecServer({
    codec: new EncryptionCodec(parsePayloadKeys(keys)),
    config: { corsOrigins: [WEB_UI], ...config },
    log: createLogger({ env: { LOG_LEVEL: 'silent' } }),
  });
  opened.push(app);
  return app;
}

const post = (app: FastifyInstance, url: string, payloads: JsonPayload[], headers = {}) =>
  app.inject({
    method: 'POST',
    url,
    payload: { payloads },
    headers: { 'x-namespace': 'default', ...headers },
  });

const payloadsOf = ({ json }: { json: () => unknown }) => (json() as { payloads: JsonPayload[] }).payloads;

describe('the codec endpoint', () => {
  it.each(['', '/codec', '/default/codec'])('encrypts and decrypts at any depth: "%s"', async (path) => {
    const app = serverOf();
    const encoded = await post(app, `${path}/encode`, [plain, plain]);
    expect(encoded.statusCode).toBe(200);
    const sealed = payloadsOf(encoded);
    expect(sealed).toHaveLength(2);
    expect(Buffer.from(sealed[0]?.metadata?.['encoding'] ?? '', 'base64').toString()).toBe(
      'binary/encrypted',
    );
    const decoded = await post(app, `${path}/decode`, [...sealed, plain]);
    expect(payloadsOf(decoded)).toEqual([plain, plain, plain]);
  });

  it('takes no payloads for none', async () => {
    const answer = await serverOf().inject({ method: 'POST', url: '/decode', payload: {} });
    expect(answer.json()).toEqual({ payloads: [] });
  });

  it('says what to do where the key is not there', async () => {
    const [sealed] = payloadsOf(await post(serverOf(), '/encode', [plain]));
    const answer = await post(serverOf({}, `b:${randomBytes(32).toString('base64')}`), '/decode', [
      sealed ?? {},
    ]);
    expect(answer.statusCode).toBe(422);
    expect(answer.json()).toEqual({
      code: 'PAYLOAD_KEY_UNKNOWN',
      message: expect.stringContaining('holds only b'),
    });
  });

  it.each([
    ['no list', { payloads: 'A-1001' }],
    ['a payload that is none', { payloads: ['A-1001'] }],
    ['what is not base64', { payloads: [{ data: '{"orderId"}' }] }],
  ])('refuses %s', async (_kind, payload) => {
    const answer = await serverOf().inject({ method: 'POST', url: '/decode', payload });
    expect({ status: answer.statusCode, body: answer.json<unknown>() }).toMatchObject({
      status: 400,
      body: { code: 'INVALID_INPUT' },
    });
  });

  it('is there for nothing else', async () => {
    for (const [method, url] of [
      ['POST', '/'],
      ['POST', '/decoded'],
      ['GET', '/decode'],
    ] as const)
      expect((await serverOf().inject({ method, url, payload: {} })).statusCode).toBe(404);
  });

  it('takes a payload as large as Temporal does, and nothing much larger', async () => {
    const app = serverOf();
    const large = { metadata: plain.metadata, data: randomBytes(2_000_000).toString('base64') };
    expect(payloadsOf(await post(app, '/decode', payloadsOf(await post(app, '/encode', [large]))))).toEqual([
      large,
    ]);
    expect((await post(app, '/encode', [large, large, large])).statusCode).toBe(413);
  });
});

describe('a page that asks the codec endpoint', () => {
  const preflight = (app: FastifyInstance, origin: string) =>
    app.inject({
      method: 'OPTIONS',
      url: '/decode',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,x-namespace',
      },
    });

  it('is given leave without a token where it is a Web UI of ours', async () => {
    const answer = await preflight(serverOf({ token: TOKEN }), WEB_UI);
    expect(answer.statusCode).toBe(204);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': WEB_UI,
      'access-control-allow-credentials': 'true',
      'access-control-allow-headers': 'Authorization, Content-Type, X-Namespace',
      vary: 'Origin',
    });
  });

  it('may read the answer then, a refusal too', async () => {
    const app = serverOf({ token: TOKEN });
    const origin = { origin: WEB_UI };
    const answer = await post(app, '/decode', [plain], { ...origin, authorization: `Bearer ${TOKEN}` });
    expect(answer.headers).toMatchObject({ 'access-control-allow-origin': WEB_UI });
    expect(payloadsOf(answer)).toEqual([plain]);
    const refused = await post(app, '/decode', [plain], origin);
    expect(refused.statusCode).toBe(401);
    expect(refused.headers).toMatchObject({ 'access-control-allow-origin': WEB_UI });
  });

  it.each(['http://evil.example', 'http://localhost:8234', 'null'])(
    'is refused where it is %s',
    async (origin) => {
      const app = serverOf();
      for (const answer of [await preflight(app, origin), await post(app, '/decode', [plain], { origin })]) {
        expect(answer.statusCode).toBe(401);
        expect(answer.json()).toMatchObject({ code: 'UNAUTHORIZED' });
        expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
      }
    },
  );
});

describe('the codec endpoint without a token', () => {
  it.each([
    { 'x-forwarded-for': '203.0.113.7' },
    { forwarded: 'for=203.0.113.7' },
    { host: 'codec.example' },
  ])('refuses who comes through a proxy: %j', async (headers) => {
    const answer = await post(serverOf(), '/decode', [plain], headers);
    expect(answer.statusCode).toBe(403);
    expect(answer.json()).toEqual({
      code: 'FORBIDDEN',
      message: expect.stringContaining('set CODEC_TOKEN'),
    });
  });

  it('with one serves whoever has it', async () => {
    const headers = { 'x-forwarded-for': '203.0.113.7', authorization: `Bearer ${TOKEN}` };
    expect((await post(serverOf({ token: TOKEN }), '/decode', [plain], headers)).statusCode).toBe(200);
  });
});

describe('the token of the codec endpoint', () => {
  it.each([
    ['none', undefined],
    ['another', 'Bearer another-token-of-it'],
    ['the right one of another scheme', `Basic ${TOKEN}`],
  ])('is refused where there is %s', async (_kind, authorization) => {
    const app = serverOf({ token: TOKEN });
    for (const url of ['/encode', '/decode', '/nothing']) {
      const answer = await post(app, url, [plain], { ...(authorization && { authorization }) });
      expect(answer.statusCode).toBe(401);
      expect(answer.json<{ message: string }>().message).toContain('Bearer <CODEC_TOKEN>');
    }
  });
});

describe('the codec command', () => {
  it('does not serve without keys', async () => {
    await expect(serveCodec({ CODEC_PORT: '0', LOG_LEVEL: 'silent' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('PAYLOAD_KEYS is not set'),
    });
  });

  it('names the variable where its port is taken', async () => {
    const other = serverOf();
    const { port } = new URL(await other.listen({ host: '127.0.0.1', port: 0 }));
    const env = { CODEC_PORT: port, PAYLOAD_KEYS: KEY, LOG_LEVEL: 'silent' };
    await expect(serveCodec(env)).rejects.toThrow(/^CODEC_PORT \d+ on 127\.0\.0\.1 is in use/);
  });
});
