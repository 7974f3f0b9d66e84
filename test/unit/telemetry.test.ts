import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, it } from '@jest/globals';
import { Runtime } from '@temporalio/worker';
import pino from 'pino';
import { installTelemetry } from '../../worker/telemetry';

const LOG = pino({ level: 'silent' });

/** The error of a worker that is told to serve its metrics there. */
function refusalOf(address: string): unknown {
  try {
    installTelemetry(LOG, { address });
  } catch (error) {
    return error;
  }
  throw new Error(`metrics are served at ${address}`);
}

it('a METRICS_ADDRESS that another process has is named, with what to do', async () => {
  const busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
  const address = `127.0.0.1:${(busy.address() as AddressInfo).port}`;
  try {
    expect(refusalOf(address)).toMatchObject({
      code: 'CONFIG_INVALID',
      message: `METRICS_ADDRESS ${address} is in use, by another process; give each process a METRICS_ADDRESS of its own`,
      cause: expect.anything() as unknown,
    });
  } finally {
    await new Promise((resolve) => busy.close(resolve));
  }
});

it.each([
  ['localhost:9464', 'is not an IP address with a port'],
  ['203.0.113.7:9464', 'set METRICS_ADDRESS to an IP address of this machine'],
])('a METRICS_ADDRESS %s, which no worker can have, is named', (address, words) => {
  expect(refusalOf(address)).toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(words) as unknown,
  });
});

// Must be last: a process has one Runtime, and the refusals above have not created it.
it('a queue that has no workflows is no news: only the SDK warns of it', async () => {
  const lines: string[] = [];
  installTelemetry(pino({ level: 'info' }, { write: (line) => void lines.push(line) }));
  const { logger } = Runtime.instance();
  logger.warn('No workflows registered, not polling for workflow tasks', { taskQueue: 'alipay' });
  logger.warn('something else');
  await Runtime.instance().shutdown();
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([{ msg: 'something else' }]);
});
