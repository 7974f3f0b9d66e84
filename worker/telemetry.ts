import { DefaultLogger, Runtime } from '@temporalio/worker';
import type { Logger } from './log';

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/**
 * Sets up what this process tells of itself, before any connection is made: the SDK's log lines, workflows' own among
 * them, go where all others go; its metrics and ours are served to Prometheus where an address is set.
 */
export function installTelemetry(log: Logger, { address }: { address?: string } = {}): void {
  Runtime.install({
    logger: new DefaultLogger('INFO', ({ level, message, meta }) => log[LEVELS[level]](meta ?? {}, message)),
    telemetryOptions: {
      logging: { forward: {}, filter: { core: 'WARN', other: 'WARN' } },
      ...(address !== undefined && {
        metrics: { prometheus: { bindAddress: address, countersTotalSuffix: true, unitSuffix: true } },
      }),
    },
  });
}
