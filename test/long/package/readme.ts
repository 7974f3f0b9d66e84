import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The README's JavaScript block that contains a call. */
export function readmeCode(call: string): string {
  const readme = readFileSync(join(__dirname, '..', '..', '..', 'README.md'), 'utf8');
  const code = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, block = '']) => block);
  const [found, ...more] = code.filter((block) => block.includes(call));
  if (found === undefined || more.length > 0)
    throw new Error(`README.md has not one block that calls ${call}`);
  return found;
}
