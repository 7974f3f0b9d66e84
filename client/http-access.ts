import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PaymentError } from '../workflows/errors';

type Hook = (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void) => void;

/**
 * A hook that lets in only requests with the token. Hashes all have one length, so the comparison reveals nothing, not
 * even the length of the token.
 *
 * @param name the variable that holds the token
 */
export function requireToken(name: string, token: string): Hook {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return (request, reply, done) => {
    const [, given = ''] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (timingSafeEqual(digest(given), expected)) {
      done();
      return;
    }
    void reply.header('www-authenticate', 'Bearer');
    done(new PaymentError('UNAUTHORIZED', `send the header "Authorization: Bearer <${name}>"`));
  };
}

/** The names by which a program on this machine reaches a local server; any port. */
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;
const LONGEST_LOOPBACK = 32;

/** Headers that proxies add. */
const ADDED_BY_PROXIES = /^(forwarded|x-forwarded-.*|x-real-ip|via)$/;

/**
 * A hook for a server on loopback without a token: it refuses what visibly comes from elsewhere. A proxy on this
 * machine would let in everyone, and a page whose host name resolves to this machine sends that name. A proxy may leave
 * no sign, so this is only a second guard: the configuration demands a token if it can tell that there is a proxy.
 *
 * @param name the variable that would hold the token
 */
export function requireLocal(name: string): Hook {
  return refuseWhere(name, 'only programs on this machine are served', ({ headers, raw }) => {
    const { host = '' } = headers;
    if (Object.keys(headers).some((header) => ADDED_BY_PROXIES.test(header)))
      return 'it comes through a proxy';
    // An nginx older than 1.29.7 with only `proxy_pass` adds no header. A newer one speaks HTTP/1.1.
    if (raw.httpVersion === '1.0') return 'it speaks HTTP/1.0, as a proxy does';
    if (host.length > LONGEST_LOOPBACK || !LOOPBACK.test(host)) return 'its Host is not a loopback address';
    return undefined;
  });
}

/**
 * A hook that refuses what a page of another origin makes a browser send: a browser on this machine is a local program,
 * too. Other programs send neither of the two headers.
 *
 * @param name the variable that would hold the token
 */
export function refuseOtherPages(name: string): Hook {
  return refuseWhere(name, 'any page could', ({ headers }) => {
    const { origin, host = '' } = headers;
    const site = headers['sec-fetch-site'];
    const own = origin === undefined || origin === `http://${host}`;
    const direct = site === undefined || site === 'same-origin' || site === 'none';
    return own && direct ? undefined : 'a page from another origin sent it';
  });
}

function refuseWhere(
  name: string,
  otherwise: string,
  faultOf: (request: FastifyRequest) => string | undefined,
): Hook {
  return (request, _reply, done) => {
    const fault = faultOf(request);
    if (fault === undefined) {
      done();
      return;
    }
    const remedy = `set ${name} (openssl rand -hex 32) and send the header "Authorization: Bearer <${name}>"`;
    const message = `the request is refused: ${fault}, and without a token ${otherwise}; ${remedy}`;
    done(new PaymentError('FORBIDDEN', message));
  };
}
