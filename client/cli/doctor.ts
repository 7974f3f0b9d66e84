import { Option } from 'commander';
import type { Finding, Verdict } from '../doctor';
import type { CliCommand } from './command';
import { answer } from './command';
import { EXIT } from './exit';
import type { Paint, Style } from './screen';
import { hint, visibleWords } from './screen';

const MARKS: Record<Verdict, [mark: string, style: Style]> = {
  ok: ['✓', 'green'],
  warning: ['!', 'yellow'],
  fault: ['✗', 'red'],
  skipped: ['-', 'dim'],
};

const NAME_WIDTH = 18;

export const DOCTOR: CliCommand = {
  kind: 'alone',
  name: 'doctor',
  summary: 'check the whole setup, and say what to fix',
  description:
    'Checks the environment, the keys, the clocks, the database, Temporal, the workers, the sweep and the gateway, ' +
    'one by one, and says what to do about each fault. It changes nothing. Exit code 0: no fault (there may be ' +
    'warnings); 1: there is one.',
  options: [
    new Option('--notify', 'also send an unsigned notification to ALIPAY_NOTIFY_URL: it must be refused'),
  ],
  examples: [
    'doctor',
    'doctor --notify',
    `doctor --json | jq -r '.findings[] | select(.verdict == "fault") | .advice'`,
  ],
  act: async ({ diagnose, say }, { notify = false }: { notify?: boolean }) => {
    const findings = await diagnose({
      notify,
      tell: (finding) => say((paint) => describeFinding(paint, visibleWords(finding))),
    });
    const sound = !findings.some(({ verdict }) => verdict === 'fault');
    return answer(
      { sound, findings },
      (paint, shown) => `\n${summary(paint, shown.findings)}`,
      sound ? EXIT.ok : EXIT.failure,
    );
  },
};

function describeFinding(paint: Paint, { check, verdict, says, advice }: Finding): string {
  const [mark, style] = MARKS[verdict];
  const indent = ' '.repeat(2 + NAME_WIDTH);
  const words = (verdict === 'skipped' ? `skipped: ${says}` : says).replaceAll('\n', `\n${indent}`);
  const line = `${paint(style, mark)} ${check.padEnd(NAME_WIDTH)}${verdict === 'skipped' ? paint('dim', words) : words}`;
  return advice === null ? line : `${line}\n${indent}${hint(paint, advice)}`;
}

function summary(paint: Paint, findings: readonly Finding[]): string {
  const count = (verdict: Verdict): number => findings.filter((one) => one.verdict === verdict).length;
  const [warnings, faults] = [count('warning'), count('fault')];
  const counts = [
    `${count('ok')} fine`,
    `${warnings} warning${warnings === 1 ? '' : 's'}`,
    `${faults} fault${faults === 1 ? '' : 's'}`,
    `${count('skipped')} skipped`,
  ].join(', ');
  return faults === 0 ? paint('green', counts) : paint('red', counts);
}
