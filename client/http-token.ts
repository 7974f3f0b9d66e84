import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PaymentError } from '../workflows/errors';

/**
 * A hook that lets nobody in without the token. Hashes have one length, so that comparing them tells nothing, not
 * even how long the token is.
 *
 * @param name the variable that holds it
 */
export function requireToken(name: string, token: string) {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return (request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void => {
    const [, given = ''] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (timingSafeEqual(digest(given), expected)) {
      done();
      return;
    }
    void reply.header('www-authenticate', 'Bearer');
    done(new PaymentError('UNAUTHORIZED', `send the header "Authorization: Bearer <${name}>"`));
  };
}
