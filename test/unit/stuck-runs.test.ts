import { describe, expect, it, jest } from '@jest/globals';
import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/client';
import type { SearchAttributePair } from '@temporalio/common';
import { TypedSearchAttributes } from '@temporalio/common';
import { pino } from 'pino';
import { StuckRuns } from '../../activities/follow-up/stuck-runs';
import { PAYMENT_STATUS } from '../../workflows/search-attributes';

// What the server says of a run, with a double of Temporal's client; test/long/stuck-runs.test.ts uses a real one.

const ID = 'payment-P1';
const gone = () => new WorkflowNotFoundError('workflow not found', ID, undefined);

/** As the gRPC interface numbers it. */
const PINNED = 1;

interface Said {
  status?: string;
  attempt?: number;
  versioning?: object;
  attributes?: SearchAttributePair[];
}

const pinnedTo = (buildId: string, more: object = {}): Said => ({
  versioning: { behavior: PINNED, deploymentVersion: { deploymentName: 'shop', buildId }, ...more },
});

function looking(
  said: Said | Error,
  { builds = [], onTerminate }: { builds?: Array<string | undefined>; onTerminate?: Error } = {},
) {
  const ended: unknown[] = [];
  let polls = 0;
  const temporal = {
    options: { namespace: 'default' },
    withDeadline: (_deadline: number, call: () => Promise<unknown>) => call(),
    workflow: {
      getHandle: (id: string, runId?: string) => ({
        describe: () => {
          if (said instanceof Error) return Promise.reject(said);
          const { status = 'RUNNING', attempt, versioning, attributes = [] } = said;
          return Promise.resolve({
            runId: 'run-1',
            status: { name: status },
            typedSearchAttributes: new TypedSearchAttributes(attributes),
            raw: {
              ...(attempt !== undefined && { pendingWorkflowTask: { attempt } }),
              ...(versioning && { workflowExecutionInfo: { versioningInfo: versioning } }),
            },
          });
        },
        terminate: (reason: string) => {
          if (onTerminate) return Promise.reject(onTerminate);
          ended.push({ id, runId, reason });
          return Promise.resolve();
        },
      }),
    },
    workflowService: {
      describeTaskQueue: () => {
        polls += 1;
        const pollers = builds.map((buildId) =>
          buildId === undefined ? {} : { deploymentOptions: { deploymentName: 'shop', buildId } },
        );
        return Promise.resolve({ pollers });
      },
    },
  };
  const log = pino({ level: 'silent' });
  const alerts = jest.spyOn(log, 'error');
  const runs = new StuckRuns({ temporal: temporal as unknown as Client, log });
  return { runs, ended, alerts, polls: () => polls };
}

const IS_GONE = { is: 'gone' };
const RUNNING = { is: 'running', shown: undefined };

describe('a run', () => {
  it.each([
    ['that the server does not know', gone()],
    ['that has ended', { status: 'COMPLETED' }],
  ])('%s is gone, and nothing is ended', async (_what, said) => {
    const { runs, ended } = looking(said);
    expect(await runs.look(ID)).toEqual(IS_GONE);
    expect(ended).toEqual([]);
  });

  it('of which the server says nothing is not taken for gone', async () => {
    const silent = new Error('the server does not answer');
    await expect(looking(silent).runs.look(ID)).rejects.toBe(silent);
  });

  it('that is there is running, with the status that it shows', async () => {
    const { runs } = looking({ attributes: [{ key: PAYMENT_STATUS, value: 'REVIEW' }] });
    expect(await runs.look(ID)).toEqual({ is: 'running', shown: 'REVIEW' });
  });

  it('whose workflow task has failed nine times in a row is running; after the tenth it is ended', async () => {
    expect(await looking({ attempt: 9 }).runs.look(ID)).toEqual(RUNNING);
    const { runs, ended, alerts } = looking({ attempt: 10 });
    expect(await runs.look(ID)).toEqual(IS_GONE);
    const because = 'its workflow task failed 10 times in a row';
    expect(ended).toEqual([{ id: ID, runId: 'run-1', reason: `${because}; its row starts another run` }]);
    expect(alerts.mock.calls).toMatchObject([
      [{ workflowId: ID, runId: 'run-1', because, code: 'RUN_STUCK', alert: true }, expect.anything()],
    ]);
  });

  it('that ends by itself meanwhile is gone, too', async () => {
    expect(await looking({ attempt: 10 }, { onTerminate: gone() }).runs.look(ID)).toEqual(IS_GONE);
  });

  it('that cannot be ended is not taken for gone', async () => {
    const onTerminate = new Error('not allowed');
    await expect(looking({ attempt: 10 }, { onTerminate }).runs.look(ID)).rejects.toBe(onTerminate);
  });
});

describe('a run that is pinned to a build', () => {
  it('that no worker has polled for is ended', async () => {
    const { runs, ended } = looking(pinnedTo('old'), { builds: ['new', undefined] });
    expect(await runs.look(ID)).toEqual(IS_GONE);
    expect(ended).toMatchObject([{ reason: expect.stringContaining('its build shop:old') as unknown }]);
  });

  it.each([
    ['that a worker polls for', pinnedTo('old'), ['new', 'old']],
    ['is left while no worker polls at all: the server may have just started', pinnedTo('old'), []],
    ['is left where an operator sends it elsewhere', pinnedTo('old', { versioningOverride: {} }), ['new']],
    ['is left where it has not begun on any', { versioning: { behavior: PINNED } }, ['new']],
    ['is left where it is not pinned', pinnedTo('old', { behavior: 2 }), ['new']],
  ])('%s is running', async (_what, said, builds) => {
    const { runs, ended } = looking(said, { builds });
    expect(await runs.look(ID)).toEqual(RUNNING);
    expect(ended).toEqual([]);
  });
});

describe('one follow-up', () => {
  it('ends fifty runs at most, and asks only once who polls', async () => {
    const { runs, ended, polls } = looking(pinnedTo('old'), { builds: ['new'] });
    for (let i = 0; i < 50; i += 1) expect(await runs.look(ID)).toEqual(IS_GONE);
    expect(await runs.look(ID)).toMatchObject({ is: 'stuck', runId: 'run-1' });
    expect(ended).toHaveLength(50);
    expect(polls()).toBe(1);
  });
});
