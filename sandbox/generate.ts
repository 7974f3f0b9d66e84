import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { controlOpenApi, controlTable } from './control-description';

const BEGIN = '<!-- the control API: made by `npm run generate` -->';
const END = '<!-- the end of it -->';

/** What is generated from the control API's description: the name, the file, and its current text. */
export function generated(): [name: string, path: string, text: string][] {
  const read = (name: string) => readFileSync(join(__dirname, name), 'utf8');
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const readme = read('README.md');
  const [before, after] = [readme.indexOf(BEGIN) + BEGIN.length, readme.indexOf(END)];
  return [
    [
      'README.md',
      join(__dirname, 'README.md'),
      `${readme.slice(0, before)}\n\n${controlTable()}\n\n${readme.slice(after)}`,
    ],
    [
      'openapi.json',
      join(__dirname, 'openapi.json'),
      `${JSON.stringify(controlOpenApi(version), null, 2)}\n`,
    ],
  ];
}

if (require.main === module) for (const [, path, text] of generated()) writeFileSync(path, text);
