import type { Headers, RequestInit } from 'undici';
import { fetch } from 'undici';
import { openDispatcher } from '../../activities/alipay/transport';
import { redact } from '../../worker/log';
import { Fault } from './examination';

const ANSWER_MS = 5_000;

/**
 * Sends one HTTP request and reads the body to the end. A redirect is an answer, and is not followed.
 *
 * @throws Fault that says in plain words why there is no answer
 */
export async function fetchOrFault(
  url: string,
  { what, variable, ...init }: RequestInit & { what: string; variable: string },
): Promise<{ status: number; headers: Headers; body: string }> {
  const dispatcher = openDispatcher();
  try {
    const response = await fetch(url, {
      ...init,
      dispatcher,
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: response.status, headers: response.headers, body: await response.text() };
  } catch (error) {
    throw new Fault(`${what} ${reasonOf(error)}`, `Fix ${variable}, or the network in between.`, {
      cause: error,
    });
  } finally {
    await dispatcher.destroy();
  }
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return `does not respond within ${ANSWER_MS / 1_000} s`;
  const { code = '', message: deeper = message } = (cause ?? {}) as { code?: string; message?: string };
  switch (code) {
    case 'ECONNREFUSED':
      return 'refuses connections: nothing listens there';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'has no address: no name server knows it';
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'drops the connection';
    default:
      return /CERT|SSL|TLS/i.test(code)
        ? `presents an untrusted certificate (${code})`
        : `does not respond: ${redact(code || deeper)}`;
  }
}
