import { describe, expect, it } from '@jest/globals';
import type { Connection } from '@temporalio/client';
import { testDeployment } from '../../client/doctor/deployment';

interface Server {
  /** Builds to which the `payments` queue is routed, current first. */
  routed?: string[];
  /** Builds whose workers poll, with how many seconds ago they did. */
  polled?: Array<[buildId: string, secondsAgo: number]>;
  /** Runs under way by build. */
  pinned?: Record<string, number>;
}

const versionOf = (buildId: string | undefined) =>
  buildId === undefined ? null : { deploymentName: 'durable-alipay', buildId };

/** A Temporal server in this state. */
function home({ routed = [], polled = [], pinned = {} }: Server) {
  const workflowService = {
    describeTaskQueue: () =>
      Promise.resolve({
        versioningInfo: {
          currentDeploymentVersion: versionOf(routed[0]),
          rampingDeploymentVersion: versionOf(routed[1]),
        },
        pollers: polled.map(([buildId, ago]) => ({
          lastAccessTime: { seconds: Math.floor(Date.now() / 1_000) - ago },
          deploymentOptions: versionOf(buildId),
        })),
      }),
    describeWorkerDeployment: () =>
      Promise.resolve({
        workerDeploymentInfo: {
          versionSummaries: Object.keys(pinned).map((id) => ({ deploymentVersion: versionOf(id) })),
        },
      }),
    countWorkflowExecutions: ({ query }: { query: string }) => {
      const [, buildId = ''] = /durable-alipay:([\d.]+)"/.exec(query) ?? [];
      return Promise.resolve({ count: pinned[buildId] ?? 0 });
    },
  };
  return { connection: { workflowService } as unknown as Connection, namespace: 'shop' };
}

const examine = (server: Server): Promise<string> =>
  testDeployment(home(server)).then(
    ({ says, advice }) => (advice === undefined ? `ok: ${says}` : `warning: ${says}`),
    (error: unknown) => `fault: ${(error as Error).message}`,
  );

describe("the doctor's look at Worker Versioning", () => {
  it.each<[string, Server, string]>([
    ['nothing is versioned', {}, 'ok: workers are not versioned'],
    [
      'a build waits to be made current',
      { polled: [['1.4.0', 1]] },
      'warning: durable-alipay:1.4.0 polls but is not current: it gets no work',
    ],
    [
      'the current build polls',
      { routed: ['1.4.0'], polled: [['1.4.0', 50]] },
      'ok: current: durable-alipay:1.4.0',
    ],
    [
      'the workers of the current build are gone',
      {
        routed: ['1.5.0'],
        polled: [
          ['1.5.0', 300],
          ['1.4.0', 1],
        ],
      },
      'fault: no worker polls as durable-alipay:1.5.0, where new payments go',
    ],
    [
      'the workers of the ramping build are gone',
      { routed: ['1.4.0', '1.5.0'], polled: [['1.4.0', 1]] },
      'fault: no worker polls as durable-alipay:1.5.0, where new payments go',
    ],
    [
      'runs are left on a build that is gone',
      { routed: ['1.5.0'], polled: [['1.5.0', 1]], pinned: { '1.3.0': 0, '1.4.0': 1, '1.5.0': 9 } },
      'fault: 1 run is pinned to durable-alipay:1.4.0, and no worker of that build is running',
    ],
  ])('where %s', async (_what, server, says) => {
    expect(await examine(server)).toBe(says);
  });
});
