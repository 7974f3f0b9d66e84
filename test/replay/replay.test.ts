import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { DataConverter } from '@temporalio/common';
import type { ReplayResult } from '@temporalio/worker';
import { Worker } from '@temporalio/worker';
import { DeterminismViolationError } from '@temporalio/workflow';
import { dataConverterWith } from '../../worker/payload-codec';
import { parsePayloadKeys } from '../../worker/payload-keys';
import { WORKFLOWS } from '../../workflows/messages';
import { pino } from 'pino';
import type { Tracing } from '../../worker/tracing';
import { startTracing, tracedWorkflowModules } from '../../worker/tracing';
import { Collector, workflowBundle } from '../support';
import type { RecordedHistory } from './histories';
import { recordedHistories } from './histories';
import { SCENARIOS } from './scenarios';

const recorded = recordedHistories();

interface ReplayOptions {
  workflowsPath?: string;
  dataConverter?: DataConverter;
  tracing?: Tracing | undefined;
}

/** The error of each replay by the name of its history; undefined if it succeeded. */
async function replay(
  histories: RecordedHistory[],
  { workflowsPath, dataConverter, tracing }: ReplayOptions = {},
) {
  const failureConverterPath = dataConverter?.failureConverterPath;
  const results = Worker.runReplayHistories(
    {
      workflowBundle: await workflowBundle({
        workflowsPath,
        failureConverterPath,
        workflowInterceptorModules: tracing && tracedWorkflowModules(),
      }),
      dataConverter,
      sinks: tracing?.worker.sinks ?? {},
      replayName: 'replay',
    },
    histories.map(({ name, history }) => ({ workflowId: name, history })),
  );
  const errors = new Map<string, ReplayResult['error']>();
  for await (const { workflowId, error } of results) errors.set(workflowId, error);
  return errors;
}

const typeOf = ({ history }: RecordedHistory): unknown =>
  history.events?.[0]?.workflowExecutionStartedEventAttributes?.workflowType?.name;

/** A history holds payloads as base64. */
const withPayloadsRead = (text: string): string =>
  text.replaceAll(/"data":"([^"]*)"/g, (_, data: string) => Buffer.from(data, 'base64').toString());

describe('the recorded histories', () => {
  it('are those of every scenario', () => {
    const scenarios = new Set(recorded.map(({ name }) => name.replace(/-\d+$/, '')));
    for (const scenario of Object.keys(SCENARIOS)) {
      expect([...scenarios, ...recorded.map(({ name }) => name)]).toContain(scenario);
    }
  });

  it('are of every workflow', () => {
    expect(new Set(recorded.map(typeOf))).toEqual(new Set(Object.values(WORKFLOWS)));
  });

  it('tell nothing of the machine and the people that recorded them', () => {
    const machine =
      /\d+@|\.(?:ts|js):\d+|node_modules|"stackTrace"|\/(?:home|root|Users|tmp)\/|[A-Z]:\\\\|BEGIN|buyer_/;
    const tellTales = recorded.filter(({ text }) => machine.test(withPayloadsRead(text)));
    expect(tellTales.map(({ name }) => name)).toEqual([]);

    const identities = recorded.flatMap(({ text }) => [...text.matchAll(/"identity":"([^"]*)"/g)]);
    expect(new Set(identities.map(([, identity]) => identity))).toEqual(new Set(['client', 'worker']));
  });

  it('are small', () => {
    expect(recorded.filter(({ text }) => text.length > 100_000).map(({ name }) => name)).toEqual([]);
  });

  it('replay with the present workflows', async () => {
    const errors = await replay(recorded);
    expect(errors.size).toBe(recorded.length);
    expect([...errors].filter(([, error]) => error !== undefined)).toEqual([]);
  });

  it('replay in a worker that encrypts: what was written in clear is read on', async () => {
    const keys = parsePayloadKeys(`a:${randomBytes(32).toString('base64')}`);
    const errors = await replay(recorded, { dataConverter: dataConverterWith(keys) });
    expect(errors.size).toBe(recorded.length);
    expect([...errors].filter(([, error]) => error !== undefined)).toEqual([]);
  });

  it('replay with tracing, which they were recorded without, and tell no span again', async () => {
    const collector = await Collector.start();
    const log = pino({ level: 'silent' });
    const tracing = await startTracing({ url: collector.endpoint }, { service: 'replay', log });
    try {
      const errors = await replay(recorded, { tracing });
      expect(errors.size).toBe(recorded.length);
      expect([...errors].filter(([, error]) => error !== undefined)).toEqual([]);
    } finally {
      await tracing?.stop();
      await collector.close();
    }
    expect(collector.spans).toEqual([]);
  });

  it('do not replay with a workflow that asks before it sleeps', async () => {
    const checked = recorded.filter(({ name }) => /^payment-paid-at-check-[123]$/.test(name));
    const errors = await replay(checked, { workflowsPath: join(__dirname, 'broken', 'workflows.ts') });

    expect([...errors.keys()].sort()).toEqual(checked.map(({ name }) => name));
    for (const error of errors.values()) expect(error).toBeInstanceOf(DeterminismViolationError);
  });
});
