import { DefaultLogger, Runtime } from '@temporalio/worker';
import { PaymentError } from '../workflows/errors';
import type { Logger } from './log';

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/**
 * Sets up what this process tells of itself, before any connection is made: the SDK's log lines, workflows' own among
 * them, go where all others go; its metrics and ours are served to Prometheus where an address is set.
 *
 * @throws PaymentError CONFIG_INVALID where nothing can listen at `address`
 */
export function installTelemetry(log: Logger, { address }: { address?: string } = {}): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('INFO', ({ level, message, meta }) =>
        log[LEVELS[level]](meta ?? {}, message),
      ),
      telemetryOptions: {
        logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } },
        ...(address !== undefined && {
          metrics: { prometheus: { bindAddress: address, countersTotalSuffix: true, unitSuffix: true } },
        }),
      },
    });
  } catch (cause) {
    if (address === undefined || !/prometheus/i.test(String(cause))) throw cause;
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new PaymentError('CONFIG_INVALID', `METRICS_ADDRESS ${address} ${adviceFor(said)}`, { cause });
  }
}

/** What the SDK's core says of an address, in words for whoever set it; it has no codes. */
function adviceFor(said: string): string {
  if (/in use/i.test(said))
    return 'is in use, by another process; give each process a METRICS_ADDRESS of its own';
  if (/address syntax/i.test(said))
    return 'is no IP address with a port, which a worker needs (a name will not do); set one like 127.0.0.1:9464';
  return `cannot be listened on (${said}); set METRICS_ADDRESS to an IP address of this machine with a free port`;
}
