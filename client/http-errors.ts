import { STATUS_CODES } from 'node:http';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { PaymentError } from '../workflows/errors';

interface Explanation {
  status: number;
  code: string;
  message: string;
}

/** `{code, message}`, with the status that fits. */
export function answerError(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, code, message } = explain(error, request);
  return reply.code(status).send({ code, message });
}

/** What the caller may know of an error; what it may not know goes to the log. */
export function explain(error: FastifyError | PaymentError, request: FastifyRequest): Explanation {
  const explanation =
    error instanceof PaymentError ? explainOurs(error, request) : explainOthers(error, request);
  if (explanation.status >= 500) request.log.error({ err: error }, 'request failed');
  else request.log.info({ code: explanation.code, reason: explanation.message }, 'request refused');
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
      message: 'no answer in time, and it may still take effect: every call here can be repeated safely',
    };
  }
  const status = error.statusCode ?? 500;
  if (status === 429) return { status, code: 'TOO_MANY_REQUESTS', message: error.message };
  // Fastify's own refusals: too large, not JSON, another content type. Their messages speak of the request alone.
  if (status >= 400 && status < 500) return { status, code: 'INVALID_INPUT', message: error.message };
  return internal(request);
}

function internal(request: FastifyRequest): Explanation {
  return {
    status: 500,
    code: 'INTERNAL',
    message: `something broke here; the log tells what, under reqId ${request.id}`,
  };
}

/** For what is not even HTTP: there is no request to answer, only a socket. */
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
  const body = JSON.stringify({ code: 'INVALID_INPUT', message: `this is no HTTP request: ${reason}` });
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** For a route that is none. */
export function answerNotFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = ''] = request.url.split('?');
  return reply.code(404).send({ code: 'NOT_FOUND', message: `there is no ${request.method} ${path}` });
}
