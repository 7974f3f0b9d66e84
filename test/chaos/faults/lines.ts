import type { Line } from '../../support/line';
import { TASK_QUEUES } from '../../../workflows/messages';
import type { World } from '../world';
import type { Fault, Struck } from './fault';

const WAYS = ['postgres', 'temporal'] as const;

/** The same fault for the connections to Postgres and to Temporal. */
const onBoth = (fault: (way: (typeof WAYS)[number]) => Fault): Fault[] => WAYS.map(fault);

const restored = (line: Line, count: () => number, what: string): Struck => ({
  what,
  end: async () => {
    const times = count();
    await line.restore();
    return times;
  },
});

/** Connections that break, get slow, or go dead silently. */
export const LINE_FAULTS: readonly Fault[] = [
  ...onBoth((way) => ({
    name: `connections to ${way} cut`,
    takes: [way, `line to ${way}`],
    seconds: [1, 4],
    strike: ({ lines }) => {
      const before = lines[way].broken;
      lines[way].cut();
      return Promise.resolve(restored(lines[way], () => lines[way].broken - before, way));
    },
  })),
  ...onBoth((way) => ({
    name: `connections to ${way} slow`,
    takes: [way, `line to ${way}`],
    seconds: [5, 12],
    strike: ({ lines }, chance) => {
      const ms = Math.round(chance.between(20, 150));
      lines[way].slow(ms);
      return Promise.resolve(restored(lines[way], () => 1, `${way}, ${ms} ms each way`));
    },
  })),
  ...onBoth((way) => ({
    name: `connections to ${way} half-open`,
    takes: [way, `line to ${way}`],
    seconds: [4, 9],
    strike: ({ lines }) => {
      lines[way].goDead();
      return Promise.resolve(restored(lines[way], () => 1, way));
    },
  })),
  {
    name: 'worker without egress',
    takes: ['workers', 'egress'],
    seconds: [8, 16],
    isPossible: ({ parts }) => alipayWorkers(parts).length > 1,
    strike: ({ parts }, chance) => {
      const { part, egress } = chance.one(alipayWorkers(parts));
      egress.cut();
      return Promise.resolve(restored(egress, () => 1, part.name));
    },
  },
];

const alipayWorkers = ({ workers }: World['parts']) =>
  workers.filter(({ queue }) => queue === TASK_QUEUES.alipay);
