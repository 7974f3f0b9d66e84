import { once } from 'node:events';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Config } from '../worker/config';
import { readConfig } from '../worker/config';
import { createLogger } from '../worker/log';
import { EncryptionCodec } from '../worker/payload-codec';
import { PaymentError } from '../workflows/errors';
import { createApp } from './http-app';
import { answerNotFound, cut } from './http-errors';
import { requireLocal, requireToken } from './http-access';
import { listen } from './listening';

/** A Temporal message holds up to 4 MB, and base64 adds a third. */
const BODY_LIMIT = 6 * 1024 * 1024;

/** Per address. The Web UI sends one request for each payload of the history that it shows, all at once. */
const REQUESTS_PER_SECOND = 2_000;

/** Spares the browser a preflight before each of them. */
const PREFLIGHT_SECONDS = 600;

export interface CodecServerOptions {
  codec: PayloadCodec;
  config: Pick<Config['codec'], 'token' | 'corsOrigins'>;
  log: FastifyBaseLogger;
}

const PAYLOAD = z.object({
  metadata: z.record(z.string(), z.base64()).nullish(),
  data: z.base64().nullish(),
});

const PAYLOADS = z.object({ payloads: z.array(PAYLOAD).default([]) });

/** A payload in protobuf's JSON format: all bytes in base64; empty fields may be left out. */
export type JsonPayload = z.infer<typeof PAYLOAD>;

/**
 * The codec endpoint of Temporal's Web UI and CLI, not listening yet: `POST …/decode` and `POST …/encode` take and
 * return `{payloads: [{metadata, data}]}` in base64. Anyone who can call it can read everything, so the shop's server
 * does not include it. Behind a proxy it needs a token: not every proxied request can be told from a local one.
 *
 * @see https://github.com/temporalio/samples-go/blob/main/codec-server/protocol.md
 */
export function buildCodecServer({ codec, config, log }: CodecServerOptions): FastifyInstance {
  const app = createApp({
    log,
    bodyLimit: BODY_LIMIT,
    // One request per payload would fill the log; refusals and failures are logged nonetheless.
    logController: new LogController({ disableRequestLogging: true }),
  });
  void app.register(helmet, { crossOriginResourcePolicy: { policy: 'cross-origin' } });
  void app.register(async (scope) => {
    // Refusals count too, so that tokens cannot be guessed quickly.
    await scope.register(rateLimit, { max: REQUESTS_PER_SECOND, timeWindow: 1_000 });
    if (config.token === undefined) scope.addHook('onRequest', requireLocal('CODEC_TOKEN'));
    scope.addHook('onRequest', allowOrigins(config.corsOrigins));
    // A browser's preflight request carries no token.
    scope.options('/*', (_request, reply) => reply.code(204).send());
    void scope.register((guarded, _options, done) => {
      if (config.token !== undefined) guarded.addHook('onRequest', requireToken('CODEC_TOKEN', config.token));
      guarded.post<{ Params: { '*': string } }>('/*', (request, reply) => convert(codec, request, reply));
      done();
    });
  });
  return app;
}

/**
 * Lets pages of these origins read the responses, and refuses all others. The browser's own check is not enough: a page
 * whose host name resolves to this machine has the same origin as the endpoint.
 */
function allowOrigins(origins: readonly string[]) {
  return ({ headers }: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const { origin } = headers;
    if (origin === undefined) {
      done();
      return;
    }
    if (!origins.includes(origin)) {
      done(
        new PaymentError(
          'UNAUTHORIZED',
          `pages from ${cut(origin, 256)} are refused; add the origin to CODEC_CORS_ORIGINS to allow it`,
        ),
      );
      return;
    }
    void reply.headers({
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'Authorization, Content-Type, X-Namespace',
      'access-control-max-age': String(PREFLIGHT_SECONDS),
      vary: 'Origin',
    });
    done();
  };
}

/** Only the last part of the path counts, so that a proxy may put the endpoint anywhere. */
async function convert(
  codec: PayloadCodec,
  request: FastifyRequest<{ Params: { '*': string } }>,
  reply: FastifyReply,
): Promise<unknown> {
  const act = request.params['*'].split('/').at(-1);
  if (act !== 'encode' && act !== 'decode') return answerNotFound(request, reply);
  const body = PAYLOADS.safeParse(request.body);
  if (!body.success) {
    throw new PaymentError(
      'INVALID_INPUT',
      'the body must be {"payloads": [{"metadata": {…}, "data": "…"}]}, all values in base64',
    );
  }
  try {
    const payloads = await codec[act](body.data.payloads.map(fromJson));
    return { payloads: payloads.map(toJson) };
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    // Not this server's fault: the payload was encrypted with another key, or changed.
    const { code } = error;
    const message = cut(error.message, 1_000);
    request.log.warn({ code }, message);
    return reply.code(422).send({ code, message });
  }
}

function fromJson({ metadata, data }: JsonPayload): Payload {
  const read = Object.entries(metadata ?? {}).map(([name, value]) => [name, Buffer.from(value, 'base64')]);
  return {
    metadata: Object.fromEntries(read) as Payload['metadata'],
    data: Buffer.from(data ?? '', 'base64'),
  };
}

function toJson({ metadata, data }: Payload): JsonPayload {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const written = Object.entries(metadata ?? {}).map(([name, value]) => [name, base64(value)]);
  return {
    metadata: Object.fromEntries(written) as JsonPayload['metadata'],
    data: base64(data ?? Buffer.of()),
  };
}

/**
 * `durable-alipay codec`: serves the codec endpoint as the environment configures it, until SIGTERM or SIGINT.
 *
 * @throws PaymentError CONFIG_INVALID
 */
export async function serveCodec(env: NodeJS.ProcessEnv): Promise<void> {
  const { payloads, codec: config } = readConfig(env, { needs: ['payloads', 'codec', 'log'] });
  if (payloads.keys.length === 0) {
    throw new PaymentError(
      'CONFIG_INVALID',
      'PAYLOAD_KEYS is not set: nothing can be decrypted; set the keys of the workers',
    );
  }
  const log = createLogger({ name: 'codec', env, destination: process.stderr });
  const app = buildCodecServer({ codec: new EncryptionCodec(payloads.keys), config, log });
  await listen(app, config, { host: 'CODEC_HOST', port: 'CODEC_PORT' }, 'codec endpoint');
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
  await app.close();
}
