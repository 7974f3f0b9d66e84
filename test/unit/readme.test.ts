import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ENVIRONMENT } from '../../worker/config';
import type { EnvironmentVariable } from '../../worker/config';

const root = join(__dirname, '..', '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

const settings = readFileSync(join(root, 'docs', 'settings.md'), 'utf8');

/** The cells of the table under a heading, without the header, as they read once rendered. */
function tableUnder(heading: string, page: string): string[][] {
  const [, section = ''] = page.split(`${heading}\n`);
  const lines =
    section
      .split('\n## ')[0]
      ?.split('\n')
      .filter((line) => line.startsWith('|')) ?? [];
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll(/\\([*_|])/g, '$1')),
  );
}

function rowOf({ name, default: value, required, meaning }: EnvironmentVariable): string[] {
  const preset = value === undefined ? '' : `\`${value}\``;
  return [`\`${name}\``, required ? '**required**' : preset, meaning];
}

describe('the README', () => {
  it('lists the environment variables that are required, and no other', () => {
    const required = ENVIRONMENT.filter((variable) => variable.required);
    expect(tableUnder('## Configuration', readme)).toEqual(
      required.map(({ name, meaning }) => [`\`${name}\``, meaning]),
    );
  });

  it('names npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object };
    const named = [...readme.matchAll(/npm run ([a-z]+)/g)].map(([, script]) => script);
    expect(named).not.toHaveLength(0);
    expect(named.filter((script) => !Object.hasOwn(scripts, script ?? ''))).toEqual([]);
  });

  it('shows pictures that exist', () => {
    const pictures = [...readme.matchAll(/docs\/images\/[\w-]+\.png/g)].map(([path]) => path);
    expect(pictures).not.toHaveLength(0);
    expect(pictures.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

it('docs/settings.md lists every environment variable with its default, and no other', () => {
  expect(tableUnder('# Settings', settings)).toEqual(ENVIRONMENT.map(rowOf));
});
