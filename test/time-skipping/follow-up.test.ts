import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { followUp } from '../../workflows';
import { FOLLOW_UP_KINDS, TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import type { FollowUpReport, KindReport } from '../../workflows/messages';
import { waitFor } from '../support';
import type { Stage } from './stage';
import { openStage } from './stage';
import { Held } from './world';

const NOTHING: KindReport = { done: 0, failed: 0, left: false };

let stage: Stage;
let runs = 0;
beforeAll(async () => {
  stage = await openStage();
});
afterEach(() => {
  stage.world.onKind = () => Promise.resolve(NOTHING);
});
afterAll(() => stage.close());

function followUpOnce(): Promise<FollowUpReport> {
  runs += 1;
  return stage.environment.client.workflow.execute<typeof followUp>(WORKFLOWS.followUp, {
    workflowId: `follow-up-${runs}`,
    taskQueue: TASK_QUEUES.payments,
  });
}

describe('a follow-up', () => {
  it('reports what it did of each kind', async () => {
    stage.world.onKind = (kind) => Promise.resolve({ ...NOTHING, done: kind.length });
    expect(await followUpOnce()).toEqual(
      Object.fromEntries(FOLLOW_UP_KINDS.map((kind) => [kind, { ...NOTHING, done: kind.length }])),
    );
  });

  it.each(FOLLOW_UP_KINDS)('has the other kinds done where %s breaks', async (broken) => {
    const tried: string[] = [];
    stage.world.onKind = (kind) => {
      tried.push(kind);
      return kind === broken ? Promise.reject(new Error('broken')) : Promise.resolve({ ...NOTHING, done: 1 });
    };
    const report = await followUpOnce();
    expect(report[broken]).toBeNull();
    for (const kind of FOLLOW_UP_KINDS.filter((other) => other !== broken)) {
      expect([kind, report[kind]]).toEqual([kind, { ...NOTHING, done: 1 }]);
    }
    // Another worker may be able to do it.
    expect(tried.filter((kind) => kind === broken).length).toBeGreaterThan(1);
  });

  it('has a kind done by another worker where the first one cannot reach Alipay', async () => {
    let tries = 0;
    stage.world.onKind = (kind) => {
      if (kind !== 'slowChecks') return Promise.resolve(NOTHING);
      tries += 1;
      return tries < 3
        ? Promise.reject(ApplicationFailure.create({ type: 'ALIPAY_DOWN', message: 'not asked' }))
        : Promise.resolve({ ...NOTHING, done: 5 });
    };
    expect(await followUpOnce()).toMatchObject({ slowChecks: { done: 5 } });
  });

  it('that is cancelled ends, and takes no kind for broken', async () => {
    let begun = 0;
    const cancelled = new Held();
    stage.world.onKind = async () => {
      begun += 1;
      await cancelled.reply();
      // An activity learns of it through its heartbeat.
      Context.current().heartbeat();
      return Context.current().cancelled;
    };
    const end = followUpOnce().catch((error: unknown) => error);
    await waitFor(() => begun === FOLLOW_UP_KINDS.length, { what: 'every kind to be under way' });
    await stage.environment.client.workflow.getHandle(`follow-up-${runs}`).cancel();
    cancelled.release('unknown');

    expect(await end).toMatchObject({ cause: expect.any(CancelledFailure) as unknown });
  });

  it('gives each kind a minute, its retries included', async () => {
    await followUpOnce();
    const { events } = await stage.environment.client.workflow.getHandle(`follow-up-${runs}`).fetchHistory();
    const minutes = (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }) =>
      scheduled ? [Number(scheduled.scheduleToCloseTimeout?.seconds) / 60] : [],
    );
    expect(minutes).toEqual(FOLLOW_UP_KINDS.map(() => 1));
  });

  it('tells in plain words what it did', async () => {
    stage.world.onKind = (kind) =>
      kind === 'unwatched'
        ? Promise.reject(new Error('broken'))
        : Promise.resolve({ done: 7, failed: 2, left: kind === 'slowChecks' });
    await followUpOnce();
    const handle = stage.environment.client.workflow.getHandle(`follow-up-${runs}`);
    const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
    expect(currentDetails).toContain('**Done**');
    expect(currentDetails).toContain('slow checks of payments still open: **7**, 2 failed, more are due');
    expect(currentDetails).toContain('whose checks nobody made: **failed as a whole**');
  });
});
