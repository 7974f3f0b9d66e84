import { DefaultLogger, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { LogLevel } from '@temporalio/worker';

// Before any worker or test environment of the file: the SDK keeps one Runtime per process, the first. TEST_LOG=DEBUG
// shows everything.
const level = (process.env['TEST_LOG'] ?? 'ERROR') as LogLevel;
Runtime.install({
  logger: new DefaultLogger(level),
  telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR' }) } },
});
