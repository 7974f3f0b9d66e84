import type { ScheduleState } from '../index';
import type { CliCommand, WhoAndWhy } from './command';
import { WHO_AND_WHY, answer } from './command';
import type { Paint } from './screen';
import { when } from './screen';

interface Words {
  /** What the Schedule starts, in the plural. */
  runs: string;
  /** In the help of `pause`. */
  effect: string;
}

/** The group of commands of each Schedule. */
const GROUPS = { sweep: 'sweep', followUp: 'follow-up', reconcile: 'reconcile' } as const;

/** The commands that pause and resume a Schedule. */
export function scheduleCommands(schedule: keyof typeof GROUPS, { runs, effect }: Words): CliCommand[] {
  const group = GROUPS[schedule];
  return [
    {
      name: 'pause',
      summary: `stop the Schedule from starting ${runs}`,
      description: `Pauses the Schedule. ${effect}`,
      options: WHO_AND_WHY,
      examples: [`${group} pause --reason "Alipay maintains its gateway until 06:00"`],
      act: async ({ payments }, { actor, reason }: WhoAndWhy) =>
        answer(await payments[schedule].pause(`${actor}: ${reason}`), describeSchedule),
    },
    {
      name: 'resume',
      summary: `let the Schedule start ${runs} again`,
      options: WHO_AND_WHY,
      examples: [`${group} resume --reason "the gateway is back"`],
      act: async ({ payments }, { actor, reason }: WhoAndWhy) =>
        answer(await payments[schedule].resume(`${actor}: ${reason}`), describeSchedule),
    },
  ];
}

/** When a Schedule starts its next three runs. */
export function nextRuns(times: readonly Date[]): string {
  return ['Its next runs:', ...times.slice(0, 3).map((time) => `  ${when(time)}`)].join('\n');
}

/** The state of a Schedule, and the reason for it. */
function describeSchedule(paint: Paint, { scheduleId, paused, note, nextTimes }: ScheduleState): string {
  const what = paused ? paint('yellow', 'paused') : paint('green', 'running');
  const because = note ? ` (${note})` : '';
  return `Schedule ${paint('bold', scheduleId)} is ${what}${because}.${paused ? '' : ` ${nextRuns(nextTimes)}`}`;
}
