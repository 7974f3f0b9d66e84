import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { PaymentError } from '../workflows/errors';

interface Explanation {
  status: number;
  code: string;
  message: string;
}

/** Text from strangers is cut to this length before it is returned or logged. */
const LONGEST_PATH = 256;
const LONGEST_MESSAGE = 1_000;

/** Responds with `{code, message}` and the status that fits. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, code, message: says } = explain(error, request);
  const isOtherType = error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE';
  const message = isOtherType ? `${says}: send JSON, with content-type: application/json` : says;
  return reply.code(status).header('cache-control', 'no-store').send({ code, message });
}

/** What the caller may know about an error; the rest goes to the log. */
export function explain(error: FastifyError | PaymentError, request: FastifyRequest): Explanation {
  const { status, code, message } =
    error instanceof PaymentError ? explainOurs(error, request) : explainOthers(error, request);
  const explanation = { status, code, message: cut(message, LONGEST_MESSAGE) };
  if (status >= 500) request.log.error({ err: error }, 'request failed');
  else request.log.info({ code, reason: explanation.message }, 'request refused');
  return explanation;
}

function explainOurs({ status, code, message }: PaymentError, request: FastifyRequest): Explanation {
  return status === 500 ? internal(request) : { status, code, message };
}

function explainOthers(error: FastifyError, request: FastifyRequest): Explanation {
  if (error.code === 'FST_ERR_HANDLER_TIMEOUT') {
    return {
      status: 503,
      code: 'INTERNAL',
      message: 'no answer in time, but the call may still take effect: every call here is safe to repeat',
    };
  }
  const status = error.statusCode ?? 500;
  if (status === 429) return { status, code: 'TOO_MANY_REQUESTS', message: error.message };
  // Fastify's own refusals: too large, not JSON, another content type. Their messages are only about the request; one
  // of them contains its whole URL.
  if (status >= 400 && status < 500) {
    return { status, code: 'INVALID_INPUT', message: error.message.replace(request.url, pathOf) };
  }
  return internal(request);
}

function internal(request: FastifyRequest): Explanation {
  return {
    status: 500,
    code: 'INTERNAL',
    message: `unexpected error; the log has its cause, under reqId ${request.id}`,
  };
}

/** How long a client that was too slow may read the reason before its socket is destroyed, ms. */
const LAST_WORDS_MS = 1_000;

/** For input that is not even HTTP: there is only a socket, and no request to respond to. */
export function answerMalformedRequest(
  error: Error & { code: string },
  socket: { writable: boolean; end: (text: string) => unknown; destroy: () => unknown },
): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 }[error.code] ?? 400;
  const reason = STATUS_CODES[status] ?? '';
  const body = JSON.stringify({ code: 'INVALID_INPUT', message: `not a valid HTTP request: ${reason}` });
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Cache-Control: no-store\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  // `end` closes only our side: a client that never closes its own would keep the socket.
  setTimeout(() => socket.destroy(), LAST_WORDS_MS).unref();
}

/** For an unknown route. */
export function answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const message = `no such route: ${request.method} ${pathOf(request.url)}`;
  return reply.code(404).send({ code: 'NOT_FOUND', message });
}

/** The path of a URL without the query, short enough to be logged. */
export function pathOf(url: string): string {
  const end = url.indexOf('?');
  return cut(end === -1 ? url : url.slice(0, end), LONGEST_PATH);
}

/** The beginning of a text of any length. */
export function cut(text: string, longest: number): string {
  return text.length > longest ? `${text.slice(0, longest)}…` : text;
}
