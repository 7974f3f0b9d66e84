import fastify, {
  LogController,
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
} from 'fastify';
import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import type { Outcome } from './answers';
import { leftPage, orderPage, PAGE_HEADERS, paidPage, refusalPage } from './cashier';
import { Buyer } from './buyer';
import type { ControlParts, SandboxControl } from './control';
import { serveConsole } from './console';
import { serveControl } from './control-http';
import { isLanguage, keepLanguage, languageOf, type Language } from './language';
import { guard } from './guard';
import { Refusal } from './refusal';
import { serveSetup, type SetupOf } from './setup';

const DRIP_EVERY_MS = 100;

/** What the server needs in addition to the parts. */
export interface Surroundings {
  logger: FastifyBaseLogger;
  /** For the control API. */
  token: string | undefined;
  /** The host names at which it is reached. */
  names: () => string[];
  setup: SetupOf;
}

/** Builds the HTTP server: the gateway, the cashier pages, the control API, the console. It does not listen yet. */
export function buildServer(
  parts: ControlParts,
  control: SandboxControl,
  { logger, token, names, setup }: Surroundings,
): FastifyInstance {
  const server = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    forceCloseConnections: true,
    // Alipay's official Python SDK sends the absolute form of the request target.
    rewriteUrl: (request) => (request.url ?? '/').replace(/^https?:\/\/[^/?]+/, ''),
  });
  readBodiesAsText(server);
  guard(server, token, names);
  serveGateway(server, parts);
  serveCashier(server, parts);
  serveBills(server, parts);
  serveControl(server, control);
  serveSetup(server, setup);
  serveConsole(server, parts);
  server.get('/healthz', () => ({ status: 'ok' }));
  return server;
}

// Alipay's own SDKs send forms with or without a charset, the Python one an empty body: any body is read as form text.
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
      const outcome = gateway.take(request.raw.url?.split('?')[1] ?? '', body, languageOf(request.headers));
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
    errorHandler: (error, _request, reply) => {
      if (error.code !== 'FST_ERR_CTP_BODY_TOO_LARGE') throw error;
      reply.hijack();
      answer(reply, gateway.refuseTooLarge());
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

function serveBills(server: FastifyInstance, { bills }: ControlParts): void {
  server.get<{ Params: { token: string } }>('/bills/:token', (request, reply) => {
    const found = bills.fetch(request.params.token);
    if (found === undefined) return reply.code(404).send();
    if ('page' in found) return reply.headers(PAGE_HEADERS).type('text/html;charset=utf-8').send(found.page);
    return reply.type('application/zip').send(Readable.from(found.archive));
  });
}

type Found = NonNullable<ReturnType<ControlParts['books']['ofCashier']>>;

function serveCashier(server: FastifyInstance, parts: ControlParts): void {
  const buyer = new Buyer(parts);
  const show = (reply: FastifyReply, html: string, status = 200) =>
    reply.code(status).headers(PAGE_HEADERS).type('text/html;charset=utf-8').send(html);
  const found = (cashierId: string): Found => {
    const order = parts.books.ofCashier(cashierId);
    if (order === undefined) throw new Refusal('UNKNOWN_ORDER', 'no such cashier page');
    return order;
  };
  const guarded = (reply: FastifyReply, act: (language: Language) => FastifyReply): FastifyReply => {
    const language = languageOf(reply.request.headers);
    try {
      return act(language);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return show(reply, refusalPage(error, language), error.code === 'UNKNOWN_ORDER' ? 404 : 400);
    }
  };
  const acts: Record<string, (outTradeNo: string, sellerId: string) => unknown> = {
    scan: (outTradeNo, sellerId) => buyer.scan(outTradeNo, sellerId),
    pay: (outTradeNo, sellerId) => buyer.pay(outTradeNo, true, sellerId),
    'pay-lose-notify': (outTradeNo, sellerId) => buyer.pay(outTradeNo, false, sellerId),
    leave: (outTradeNo, sellerId) => buyer.leave(outTradeNo, sellerId),
  };

  server.get<{ Params: { id: string }; Querystring: { language?: string } }>(
    '/cashier/:id',
    (request, reply) =>
      guarded(reply, (asked) => {
        const { language = asked } = request.query;
        if (!isLanguage(language)) throw new Refusal('INVALID_INPUT', 'language is en or zh');
        if (language !== asked) reply.header('set-cookie', keepLanguage(language));
        return show(reply, present(parts, found(request.params.id), language));
      }),
  );
  // A mini program's `my.tradePay`: the phone shows the cashier of an existing trade.
  server.get<{ Params: { tradeNo: string } }>('/cashier/trade/:tradeNo', (request, reply) =>
    guarded(reply, () =>
      reply.redirect(`/cashier/${parts.books.require(request.params.tradeNo).order.cashierId}`, 303),
    ),
  );
  server.get<{ Params: { id: string } }>('/cashier/:id/left', (request, reply) =>
    guarded(reply, (language) => show(reply, leftPage(found(request.params.id).order, language))),
  );
  for (const [name, act] of Object.entries(acts)) {
    server.post<{ Params: { id: string } }>(`/cashier/:id/${name}`, (request, reply) =>
      guarded(reply, () => {
        const { order, sellerId } = found(request.params.id);
        act(order.outTradeNo, sellerId);
        return reply.redirect(`/cashier/${request.params.id}${name === 'leave' ? '/left' : ''}`, 303);
      }),
    );
  }
}

// What a cashier page shows depends only on the trade, so a reload always shows the truth.
function present(
  { books, accounts, now }: ControlParts,
  { order, sellerId }: Found,
  language: Language,
): string {
  const trade = books.of(sellerId).find(order);
  if (trade?.paidAt !== undefined) return paidPage(trade, accounts.merchantOf(order), now(), language);
  if (trade?.status === 'TRADE_CLOSED') throw new Refusal('ACQ.TRADE_HAS_CLOSE');
  return orderPage(order, trade, now(), language);
}
