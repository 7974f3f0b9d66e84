import type { FastifyInstance } from 'fastify';
import { buildHttpServer } from '../../client/http';
import type { HttpPayments, HttpServerOptions } from '../../client/http';
import type { RefundView } from '../../client/index';
import type { Order } from '../../db/orders';
import type { Payment } from '../../db/payments';
import { createLogger } from '../../worker/log';

/** A shop in which everything goes well, and which remembers what it was asked. */
export function shop(): HttpPayments & { heard: unknown[] } {
  const heard: unknown[] = [];
  const answer =
    <T>(value: T) =>
    (asked?: unknown): Promise<T> => {
      heard.push(asked);
      return Promise.resolve(value);
    };
  const order = { id: 'A-1', status: 'UNPAID' } as Order;
  return {
    heard,
    registerOrder: answer(order),
    checkout: answer({
      orderId: 'A-1',
      outTradeNo: 'P1',
      paymentUrl: 'https://cashier/',
      workflowId: 'payment-P1',
    }),
    closeOrder: answer({ ...order, status: 'CLOSED' }),
    order: answer(order),
    payment: answer({ outTradeNo: 'P1', status: 'UNPAID' } as Payment),
    refund: answer({ refundId: 'R-17', status: 'REQUESTED' } as RefundView),
    refundStatus: answer({ refundId: 'R-17', status: 'REQUESTED' } as RefundView),
    handleNotify: answer('success'),
    health: answer({ database: true, temporal: true }),
  };
}

const opened: FastifyInstance[] = [];

/** The server on loopback, without a token and silent where the test does not say otherwise. */
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

/** Closes all that {@link serverOf} has opened. */
export async function closeServers(): Promise<void> {
  await Promise.all(opened.splice(0).map((app) => app.close()));
}

export const FORM = { 'content-type': 'application/x-www-form-urlencoded' };
