import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';

const TIERS = ['unit', 'replay'];

it(`passes the tests of ${TIERS.join(' and ')} on Node 24 too, which npm brings`, async () => {
  const { PATH, HOME } = process.env;
  const onNode24 = (...args: string[]) =>
    promisify(execFile)('npx', ['--yes', '--package=node@24', '--', 'node', ...args], {
      cwd: join(__dirname, '..', '..'),
      env: { PATH, HOME },
      maxBuffer: Infinity,
    });
  const { stdout: version } = await onNode24('--version');
  expect(version).toMatch(/^v24\./);
  // If a test fails in there, this throws with everything that jest says.
  const { stderr } = await onNode24(
    'node_modules/jest/bin/jest.js',
    '--maxWorkers=1',
    '--selectProjects',
    ...TIERS,
  );
  expect(stderr).toMatch(/^Tests: .* \d+ passed/m);
}, 1_200_000);
