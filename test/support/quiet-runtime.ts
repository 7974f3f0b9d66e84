import { jest } from '@jest/globals';
import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { LogLevel } from '@temporalio/worker';

// Before any worker or test environment of the file: the SDK takes one Runtime per process, the first. TEST_LOG=DEBUG shows
// everything.
const level = (process.env['TEST_LOG'] ?? 'ERROR') as LogLevel;
Runtime.install({
  logger: new DefaultLogger(level),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
});

// A pipeline's machine may be busy with others, and these tests run against real clocks and servers: one that fails there
// is tried once more, with the failure printed. At a desk it just fails.
if (process.env['CI']) jest.retryTimes(1, { logErrorsBeforeRetry: true });
