import { FORGERIES } from '../../../sandbox';
import type { SandboxControl } from '../../../sandbox';
import { breakNotifications, strikeCalls } from '../mishaps';
import type { Fault, Struck } from './fault';

/** How many entries of the journal match, since the fault began. */
async function countSince(
  alipay: SandboxControl,
  since: number,
  isOne: (entry: Awaited<ReturnType<SandboxControl['journal']>>[number]) => boolean,
): Promise<number> {
  const journal = await alipay.journal();
  return journal.filter((entry) => Date.parse(entry.at) >= since && isOne(entry)).length;
}

const healed = (heal: () => Promise<unknown>, count: () => Promise<number>, what?: string): Struck => ({
  ...(what !== undefined && { what }),
  end: async () => {
    const times = await count();
    await heal();
    return times;
  },
});

/** What goes wrong between Alipay and us. */
export const WIRE_FAULTS: readonly Fault[] = [
  {
    name: 'gateway: 30 % of calls struck',
    takes: ['gateway'],
    seconds: [10, 20],
    strike: async ({ alipay }) => {
      const since = Date.now();
      await strikeCalls(alipay, 0.3);
      return healed(
        () => alipay.clearFaults(),
        () => countSince(alipay, since, (entry) => entry.kind === 'call' && entry.fault !== undefined),
      );
    },
  },
  {
    name: 'gateway down',
    takes: ['gateway', 'egress'],
    seconds: [4, 12],
    strike: async ({ alipay }, chance) => {
      const since = Date.now();
      const how = chance.one(['502', 'reset'] as const);
      await alipay.down(true, how);
      return healed(
        () => alipay.down(false),
        () => countSince(alipay, since, (entry) => entry.kind === 'call' && entry.fault?.mode === 'down'),
        how,
      );
    },
  },
  {
    name: 'gateway slow',
    takes: ['gateway'],
    seconds: [8, 15],
    strike: async ({ alipay }, chance) => {
      const since = Date.now();
      const ms = Math.round(chance.between(300, 2_000));
      await alipay.latency(ms);
      return healed(
        () => alipay.latency(0),
        () => countSince(alipay, since, (entry) => entry.kind === 'call'),
        `${ms} ms`,
      );
    },
  },
  {
    name: 'notifications lost, repeated, reordered, forged',
    takes: ['notifier'],
    seconds: [12, 25],
    strike: async ({ alipay }, chance) => {
      const since = Date.now();
      const kind = chance.one(FORGERIES);
      await breakNotifications(alipay, { lost: 0.3, forged: { kind, chance: 0.2 } });
      return healed(
        () => alipay.notifier({}),
        () =>
          countSince(alipay, since, (entry) => entry.kind === 'notification' && entry.fault !== undefined),
        `forged: ${kind}`,
      );
    },
  },
];
