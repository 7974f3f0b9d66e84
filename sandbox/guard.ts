import { timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

const COOKIE = 'alipay_sandbox_token';

/** What only the person who runs the sandbox may reach: the control API, the console, the keys. */
const GUARDED = /^\/(?:(?:control|console|setup)(?:[/?]|$)|(?:\?|$))/;

/** Whether only this machine reaches the address; IPv6 as such or in the brackets of a URL. */
export function isLoopback(host: string): boolean {
  return /^(?:localhost|::1|\[::1\]|127(?:\.\d{1,3}){3})$/.test(host);
}

/**
 * Guards the control API, the console and the keys. A page of another site cannot use them: a browser sends its origin,
 * or a host name that is not the sandbox's (DNS rebinding). With a token, only those who have it can.
 * @param token required as `Authorization: Bearer …`, or once in a browser as `/?token=…`; undefined: not required
 * @param names the host names, with ports, under which the sandbox is reached, in addition to loopback names
 */
export function guard(server: FastifyInstance, token: string | undefined, names: () => string[]): void {
  server.addHook('onRequest', async (request, reply) => {
    // The route, not the path: the router decodes `/%63ontrol` before it matches.
    if (!GUARDED.test(request.routeOptions.url ?? request.url)) return;
    const { origin, host = '' } = request.headers;
    if (origin !== undefined && originHost(origin) !== host) {
      return refuse(reply, 403, 'FOREIGN_ORIGIN', `pages from ${origin} may not control this sandbox`);
    }
    if (token === undefined) {
      if (isKnown(host, names())) return;
      return refuse(reply, 403, 'FOREIGN_HOST', `${host} is not a name of this sandbox`);
    }
    const { searchParams } = new URL(request.url, 'http://sandbox');
    if (isSame(searchParams.get('token') ?? '', token)) return welcome(request, reply, token);
    if (isSame(shown(request), token)) return;
    return refuse(reply, 401, 'TOKEN_MISSING', 'send the token that the sandbox printed when it started');
  });
}

function isKnown(host: string, names: readonly string[]): boolean {
  return isLoopback(host.replace(/:\d+$/, '')) || names.includes(host);
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

/** The browser keeps the token as a cookie, and it is removed from the address. */
function welcome(request: FastifyRequest, reply: FastifyReply, token: string): FastifyReply {
  const address = new URL(request.url, 'http://sandbox');
  address.searchParams.delete('token');
  return reply
    .header('set-cookie', `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict`)
    .redirect(address.pathname + address.search, 303);
}

function shown({ headers }: FastifyRequest): string {
  const cookie = new RegExp(`(?:^|; *)${COOKIE}=([^;]*)`).exec(headers.cookie ?? '')?.[1];
  return headers.authorization?.replace(/^Bearer /, '') ?? cookie ?? '';
}

function isSame(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function refuse(reply: FastifyReply, status: number, code: string, message: string): FastifyReply {
  return reply.code(status).send({ code, message });
}
