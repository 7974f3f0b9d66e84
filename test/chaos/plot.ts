import { readFileSync, writeFileSync } from 'node:fs';
import { axisLook, draw, labelLook } from '../bench/plots/paper';
import type { Recovery } from './recovery';

// node --import tsx test/chaos/plot.ts <plot.svg> <measured.json>…: what runs with --out have measured, together, as the plot and
// the table of docs/reliability.md.

interface Measured {
  recoveries: Recovery[];
}

/** What the page shows of it. */
type Shown = Omit<Recovery, 'times'>;

function together(files: readonly string[]): Shown[] {
  const all = files.flatMap((file) => (JSON.parse(readFileSync(file, 'utf8')) as Measured).recoveries);
  const names = [...new Set(all.map(({ name }) => name))];
  return names
    .map((name) => {
      const mine = all.filter((one) => one.name === name);
      const sum = (of: (one: Recovery) => number): number => mine.reduce((total, one) => total + of(one), 0);
      const late = mine.filter((one) => one.late > 0);
      return {
        name,
        struck: sum(({ struck }) => struck),
        late: sum(({ late: count }) => count),
        longest: Math.max(0, ...mine.map(({ longest }) => longest)),
        typical: late.reduce((total, { typical }) => total + typical, 0) / Math.max(1, late.length),
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
for (const { name, struck, late, longest } of recoveries.toReversed())
  process.stdout.write(`| ${name} | ${struck} | ${late} | ${late > 0 ? longest.toFixed(0) : '–'} |\n`);
