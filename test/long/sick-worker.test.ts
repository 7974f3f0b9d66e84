import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import type { Circuit } from '../../activities/alipay/breaker';
import { tunerBehind } from '../../worker/slots';
import { namespaceFor, temporalAddress, waitFor } from '../support';
import type { askOften } from './sick-worker/workflows';

// Two workers serve one queue of calls. The calls of one fail at once, so that it is free again long before the other:
// unless it took less work while its circuit is open, it would take most tasks, and most again when they are retried.

const CALLS = 200;

/** How long a call of the healthy one takes, ms; and how long the sick one's circuit pauses between probes. */
const CALL_MS = 100;
const PAUSE_MS = 3_000;

const namespace = namespaceFor(__filename);
const taken = { healthy: 0, sick: 0 };
const circuit: { -readonly [K in keyof Circuit]: Circuit[K] } = { isOpen: true, probeAt: performance.now() };

const connections: NativeConnection[] = [];
let temporal: Client;
const workers: Worker[] = [];
let running: Promise<unknown>;

beforeAll(async () => {
  const connect = async (): Promise<NativeConnection> => {
    const connection = await NativeConnection.connect({ address: temporalAddress() });
    connections.push(connection);
    return connection;
  };
  temporal = new Client({ connection: await connect(), namespace });
  workers.push(
    await Worker.create({
      connection: await connect(),
      namespace,
      taskQueue: 'workflows',
      workflowsPath: require.resolve('./sick-worker/workflows'),
    }),
    await Worker.create({
      connection: await connect(),
      namespace,
      taskQueue: 'calls',
      activities: {
        ask: () => {
          taken.healthy += 1;
          return sleep(CALL_MS);
        },
      },
      tuner: tunerBehind({ isOpen: false, probeAt: undefined }, CALLS),
    }),
    await Worker.create({
      connection: await connect(),
      namespace,
      taskQueue: 'calls',
      activities: {
        ask: () => {
          taken.sick += 1;
          if (!circuit.isOpen) return sleep(CALL_MS);
          circuit.probeAt = performance.now() + PAUSE_MS;
          throw new Error('ALIPAY_DOWN');
        },
      },
      tuner: tunerBehind(circuit, CALLS),
    }),
  );
  running = Promise.all(workers.map((worker) => worker.run()));
});
afterAll(async () => {
  for (const worker of workers) worker.shutdown();
  await running;
  for (const connection of connections) await connection.close();
});

async function ask(): Promise<number> {
  const began = Date.now();
  await temporal.workflow.execute<typeof askOften>('askOften', {
    workflowId: `calls-${began}`,
    taskQueue: 'workflows',
    args: [CALLS],
  });
  return Date.now() - began;
}

describe('a worker whose circuit is open, beside a healthy one', () => {
  it(`takes no more of ${CALLS} calls than its probes`, async () => {
    const milliseconds = await ask();
    expect(taken.healthy).toBe(CALLS);
    expect(taken.sick).toBeLessThanOrEqual(2 + milliseconds / PAUSE_MS);
  });

  it('takes its part again once its circuit has closed', async () => {
    circuit.isOpen = false;
    circuit.probeAt = undefined;
    taken.sick = 0;
    await waitFor(
      async () => {
        await ask();
        return taken.sick >= CALLS / 10;
      },
      { what: 'it to take calls again', timeoutMs: 120_000 },
    );
  });

  it('lets its worker end while it is open', async () => {
    circuit.isOpen = true;
    circuit.probeAt = performance.now() + 600_000;
    const [, , sick] = workers;
    const began = Date.now();
    sick?.shutdown();
    await waitFor(() => sick?.getState() === 'STOPPED', { what: 'it to end', timeoutMs: 30_000 });
    workers.splice(2, 1);
    expect(Date.now() - began).toBeLessThan(20_000);
  });
});
