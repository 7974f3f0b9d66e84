import { setTimeout as sleep } from 'node:timers/promises';
import { Chance } from './chance';
import type { Window } from './history';
import type { Part } from './part';
import type { Planned } from './schedule';
import type { World } from './world';

/** Carries out the schedule; resolves once the last fault is healed. */
export async function storm(
  world: World,
  planned: readonly Planned[],
  onFault: (name: string) => void,
): Promise<void> {
  const start = Date.now();
  await Promise.all(
    planned.map(async ({ fault, at, seconds, seed }) => {
      await sleep(Math.max(0, start + at * 1000 - Date.now()));
      onFault(fault.name);
      const from = Date.now();
      const window: Window = { name: fault.name, from, to: Infinity, times: 0 };
      world.history.windows.push(window);
      try {
        const struck = await fault.strike(world, new Chance(seed));
        window.what = struck.what;
        await sleep(Math.max(0, from + seconds * 1000 - Date.now()));
        window.times = await struck.end();
      } catch (error) {
        // Another fault had already broken what this one was to break; the count of 0 says so.
        window.what = `could not strike: ${String(error)}`;
      } finally {
        window.to = Date.now();
      }
    }),
  );
}

/** As an orchestrator does, restarts processes that ended by themselves. Returns which ones, and how to stop it. */
export function superviseParts(world: World): { raised: string[]; stop(): Promise<void> } {
  const raised: string[] = [];
  const stopping = new AbortController();
  const { postgres, temporal, server, workers } = world.parts;
  const parts: Part[] = [postgres, ...temporal, server, ...workers.map(({ part }) => part)];
  const watching = (async () => {
    while (!stopping.signal.aborted) {
      for (const part of parts.filter(({ hasFallen }) => hasFallen)) {
        raised.push(`${part.name} (${part.ended ?? ''})`);
        // One that cannot start yet is tried again.
        part.start().catch(() => undefined);
      }
      await sleep(500, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  })();
  return {
    raised,
    stop: async () => {
      stopping.abort();
      await watching;
    },
  };
}
