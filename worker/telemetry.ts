import { IllegalStateError } from '@temporalio/common';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { PAID_TO_TOLD } from '../activities/metrics';
import { PaymentError } from '../workflows/errors';
import type { Logger } from './log';

/** Seconds: a notification takes one or two, a check up to a minute, slow checks, the sweep and the bill hours. */
const PAID_TO_TOLD_S = [
  1, 2, 5, 10, 30, 60, 90, 120, 300, 600, 1_800, 3_600, 14_400, 43_200, 86_400, 172_800,
];

/** The SDK warns, but this is intended: queue alipay, and order-service with direct delivery, have only activities. */
const MEANT = 'No workflows registered, not polling for workflow tasks';

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/**
 * Sets up what this process reports about itself, before any connection is made: the SDK's log lines, including those
 * of workflows, go to our log; if an address is set, its metrics and ours are served to Prometheus. A Runtime that this
 * process has already installed is left unchanged.
 *
 * @throws PaymentError CONFIG_INVALID if nothing can listen at `address`
 */
export function installTelemetry(log: Logger, { address }: { address?: string } = {}): void {
  try {
    Runtime.install({
      logger: new DefaultLogger('INFO', ({ level, message, meta }) =>
        log[message === MEANT ? 'debug' : LEVELS[level]](meta ?? {}, message),
      ),
      telemetryOptions: {
        logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } },
        ...(address !== undefined && {
          metrics: {
            prometheus: {
              bindAddress: address,
              countersTotalSuffix: true,
              unitSuffix: true,
              histogramBucketOverrides: { [PAID_TO_TOLD]: PAID_TO_TOLD_S },
            },
          },
        }),
      },
    });
  } catch (cause) {
    if (cause instanceof IllegalStateError) return;
    if (address === undefined || !/prometheus/i.test(String(cause))) throw cause;
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new PaymentError('CONFIG_INVALID', `METRICS_ADDRESS ${address} ${adviceFor(said)}`, { cause });
  }
}

/** What the SDK's core says about an address, in words for the person who set it; it has no error codes. */
function adviceFor(said: string): string {
  if (/in use/i.test(said))
    return 'is in use, by another process; give each process a METRICS_ADDRESS of its own';
  if (/address syntax/i.test(said))
    return 'is not an IP address with a port, which a worker needs (a host name does not work); set one like 127.0.0.1:9464';
  return `cannot be listened on (${said}); set METRICS_ADDRESS to an IP address of this machine with a free port`;
}
