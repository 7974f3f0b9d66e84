import type { Reception } from '../reception';
import type { World } from '../world';
import type { Fault, Struck } from './fault';

function inMood({ reception }: World, mood: Reception['mood']): Promise<Struck> {
  if (reception) reception.mood = mood;
  return Promise.resolve({
    end: () => {
      if (reception) reception.mood = 'well';
      return Promise.resolve(1);
    },
  });
}

/** What happens to the shop that results are posted to. */
export const SHOP_FAULTS: readonly Fault[] = [
  {
    name: 'order service down',
    takes: ['reception'],
    seconds: [5, 12],
    isPossible: ({ reception }) => reception !== undefined,
    strike: (world) => inMood(world, 'down'),
  },
  {
    name: 'order service breaks after acting',
    takes: ['reception'],
    seconds: [3, 8],
    isPossible: ({ reception }) => reception !== undefined,
    strike: (world) => inMood(world, 'breaks after acting'),
  },
];
