import { PaymentError } from '../workflows/errors';

/**
 * Why a server does not listen, in words that name the variables to fix.
 *
 * @param names of the variables that hold host and port
 */
export function explainListenError(
  error: unknown,
  { host, port }: { host: string; port: number },
  names: { host: string; port: string },
): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  const advice = {
    EADDRINUSE: `${names.port} ${port} on ${host} is in use by another process; stop it or set another ${names.port}`,
    EACCES: `${names.port} ${port} on ${host} may not be opened by this user; set a ${names.port} of 1024 or more`,
    EADDRNOTAVAIL: `${names.host} ${host} is no address of this machine; set ${names.host} to one, or to 0.0.0.0 for all`,
    ENOTFOUND: `${names.host} ${host} is no address and no known name; mend ${names.host}`,
  }[code ?? ''];
  return advice ? new PaymentError('CONFIG_INVALID', advice, { cause: error }) : error;
}
