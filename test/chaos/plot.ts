import { readFileSync, writeFileSync } from 'node:fs';
import { axisLook, draw, labelLook } from '../bench/plots/paper';
import type { Recovery } from './recovery';

// node --import tsx test/chaos/plot.ts <plot.svg> <measured.json>…: turns what runs with --out have measured, together,
// into the plot and the list of docs/reliability.md.

interface Measured {
  recoveries: Recovery[];
}

/** What the page shows. */
type Shown = Pick<Recovery, 'name' | 'struck' | 'longest'>;

function together(files: readonly string[]): Shown[] {
  const all = files.flatMap((file) => (JSON.parse(readFileSync(file, 'utf8')) as Measured).recoveries);
  const names = [...new Set(all.map(({ name }) => name))];
  return names
    .map((name) => {
      const mine = all.filter((one) => one.name === name);
      return {
        name,
        struck: mine.reduce((total, { struck }) => total + struck, 0),
        longest: Math.max(0, ...mine.map(({ longest }) => longest)),
      };
    })
    .sort((one, other) => one.longest - other.longest);
}

function plot(recoveries: readonly Shown[]): string {
  return draw(
    'recovery',
    {
      grid: { left: 300, right: 60, top: 16, bottom: 48 },
      xAxis: {
        ...axisLook,
        type: 'value',
        name: 'seconds from the end of the fault to the last late payment done',
        nameGap: 28,
      },
      yAxis: {
        ...axisLook,
        type: 'category',
        data: recoveries.map(({ name }) => name),
        axisLabel: { fontSize: 11, color: '#24292f', interval: 0 },
      },
      series: [
        {
          type: 'bar',
          barMaxWidth: 12,
          data: recoveries.map(({ longest }) => Math.round(longest * 10) / 10),
          label: { ...labelLook, position: 'right', fontSize: 11 },
        },
      ],
    },
    90 + 24 * recoveries.length,
  );
}

const [, , svg = '', ...files] = process.argv;
const recoveries = together(files);
writeFileSync(svg, plot(recoveries));
for (const { name, struck, longest } of recoveries.toReversed())
  process.stdout.write(`- **${name}** (${longest.toFixed(0)} s), struck ${struck} times\n`);
