import rateLimit from '@fastify/rate-limit';
import type { FastifyError, FastifyInstance } from 'fastify';
import { MAX_BYTES } from '../activities/alipay/notification';
import { explain } from './http-errors';
import { traceRequests } from './http-spans';
import type { PaymentClient } from './payment-client';

/** The path for Alipay's notifications: `ALIPAY_NOTIFY_URL` ends with it unless a proxy rewrites it. */
const NOTIFY_PATH = '/alipay/notify';

/** How many notifications one address may send each second. Behind a proxy all of them come from one address. */
export interface NotifyLimits {
  /**
   * Far more than a busy shop gets from Alipay. Refusing a genuine notification costs nothing: Alipay sends it again,
   * and the delay queue asks anyway.
   *
   * @defaultValue 300
   */
  notificationsPerSecond?: number;
  /**
   * How many of those may be refused; a genuine sender gives no reason to. Beyond this, nothing is verified.
   * (Measured: the most expensive forgery costs 0.8 ms of CPU; 50 a second are 4 % of the only thread.)
   *
   * @defaultValue 50
   */
  refusalsPerSecond?: number;
}

const WINDOW_MS = 1_000;

/** The route for Alipay, which understands only `success` and `fail`; after `fail` it sends the notification again. */
export async function notifyRoute(
  scope: FastifyInstance,
  payments: Pick<PaymentClient, 'handleNotify'>,
  { notificationsPerSecond = 300, refusalsPerSecond = 50 }: NotifyLimits,
): Promise<void> {
  await scope.register(rateLimit, { max: notificationsPerSecond, timeWindow: WINDOW_MS });
  const refusals = scope.createRateLimit({ max: refusalsPerSecond, timeWindow: WINDOW_MS });
  traceRequests(scope, { follow: false });
  scope.removeAllContentTypeParsers();
  // Raw, because Alipay signs bytes in whatever charset. Content type parameters are ignored: Alipay sends odd ones.
  scope.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer', bodyLimit: MAX_BYTES },
    (_request, body, done) => done(null, body),
  );
  scope.setErrorHandler((error: FastifyError, request, reply) => {
    const { status } = explain(error, request);
    return reply.code(status).type('text/plain').send('fail');
  });
  // The notify URL is typed by hand at Alipay, often with a trailing slash.
  for (const path of [NOTIFY_PATH, `${NOTIFY_PATH}/`]) {
    scope.post<{ Body: Buffer | undefined }>(path, async (request, reply) => {
      const spent = await refusals(request, { increment: false });
      if (!spent.isAllowed && spent.remaining === 0) throw tooManyRefusals();
      const answer = await payments.handleNotify(request.body ?? '');
      if (answer === 'fail') await refusals(request);
      return reply.type('text/plain').send(answer);
    });
  }
}

const tooManyRefusals = (): Error =>
  Object.assign(new Error('this address has sent too many notifications that were refused'), {
    statusCode: 429,
  });
