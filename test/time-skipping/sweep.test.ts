import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, CancelledFailure, WorkflowFailedError } from '@temporalio/client';
import type { sweepExpiredOrders } from '../../workflows';
import type { SweepInput, SweepReport } from '../../workflows/messages';
import { TASK_QUEUES, WORKFLOWS } from '../../workflows/messages';
import { waitFor } from '../support';
import type { Stage } from './stage';
import { openStage } from './stage';
import type { Chunk } from './world';
import { Held, alipayFailure } from './world';

let stage: Stage;
let sweeps = 0;
beforeAll(async () => {
  stage = await openStage();
});
afterAll(() => stage.close());
beforeEach(() => {
  const { world } = stage;
  world.expired = [];
  world.chunks.length = 0;
  world.pagesRead.length = 0;
  world.busiest = 0;
  world.onChunk = () => Promise.resolve({});
  world.isUp = true;
  world.probes = 0;
});

/** `count` expired orders, the oldest first; each shares its time with a neighbour. */
function expire(count: number): string[] {
  const eldest = Date.parse('2026-01-01T00:00:00Z');
  stage.world.expired = Array.from({ length: count }, (_, i) => ({
    id: `order-${String(i).padStart(5, '0')}`,
    expiresAt: new Date(eldest + Math.floor(i / 2) * 1_000).toISOString(),
  }));
  return stage.world.expired.map(({ id }) => id);
}

const start = (input: SweepInput) => {
  sweeps += 1;
  return stage.environment.client.workflow.start<typeof sweepExpiredOrders>(WORKFLOWS.sweepExpiredOrders, {
    workflowId: `sweep-${sweeps}`,
    taskQueue: TASK_QUEUES.payments,
    args: [input],
  });
};

const sweep = async (input: SweepInput): Promise<SweepReport> => (await start(input)).result();

const handedOut = (): string[] => stage.world.chunks.flatMap(({ orderIds }) => orderIds);

const aMoment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('a sweep', () => {
  it('closes every expired order once, page by page, and reports it', async () => {
    const ids = expire(25);
    const report = await sweep({ parallel: 4, pageSize: 10 });

    expect(report).toMatchObject({
      scanned: 25,
      closed: 25,
      rescued: 0,
      held: 0,
      failed: 0,
      oldest: '2026-01-01T00:00:00.000Z',
      gatewayDown: false,
    });
    expect(report).not.toHaveProperty('dryRun');
    expect(report.next).toBeUndefined();
    expect(handedOut().sort()).toEqual(ids);
    expect(stage.world.chunks.every(({ actor, dryRun }) => actor === 'sweep' && !dryRun)).toBe(true);
    expect(stage.world.pagesRead).toEqual([
      { after: null, limit: 10 },
      { after: 'order-00009', limit: 10 },
      { after: 'order-00019', limit: 10 },
    ]);
  });

  it('finds nothing where nothing has expired', async () => {
    expect(await sweep({ parallel: 4, pageSize: 10 })).toMatchObject({ scanned: 0, closed: 0, oldest: null });
    expect(stage.world.chunks).toEqual([]);
  });

  it('works on as many chunks at once as it may, and never on more', async () => {
    expire(120);
    stage.world.onChunk = async () => {
      // The first ones wait for each other: on a busy machine one would be over before the third begins.
      await waitFor(() => stage.world.busiest >= 3, { what: 'three chunks at once', timeoutMs: 30_000 });
      await aMoment();
      return {};
    };
    await sweep({ parallel: 3, pageSize: 50 });

    expect(stage.world.busiest).toBe(3);
    expect(Math.max(...stage.world.chunks.map(({ orderIds }) => orderIds.length))).toBeLessThanOrEqual(10);
  });

  it('closes few orders side by side too: one lane each', async () => {
    expire(4);
    stage.world.onChunk = async () => {
      await aMoment();
      return {};
    };
    await sweep({ parallel: 50, pageSize: 500 });
    expect(stage.world.chunks.map(({ orderIds }) => orderIds)).toHaveLength(4);
  });

  it('does not look at an order twice that stays open, nor at one that slipped in behind', async () => {
    expire(20);
    stage.world.onChunk = ({ orderIds }) => {
      // Older than the whole first page, and found too late: left to the next sweep.
      stage.world.expired.unshift({ id: 'order-late', expiresAt: '2025-12-31T00:00:00.000Z' });
      return Promise.resolve({ closed: [], held: orderIds });
    };
    const report = await sweep({ parallel: 2, pageSize: 10 });

    expect(report).toMatchObject({ scanned: 20, held: 20, closed: 0 });
    expect(new Set(handedOut()).size).toBe(20);
  });

  it('names what it rescued, held and failed to close', async () => {
    expire(30);
    stage.world.onChunk = ({ orderIds: [first = '', second = '', ...rest] }: Chunk) =>
      Promise.resolve({ rescued: [first], held: [second], failed: rest.splice(0, 1), closed: rest });
    const report = await sweep({ parallel: 3, pageSize: 30 });

    expect(report).toMatchObject({ scanned: 30, closed: 21, rescued: 3, held: 3, failed: 3 });
    expect(report.rescuedIds.sort()).toEqual(['order-00000', 'order-00010', 'order-00020']);
    expect(report.heldIds.sort()).toEqual(['order-00001', 'order-00011', 'order-00021']);
    expect(report.failedIds.sort()).toEqual(['order-00002', 'order-00012', 'order-00022']);
  });

  it('names the first hundred of a kind only', async () => {
    expire(150);
    stage.world.onChunk = ({ orderIds }) => Promise.resolve({ closed: [], held: orderIds });
    const report = await sweep({ parallel: 5, pageSize: 50 });

    expect(report.held).toBe(150);
    expect(report.heldIds).toHaveLength(100);
  });

  it('goes on where a chunk breaks: its orders count as failed', async () => {
    expire(40);
    stage.world.onChunk = ({ orderIds }) => {
      if (orderIds.includes('order-00010')) {
        throw ApplicationFailure.create({ type: 'INTERNAL', message: 'broken' });
      }
      return Promise.resolve({});
    };
    const report = await sweep({ parallel: 2, pageSize: 20 });

    expect(report).toMatchObject({ scanned: 40, closed: 30, failed: 10, gatewayDown: false });
    expect(report.failedIds).toContain('order-00010');
    // Twelve tries of the broken one, one of each other.
    expect(stage.world.chunks).toHaveLength(12 + 3);
    expect(stage.world.probes).toBe(0);
  });

  it('gives a chunk that one worker cannot ask about to another one', async () => {
    expire(20);
    let cutOff = 7;
    stage.world.onChunk = ({ orderIds }) => {
      if (!orderIds.includes('order-00000')) return Promise.resolve({});
      cutOff -= 1;
      return cutOff >= 0 ? Promise.reject(alipayFailure('down')) : Promise.resolve({});
    };
    const report = await sweep({ parallel: 2, pageSize: 20 });

    expect(report).toMatchObject({ scanned: 20, closed: 20, failed: 0, gatewayDown: false });
    expect(stage.world.probes).toBe(0);
  });

  it('stops at a dead gateway after one probe, and leaves the rest', async () => {
    expire(100);
    stage.world.isUp = false;
    stage.world.onChunk = () => Promise.reject(alipayFailure('down'));
    const report = await sweep({ parallel: 2, pageSize: 20 });

    expect(report).toMatchObject({ gatewayDown: true, closed: 0, failed: 0, scanned: 20 });
    expect(stage.world.probes).toBe(1);
    expect(new Set(handedOut()).size).toBe(20);
  });

  it('takes a probe that breaks for a dead gateway', async () => {
    expire(40);
    stage.world.isUp = new Error('broken');
    stage.world.onChunk = () => Promise.reject(alipayFailure('down'));

    expect(await sweep({ parallel: 1, pageSize: 20 })).toMatchObject({
      gatewayDown: true,
      closed: 0,
      failed: 0,
    });
    expect(stage.world.probes).toBe(3);
  });

  it('goes on where the probe finds the gateway up: what is left of that chunk has failed', async () => {
    const ids = expire(30);
    const done = { done: 4, closed: ids.slice(0, 3), rescued: [], held: ids.slice(3, 4), failed: [] };
    stage.world.onChunk = ({ orderIds }) =>
      orderIds.includes('order-00000')
        ? Promise.reject(ApplicationFailure.create({ type: 'ALIPAY_DOWN', details: [done] }))
        : Promise.resolve({});
    const report = await sweep({ parallel: 2, pageSize: 20 });

    expect(report).toMatchObject({ scanned: 30, closed: 23, held: 1, failed: 6, gatewayDown: false });
    expect(report.heldIds).toEqual(ids.slice(3, 4));
    expect(report.failedIds).toEqual(ids.slice(4, 10));
    expect(stage.world.probes).toBe(1);
  });

  it('looks only, on a dry run', async () => {
    expire(12);
    const report = await sweep({ parallel: 2, pageSize: 5, dryRun: true });

    expect(report).toMatchObject({ scanned: 12, closed: 12, dryRun: true });
    expect(stage.world.chunks.every(({ dryRun }) => dryRun)).toBe(true);
    expect(stage.world.expired).toHaveLength(12);
  });

  it('tells how far it is while it runs', async () => {
    expire(20);
    let inFlight = 0;
    let release!: () => void;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    stage.world.onChunk = async ({ orderIds }) => {
      if (orderIds.includes('order-00000')) return {};
      inFlight += 1;
      await released;
      return {};
    };
    const handle = await start({ parallel: 1, pageSize: 20 });
    const result = handle.result();
    while (inFlight === 0) await aMoment();

    expect(await handle.query<SweepReport>('progress')).toMatchObject({ scanned: 20, closed: 10 });
    release();
    expect(await result).toMatchObject({ closed: 20 });
  });

  it('goes on as new before its history grows too long, and carries the report along', async () => {
    const ids = expire(3_000);
    // One chunk per order: the most that a history can grow.
    const handle = await start({ parallel: 50, pageSize: 50 });
    const report = await handle.result();

    expect(stage.world.chunks).toHaveLength(ids.length);
    const { runId } = await stage.environment.client.workflow.getHandle(handle.workflowId).describe();
    expect(runId).not.toBe(handle.firstExecutionRunId);
    expect(report).toMatchObject({
      scanned: 3_000,
      closed: 3_000,
      failed: 0,
      oldest: '2026-01-01T00:00:00.000Z',
    });
    expect(new Set(handedOut()).size).toBe(ids.length);
    expect(handedOut()).toHaveLength(ids.length);
    const { historyLength } = await stage.environment.client.workflow
      .getHandle(handle.workflowId, handle.firstExecutionRunId)
      .describe();
    expect(historyLength).toBeGreaterThan(6_000);
    expect(historyLength).toBeLessThan(6_500);
  });

  it('goes on as new after ten minutes, once every lane is empty, and forgets no order of the page at hand', async () => {
    const ids = expire(120);
    const tried = new Set<string>();
    stage.world.onChunk = ({ orderIds: [first = ''] }) => {
      const isRepeated = tried.has(first);
      tried.add(first);
      if (isRepeated) return Promise.resolve({});
      throw ApplicationFailure.create({ type: 'INTERNAL', message: 'slow', nextRetryDelay: '4 minutes' });
    };
    const handle = await start({ parallel: 2, pageSize: 120 });
    const report = await handle.result();

    expect(report).toMatchObject({ scanned: 120, closed: 120, failed: 0 });
    expect(report.seconds).toBeGreaterThan(20 * 60);
    expect([...new Set(handedOut())].sort()).toEqual(ids);
    const { runId } = await stage.environment.client.workflow.getHandle(handle.workflowId).describe();
    expect(runId).not.toBe(handle.firstExecutionRunId);
  });

  it('that is cancelled hands out no more, and reports no order as failed', async () => {
    expire(20);
    const cancelled = new Held();
    stage.world.onChunk = async () => {
      await cancelled.reply();
      // An activity learns of it through its heartbeat.
      Context.current().heartbeat();
      return Context.current().cancelled;
    };
    const handle = await start({ parallel: 1, pageSize: 20 });
    const end = handle.result().catch((error: unknown) => error);
    await cancelled.begun;
    await handle.cancel();
    cancelled.release('unknown');

    expect(await end).toMatchObject({ cause: expect.any(CancelledFailure) as unknown });
    expect(stage.world.chunks).toHaveLength(1);
  });
});

describe('closing one order for the shop', () => {
  const close = (orderId: string) => {
    sweeps += 1;
    return stage.environment.client.workflow.execute(WORKFLOWS.closeOrder, {
      workflowId: `close-${sweeps}`,
      taskQueue: TASK_QUEUES.payments,
      args: [{ orderId, actor: 'shop', reason: 'the buyer changed their mind' }],
    });
  };

  it('closes it, for the one who asks and with the reason', async () => {
    stage.world.orders.set('order-open', 'UNPAID');
    expect(await close('order-open')).toEqual({ orderId: 'order-open', status: 'CLOSED' });
    expect(stage.world.cancelled.at(-1)).toEqual({
      orderId: 'order-open',
      actor: 'shop',
      reason: 'the buyer changed their mind',
    });
  });

  it.each([
    ['ORDER_UNKNOWN', 'order-nowhere', undefined],
    ['ORDER_PAID', 'order-paid', 'PAID'],
    ['ORDER_HELD', 'order-held', 'HELD'],
  ] as const)('fails with %s, at the first try', async (type, orderId, status) => {
    if (status) stage.world.orders.set(orderId, status);
    const before = stage.world.cancelled.length;
    const error: unknown = await close(orderId).catch((it: unknown) => it);

    const failure = (error as WorkflowFailedError).cause?.cause;
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect(failure).toBeInstanceOf(ApplicationFailure);
    expect((failure as ApplicationFailure).type).toBe(type);
    expect(stage.world.cancelled).toHaveLength(before + 1);
  });
});
