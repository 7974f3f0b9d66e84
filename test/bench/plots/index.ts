import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { growthChart, latenessChart, peersChart, throughputChart } from './charts';
import type { Report } from './figures';
import { contenders, growth, latenessSeries, pairs } from './figures';
import { draw } from './paper';

export { readReport } from './figures';

/** The plots that a report has figures for, as SVG, by name. The same report gives the same text. */
export function drawPlots(report: Report): Map<string, string> {
  const plots = new Map<string, string>();
  const late = latenessSeries(report);
  if (late.length > 0) plots.set('lateness', draw('lateness', latenessChart(late)));
  const grown = growth(report);
  if (grown.sweeps.length > 0) plots.set('growth', draw('growth', growthChart(grown)));
  const peers = contenders(report);
  if (peers.length > 0) plots.set('peers', draw('peers', peersChart(peers)));
  const both = pairs(report);
  if (both.length > 0) plots.set('throughput', draw('throughput', throughputChart(both)));
  return plots;
}

/** Writes them to a folder, and returns the files. */
export function writePlots(report: Report, folder: string): string[] {
  mkdirSync(folder, { recursive: true });
  return [...drawPlots(report)].map(([name, svg]) => {
    const file = join(folder, `${name}.svg`);
    writeFileSync(file, svg);
    return file;
  });
}
