import { expect, it } from '@jest/globals';
import { Client } from '@temporalio/client';
import { pino } from 'pino';
import { startTracing } from '../../worker/tracing';
import { FOLLOW_UP_KINDS, TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import { Collector, openShop } from '../support';

/** Enough that a sampler keeps all of them, or none, only once in eight million times. */
const RUNS = 24;

it('a sampler keeps its part of runs that nobody traced, too: each wholly or not at all', async () => {
  const collector = await Collector.start();
  process.env['OTEL_TRACES_SAMPLER'] = 'parentbased_traceidratio';
  process.env['OTEL_TRACES_SAMPLER_ARG'] = '0.5';
  // Sent as they come: a stop allows three seconds for the rest, even on a busy machine.
  process.env['OTEL_BSP_SCHEDULE_DELAY'] = '100';
  const url = `${collector.endpoint}/v1/traces`;
  const tracing = await startTracing({ url }, { service: 'shop', log: pino({ level: 'silent' }) });
  delete process.env['OTEL_TRACES_SAMPLER'];
  delete process.env['OTEL_TRACES_SAMPLER_ARG'];
  const shop = await openShop(__filename, { tracing });
  const { connection, namespace } = shop;
  // As a Schedule does: what starts it is not traced.
  const { workflow } = new Client({ connection, namespace });
  await Promise.all(
    Array.from({ length: RUNS }, (_, number) =>
      workflow.execute(WORKFLOWS.followUp, {
        workflowId: `untraced-${number}`,
        taskQueue: TASK_QUEUES.payments,
        args: [{}],
      }),
    ),
  );
  await shop.close();
  await tracing?.stop();
  await collector.close();

  const { spans } = collector;
  const kept = spans.filter(({ name }) => name === 'RunWorkflow:followUp').map(({ traceId }) => traceId);
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThan(RUNS);
  for (const traceId of kept) {
    const names = spans.filter((span) => span.traceId === traceId).map(({ name }) => name.split(':')[0]);
    for (const part of ['StartActivity', 'RunActivity'])
      expect(names.filter((name) => name === part).length).toBe(FOLLOW_UP_KINDS.length);
  }
  expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(kept.length);
});
