import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { ENVIRONMENT } from '../../worker/config';
import type { EnvironmentVariable } from '../../worker/config';

const root = join(__dirname, '..', '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8');

const settings = readFileSync(join(root, 'docs', 'settings.md'), 'utf8');

/** The cells of the table under a heading, without the header, as rendered. */
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

/** A variable's item in the list of settings. */
function itemOf({ name, default: preset, required, meaning }: EnvironmentVariable): string {
  const shown = preset === undefined ? name : `${name}=${preset}`;
  return `- \`${shown}\`${required ? ' (required)' : ''}: ${meaning}`;
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

describe('our own packages, which are on no registry', () => {
  const versionOf = (folder: string): { name: string; version: string } =>
    JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as { name: string; version: string };
  const own = ['.', 'sandbox'].map(versionOf);
  const pages = ['.', 'docs', 'sandbox', 'sandbox/examples'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((file) => file.endsWith('.md'))
      .map((file) => ({ page: join(folder, file), text: readFileSync(join(root, folder, file), 'utf8') })),
  );

  it('are installed from the files of npm pack: whoever takes their names there is a stranger', () => {
    const names = new RegExp(`^(${own.map(({ name }) => name).join('|')})(@|$)`);
    const installed = pages.flatMap(({ page, text }) =>
      [...text.matchAll(/\bnpm (?:install|i|add)\b([^`\n|&;#]*)/g)].flatMap(([, words = '']) =>
        words.split(' ').map((word) => ({ page, word })),
      ),
    );
    expect(installed.map(({ word }) => word)).toEqual(
      expect.arrayContaining(own.map(({ name, version }) => `./${name}-${version}.tgz`)),
    );
    expect(installed.filter(({ word }) => names.test(word))).toEqual([]);
  });

  it('are named with that file wherever a README runs the sandbox by npx', () => {
    const files = pages.filter(({ page, text }) => /README/.test(page) && /npx.* alipay-sandbox/.test(text));
    expect(files).toHaveLength(5);
    const { name, version } = versionOf('sandbox');
    expect(files.filter(({ text }) => !text.includes(`${name}-${version}.tgz`))).toEqual([]);
  });

  it('are taken from the clone by its sample suites', () => {
    const { devDependencies } = JSON.parse(
      readFileSync(join(root, 'sandbox/examples/jest/package.json'), 'utf8'),
    ) as { devDependencies: Record<string, string> };
    const { version } = versionOf('sandbox');
    expect(devDependencies['alipay-sandbox']).toBe(`file:../../../alipay-sandbox-${version}.tgz`);
    const suites = ['go/payment_test.go', 'pytest/test_payment.py', 'junit/src/test/java/PaymentTest.java'];
    for (const suite of suites) {
      const text = readFileSync(join(root, 'sandbox/examples', suite), 'utf8');
      expect(text).toMatch(/npx --no-install alipay-sandbox/);
    }
  });
});

it('docs/settings.md lists every environment variable with its default, and no other', () => {
  const items = settings.split('\n').filter((line) => line.startsWith('- '));
  expect(items).toEqual(ENVIRONMENT.map(itemOf));
});
