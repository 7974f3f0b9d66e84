import { describe, expect, it } from '@jest/globals';
import type { Connection } from '@temporalio/client';
import { diagnose } from '../../client/doctor';
import { compareClocks } from '../../client/doctor/clock';
import type { Finding, Found } from '../../client/doctor/examination';
import { Examination, Fault } from '../../client/doctor/examination';
import { judgeCurrent } from '../../client/doctor/installation';
import { testAddress } from '../../client/doctor/notify-url';
import { judgeSweep } from '../../client/doctor/schedules';
import { testQueues, testRetention } from '../../client/doctor/temporal';
import type { LastSweep } from '../../client/index';
import type { Home } from '../../worker/pollers';
import { IDENTITY } from '../../worker/pollers';
import type { SweepReport } from '../../workflows/messages';

/** The result of a check: `ok`, `warning`, or a fault's message. */
function verdictOf(look: () => { advice?: string }): string {
  try {
    return look().advice === undefined ? 'ok' : 'warning';
  } catch (error) {
    if (error instanceof Fault) return `fault: ${error.message}`;
    throw error;
  }
}

describe('an examination', () => {
  const examine = (deadlineMs = 1_000): { exam: Examination; told: Finding[] } => {
    const told: Finding[] = [];
    return { exam: new Examination({ tell: (finding) => told.push(finding), deadlineMs }), told };
  };

  it('hands what one check found to the next, and tells of both in order', async () => {
    const { exam, told } = examine();
    const seven = await exam.check('first', {}, () => ({ says: 'it is 7', value: 7 }));
    const eight = await exam.check('second', { first: seven }, ({ first }) =>
      Promise.resolve({ says: `${first} and one`, value: first + 1, advice: 'Mind it.' }),
    );
    expect(eight).toBe(8);
    expect(told).toEqual([
      { check: 'first', verdict: 'ok', says: 'it is 7', advice: null },
      { check: 'second', verdict: 'warning', says: '7 and one', advice: 'Mind it.' },
    ]);
    expect(exam.findings).toEqual(told);
  });

  it('skips what needs a check that failed, and names that one', async () => {
    const { exam, told } = examine();
    const first = await exam.check<object, number>('first', {}, () => {
      throw new Fault('it is gone', 'Bring it back.');
    });
    let looked = false;
    await exam.check('second', { first, other: 1 }, () => {
      looked = true;
      return { says: '', value: true };
    });
    expect(looked).toBe(false);
    expect(told).toEqual([
      { check: 'first', verdict: 'fault', says: 'it is gone', advice: 'Bring it back.' },
      { check: 'second', verdict: 'skipped', says: 'needs first', advice: null },
    ]);
  });

  it('waits for no check longer than the deadline', async () => {
    const { exam, told } = examine(20);
    const never = new Promise<Found>(() => undefined);
    expect(await exam.check('never', {}, () => never)).toBeUndefined();
    expect(told).toMatchObject([{ check: 'never', verdict: 'fault', says: 'no answer within 20ms' }]);
  });

  it('lets go of what it opened, and of what came too late', async () => {
    const { exam } = examine(20);
    const released: string[] = [];
    const opened = (name: string): Found<string> => ({
      says: '',
      value: name,
      release: () => Promise.resolve(void released.push(name)),
    });
    let arrive: (found: Found<string>) => void = () => undefined;
    await exam.check('first', {}, () => opened('first'));
    await exam.check('second', {}, () => opened('second'));
    await exam.check('late', {}, () => new Promise<Found<string>>((resolve) => (arrive = resolve)));
    expect(released).toEqual([]);
    arrive(opened('late'));
    await exam.end();
    expect(released.sort()).toEqual(['first', 'late', 'second']);
  });

  it('makes a fault of an error that nobody foresaw, without its secrets', async () => {
    const { exam, told } = examine();
    await exam.check('odd', {}, () => Promise.reject(new Error('lost postgres://shop:hunter2@db/shop')));
    expect(told).toMatchObject([{ verdict: 'fault', says: 'lost postgres://shop:[hidden]@db/shop' }]);
  });
});

describe('two clocks', () => {
  const NOON = Date.UTC(2026, 0, 1, 12);

  it.each([
    [0, 'ok'],
    [5_000, 'ok'],
    [5_001, 'warning'],
    [-5_001, 'warning'],
    [60_000, 'warning'],
    [60_001, "fault: this machine's clock is 1m ahead of Postgres'"],
    [-120_000, "fault: this machine's clock is 2m behind Postgres'"],
  ])('%i ms apart are: %s', (offMs, verdict) => {
    expect(verdictOf(() => compareClocks("Postgres'", new Date(NOON), NOON + offMs))).toBe(verdict);
  });
});

describe('a notify URL', () => {
  const LIVE = 'https://openapi.alipay.com/gateway.do';
  const SANDBOX = 'http://127.0.0.1:4000/gateway.do';

  it.each([
    ['https://shop.example/alipay/notify', LIVE, 'ok'],
    ['https://8.8.8.8/alipay/notify', LIVE, 'ok'],
    ['http://127.0.0.1:3000/alipay/notify', SANDBOX, 'ok'],
    ['http://[::1]:3000/alipay/notify', SANDBOX, 'ok'],
    ['http://localhost:3000/alipay/notify', LIVE, 'warning'],
    ['http://shop.example/alipay/notify', LIVE, expect.stringContaining('not https')],
    ['https://10.1.2.3/notify', LIVE, expect.stringContaining('private network')],
    ['https://172.31.0.1/notify', LIVE, expect.stringContaining('private network')],
    ['https://172.32.0.1/notify', LIVE, 'ok'],
    ['https://[fd00::1]/notify', LIVE, expect.stringContaining('private network')],
    ['https://shop/notify', LIVE, expect.stringContaining('private network')],
    ['https://shop.internal/notify', LIVE, expect.stringContaining('private network')],
  ])('%s, with the gateway %s', (notifyUrl, gateway, verdict) => {
    expect(verdictOf(() => testAddress(notifyUrl, gateway))).toEqual(verdict);
  });
});

const secondsAgo = (seconds: number): string => new Date(Date.now() - seconds * 1_000).toISOString();

describe('the last sweep', () => {
  const report = { failed: 0, failedIds: [] as string[], gatewayDown: false } as SweepReport;
  const last: LastSweep = { workflowId: 's-1', startedAt: '', status: 'COMPLETED', report, failure: null };

  it.each<[string, Partial<LastSweep>, string]>([
    ['went well', {}, 'ok'],
    ['has just begun', { status: 'RUNNING', report: null, startedAt: secondsAgo(20) }, 'ok'],
    ['goes on for long', { status: 'RUNNING', startedAt: secondsAgo(600) }, 'ok'],
    ['no worker goes on with', { status: 'RUNNING', report: null, startedAt: secondsAgo(90) }, 'warning'],
    ['found the gateway down', { report: { ...report, gatewayDown: true } }, 'warning'],
    ['left broken orders', { report: { ...report, failed: 1, failedIds: ['A-1'] } }, 'warning'],
    [
      'timed out',
      { status: 'TIMED_OUT', report: null, failure: 'too long' },
      'fault: s-1 is TIMED_OUT: too long',
    ],
  ])('that %s', (_how, changes, verdict) => {
    expect(verdictOf(() => judgeSweep({ ...last, ...changes }))).toBe(verdict);
  });
});

describe('the Temporal store of this installation', () => {
  const served = { takenOverAt: null, recoveredAt: null, unseenMs: 6_000 };
  const tookOver = { ...served, takenOverAt: new Date(0) };

  it.each([
    ['is served', served, /^workers serve it, seen 6s ago$/],
    ['took over', tookOver, /^it took over at 1970.*STORE_NOT_RECOVERED/],
    ['is unseen', { ...served, unseenMs: 61_000 }, /^no worker serves it, seen 1m ago → Start one/],
    [
      'took over and is unseen',
      { ...tookOver, unseenMs: 61_000 },
      /^no worker serves it, seen 1m ago → Start/,
    ],
  ])('that %s', (_how, store, told) => {
    const { says, advice } = judgeCurrent(store);
    expect(advice === undefined ? says : `${says} → ${advice}`).toMatch(told);
  });
});

describe('a retention', () => {
  const home = (hours: number): Home => {
    const config = { workflowExecutionRetentionTtl: { seconds: hours * 3_600 } };
    const workflowService = { describeNamespace: () => Promise.resolve({ config }) };
    return { connection: { workflowService } as unknown as Connection, namespace: 'shop' };
  };

  it('of three days is enough, and is what is advised where it is shorter', async () => {
    expect(await testRetention(home(72))).toEqual({ says: 'histories are kept for 3 days' });
    expect((await testRetention(home(24))).advice).toMatch(
      /^Run: temporal operator namespace update --namespace shop --retention 3d \(30d/,
    );
  });
});

describe('task queues', () => {
  /** A server whose queues were polled for workflow and activity tasks by our workers, this many seconds ago. */
  const home = (polled: Record<string, number>): Home => {
    const describeTaskQueue = ({ taskQueue }: { taskQueue: { name: string } }) => {
      const ago = polled[taskQueue.name];
      const seconds = Math.floor(Date.now() / 1_000) - (ago ?? 0);
      return Promise.resolve({
        pollers: ago === undefined ? [] : [{ identity: IDENTITY, lastAccessTime: { seconds } }],
      });
    };
    return {
      connection: { workflowService: { describeTaskQueue } } as unknown as Connection,
      namespace: 'n',
    };
  };
  const told = (polled: Record<string, number>, webhook?: string): Promise<string> =>
    testQueues(home(polled), webhook).then(
      () => 'ok',
      (error: unknown) => (error instanceof Fault ? error.advice : String(error)),
    );

  it('are served where each is polled, or was in the minute that a poll lasts', async () => {
    expect(await told({ payments: 1, alipay: 65, 'order-service': 1 })).toBe('ok');
    expect(await told({ payments: 1, alipay: 75, 'order-service': 1 })).not.toBe('ok');
  });

  const ENDS = 'If it exits, its last line says why.';

  it.each([
    ['of nobody', {}, undefined, `Start one: durable-alipay worker --queues payments,alipay. ${ENDS}`],
    [
      'of nobody, with a webhook',
      {},
      'https://shop.example/results',
      `Start one: durable-alipay worker --queues payments,alipay,order-service. ${ENDS}`,
    ],
    [
      'of all but Alipay’s workers',
      { payments: 1, 'order-service': 1 },
      undefined,
      `Start one: durable-alipay worker --queues alipay. ${ENDS}`,
    ],
  ])('%s: what to start', async (_whose, polled, webhook, advice) => {
    expect(await told(polled, webhook)).toBe(advice);
  });

  it('of all but the order service: what may serve it', async () => {
    expect(await told({ payments: 1, alipay: 1 })).toMatch(
      /shop's own worker.*onResult.*--queues order-service/,
    );
  });
});

describe('the doctor', () => {
  it('checks what can be checked although the environment is empty', async () => {
    const findings = await diagnose({ TEMPORAL_ADDRESS: '127.0.0.1:9' });
    expect(findings.filter(({ verdict }) => verdict === 'fault').map(({ check }) => check)).toEqual([
      'environment',
      'temporal',
    ]);
    expect(findings[0]?.says).toContain('DATABASE_URL is not set');
    expect(new Set(findings.slice(1).map(({ verdict }) => verdict))).toEqual(new Set(['skipped', 'fault']));
  });

  it('wants no API_TOKEN of a shop that takes notifications in a server of its own', async () => {
    const told = async (env: NodeJS.ProcessEnv) => {
      const [environment] = await diagnose({ TEMPORAL_ADDRESS: '127.0.0.1:9', ...env }, { deadlineMs: 100 });
      return environment?.says;
    };
    const ALIPAY_NOTIFY_URL = 'https://shop.example/alipay/notify';
    expect(await told({ ALIPAY_NOTIFY_URL })).not.toContain('API_TOKEN');
    expect(await told({ ALIPAY_NOTIFY_URL, HOST: '0.0.0.0' })).toContain('API_TOKEN is not set');
  });
});
