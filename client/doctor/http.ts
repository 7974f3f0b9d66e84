import { redact } from '../../worker/log';
import { Fault } from './examination';

const ANSWER_MS = 5_000;

/**
 * One HTTP request, its body read to the end. A redirect is an answer, not a way to follow.
 *
 * @throws Fault that says in plain words why nobody answered
 */
export async function fetchOrFault(
  url: string,
  { what, variable, ...init }: RequestInit & { what: string; variable: string },
): Promise<{ status: number; headers: Headers; body: string }> {
  try {
    const response = await fetch(url, {
      ...init,
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    return { status: response.status, headers: response.headers, body: await response.text() };
  } catch (error) {
    throw new Fault(`${what} ${reasonOf(error)}`, `Mend ${variable}, or the network in between.`, {
      cause: error,
    });
  }
}

function reasonOf(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return `does not answer within ${ANSWER_MS / 1_000} s`;
  const { code = '', message: deeper = message } = (cause ?? {}) as { code?: string; message?: string };
  switch (code) {
    case 'ECONNREFUSED':
      return 'refuses connections: nothing listens there';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'has no address: no name server knows it';
    case 'ECONNRESET':
    case 'UND_ERR_SOCKET':
      return 'breaks the connection off';
    default:
      return /CERT|SSL|TLS/i.test(code)
        ? `shows a certificate that is not to be trusted (${code})`
        : `does not answer: ${redact(code || deeper)}`;
  }
}
