import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';
import { EnvHttpProxyAgent } from 'undici';

/** Real answers have a few KB. */
const MAX_ANSWER_BYTES = 1_000_000;

/** No connection was made, so nothing was sent. The cause says why. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
}

/** No complete answer came within the deadline. */
export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded';
}

/** The system's name for the failure, for a message: ` (ECONNREFUSED)`, or nothing if it has none. */
export function reasonOf(cause: unknown): string {
  if (cause instanceof DeadlineExceeded) return ' in time';
  const { code } = cause as { code?: unknown };
  return typeof code === 'string' && /^\w{1,64}$/.test(code) ? ` (${code})` : '';
}

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  /** As it came: no content encoding is requested. */
  body: Buffer;
}

/**
 * Outgoing connections of this process: through `HTTPS_PROXY` (`HTTP_PROXY` for http addresses), except to the hosts of
 * `NO_PROXY`, as undici reads them from the process' own environment. Both are tunnels (CONNECT), so if a proxy
 * refuses, nothing was sent.
 */
export const openDispatcher = (options?: EnvHttpProxyAgent.Options): Dispatcher =>
  new EnvHttpProxyAgent(options);

/**
 * Posts each body at most once: no retry, no redirect, one request at a time on a connection, and one hard deadline
 * from the first byte sent to the last byte read.
 *
 * It uses undici's dispatcher, below `fetch`, because only there does a caller know whether anything was sent. And it
 * keeps its own timer: on Node 20, once the garbage collector has run, `AbortSignal.timeout` no longer ends the body
 * read of a POST (measured: a dripping answer was accepted after 6.1 s with a deadline of 2 s).
 */
export class Transport {
  readonly #deadlineMs: number;
  readonly #agent: Dispatcher;

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
    this.#agent = openDispatcher({
      connect: { timeout: deadlineMs },
      headersTimeout: deadlineMs,
      bodyTimeout: deadlineMs,
      maxResponseSize: MAX_ANSWER_BYTES,
      pipelining: 1,
    });
  }

  /**
   * @param headers by default those of a form for Alipay
   * @throws NotSent if no connection was made: the server knows nothing of the request
   * @throws DeadlineExceeded, or undici's error: the server may have acted
   */
  post(url: URL, body: string, headers: Record<string, string> = FORM): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      // Set when the request begins to go out.
      let sending: Dispatcher.DispatchController | undefined;
      let isOver = false;
      let status = 0;
      let received: IncomingHttpHeaders = {};
      const chunks: Buffer[] = [];

      const fail = (error: Error): void => {
        clearTimeout(deadline);
        isOver = true;
        reject(sending ? error : new NotSent('no connection', { cause: error }));
      };
      const deadline = setTimeout(() => {
        const late = new DeadlineExceeded(`no answer within ${this.#deadlineMs} ms`);
        fail(late);
        sending?.abort(late);
      }, this.#deadlineMs);

      this.#agent.dispatch(
        { origin: url.origin, path: url.pathname + url.search, method: 'POST', headers, body },
        {
          onRequestStart(controller) {
            // A connection that comes after the deadline must not send, and none may send twice.
            if (isOver || sending) controller.abort(new Error('not sent again'));
            else sending = controller;
          },
          onResponseStart(_controller, ...head) {
            [status, received] = head;
          },
          onResponseData(_controller, chunk) {
            chunks.push(chunk);
          },
          onResponseEnd() {
            clearTimeout(deadline);
            resolve({ status, headers: received, body: Buffer.concat(chunks) });
          },
          onResponseError(_controller, error) {
            fail(error);
          },
        },
      );
    });
  }
}

const FORM = {
  accept: 'application/json',
  // Without the charset here, Alipay notifies in GBK whatever the parameter says (dedemao/alipay#7).
  'content-type': 'application/x-www-form-urlencoded;charset=utf-8',
  'user-agent': 'durable-alipay',
};
