import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
} from 'fastify';
import { randomUUID } from 'node:crypto';
import type { Outcome } from './answers';
import { leftPage, orderPage, PAGE_HEADERS, paidPage, refusalPage } from './cashier';
import { Buyer, type ControlParts, type SandboxControl } from './control';
import { serveControl } from './control-http';
import { Refusal } from './refusal';
import type { Order } from './trades';

const DRIP_EVERY_MS = 100;

/** Builds the HTTP server: the gateway, the cashier pages, the control API. It does not listen yet. */
export function buildServer(
  parts: ControlParts,
  control: SandboxControl,
  logger: FastifyBaseLogger,
): FastifyInstance {
  const server = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    // Alipay's official Python SDK sends the absolute form of the request target.
    rewriteUrl: (request) => (request.url ?? '/').replace(/^https?:\/\/[^/?]+/, ''),
  });
  readBodiesAsText(server);
  serveGateway(server, parts);
  serveCashier(server, parts);
  serveControl(server, control);
  server.get('/healthz', () => ({ status: 'ok' }));
  return server;
}

// Alipay's own SDKs send forms with and without a charset, Python's an empty body: whatever comes is the form's text.
function readBodiesAsText(server: FastifyInstance): void {
  server.addContentTypeParser(
    ['application/x-www-form-urlencoded', 'text/plain', '*'],
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );
}

function serveGateway(server: FastifyInstance, { gateway, knobs }: ControlParts): void {
  const waiting = new Set<NodeJS.Timeout>();
  server.addHook('preClose', (done) => {
    for (const timer of waiting) clearTimeout(timer);
    done();
  });
  server.route({
    method: ['GET', 'POST'],
    url: '/gateway.do',
    handler: (request, reply) => {
      const body = typeof request.body === 'string' ? request.body : '';
      const outcome = gateway.take(request.raw.url?.split('?')[1] ?? '', body);
      reply.hijack();
      if (knobs.latencyMs <= 0) {
        answer(reply, outcome);
        return;
      }
      const timer = setTimeout(() => {
        waiting.delete(timer);
        answer(reply, outcome);
      }, knobs.latencyMs);
      waiting.add(timer);
    },
  });
}

function answer(reply: FastifyReply, outcome: Outcome): void {
  const { raw } = reply;
  switch (outcome.kind) {
    case 'hang':
      return;
    case 'reset':
      raw.socket?.resetAndDestroy();
      return;
    case 'drip':
      raw.writeHead(200, headersOf(outcome.contentType, outcome.body.length));
      drip(reply, outcome.body);
      return;
    case 'body':
      raw.writeHead(outcome.status, headersOf(outcome.contentType, outcome.body.length));
      raw.end(outcome.body);
  }
}

function headersOf(contentType: string, length: number): Record<string, string | number> {
  return {
    ...PAGE_HEADERS,
    'content-type': contentType,
    'content-length': length,
    trace_id: randomUUID().replaceAll('-', ''),
  };
}

function drip({ raw }: FastifyReply, bytes: Buffer): void {
  let sent = 0;
  const timer = setInterval(() => {
    raw.write(bytes.subarray(sent, sent + 1));
    sent += 1;
    if (sent < bytes.length) return;
    clearInterval(timer);
    raw.end();
  }, DRIP_EVERY_MS);
  raw.on('close', () => clearInterval(timer));
}

function serveCashier(server: FastifyInstance, parts: ControlParts): void {
  const buyer = new Buyer(parts);
  const show = (reply: FastifyReply, html: string, status = 200) =>
    reply.code(status).headers(PAGE_HEADERS).type('text/html;charset=utf-8').send(html);
  const orderOf = (cashierId: string): Order => {
    const order = parts.trades.orderOfCashier(cashierId);
    if (order === undefined) throw new Refusal('UNKNOWN_ORDER', 'no such cashier page');
    return order;
  };
  const guarded = (reply: FastifyReply, act: () => FastifyReply): FastifyReply => {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return show(reply, refusalPage(error), error.code === 'UNKNOWN_ORDER' ? 404 : 400);
    }
  };
  const acts: Record<string, (outTradeNo: string) => unknown> = {
    scan: (outTradeNo) => buyer.scan(outTradeNo),
    pay: (outTradeNo) => buyer.pay(outTradeNo, true),
    'pay-lose-notify': (outTradeNo) => buyer.pay(outTradeNo, false),
    leave: (outTradeNo) => buyer.leave(outTradeNo),
  };

  server.get<{ Params: { id: string } }>('/cashier/:id', (request, reply) =>
    guarded(reply, () => show(reply, present(parts, orderOf(request.params.id)))),
  );
  server.get<{ Params: { id: string } }>('/cashier/:id/left', (request, reply) =>
    guarded(reply, () => show(reply, leftPage(orderOf(request.params.id)))),
  );
  for (const [name, act] of Object.entries(acts)) {
    server.post<{ Params: { id: string } }>(`/cashier/:id/${name}`, (request, reply) =>
      guarded(reply, () => {
        act(orderOf(request.params.id).outTradeNo);
        return reply.redirect(`/cashier/${request.params.id}${name === 'leave' ? '/left' : ''}`, 303);
      }),
    );
  }
}

// What a cashier page shows depends on the trade alone, so a reload always tells the truth.
function present({ trades, merchant, now }: ControlParts, order: Order): string {
  const trade = trades.find(order);
  if (trade?.paidAt !== undefined) return paidPage(trade, merchant, now());
  if (trade?.status === 'TRADE_CLOSED') throw new Refusal('ACQ.TRADE_HAS_CLOSE');
  return orderPage(order, trade, now());
}
