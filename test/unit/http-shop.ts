import type { FastifyInstance } from 'fastify';
import { buildHttpServer } from '../../client/http';
import type { HttpPayments, HttpServerOptions } from '../../client/http';
import { createLogger } from '../../worker/log';
import { ORDER, PAYMENT, REFUND } from './rows';

/** What a checkout returns. */
export const CHECKOUT = {
  orderId: ORDER.id,
  outTradeNo: PAYMENT.outTradeNo,
  paymentUrl: 'https://cashier/',
  workflowId: 'payment-P1',
  expiresAt: ORDER.expiresAt,
};

/** A shop in which everything succeeds, and which records what it was asked. */
export function shop(): HttpPayments & { heard: unknown[] } {
  const heard: unknown[] = [];
  const answer =
    <T>(value: T) =>
    (asked?: unknown): Promise<T> => {
      heard.push(asked);
      return Promise.resolve(value);
    };
  return {
    heard,
    registerOrder: answer(ORDER),
    checkout: answer(CHECKOUT),
    closeOrder: answer({ ...ORDER, status: 'CLOSED' }),
    order: answer(ORDER),
    payment: answer(PAYMENT),
    refund: answer(REFUND),
    refundStatus: answer(REFUND),
    handleNotify: answer('success'),
    health: answer({ database: true, temporal: true }),
  };
}

const opened: FastifyInstance[] = [];

/** The server on loopback, without a token and silent, unless the test says otherwise. */
export function serverOf(payments: HttpPayments, options: Partial<HttpServerOptions> = {}): FastifyInstance {
  const app = buildHttpServer({
    payments,
    config: { host: '127.0.0.1', port: 0 },
    log: createLogger({ env: { LOG_LEVEL: 'silent' } }),
    ...options,
  });
  opened.push(app);
  return app;
}

/** Closes everything that {@link serverOf} has opened. */
export async function closeServers(): Promise<void> {
  await Promise.all(opened.splice(0).map((app) => app.close()));
}

export const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
