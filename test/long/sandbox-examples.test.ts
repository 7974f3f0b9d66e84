import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startSandbox, type Sandbox } from '../../sandbox';
import { reasonOf, runNow } from './foreign/preparation';

// Runs what the sandbox hands out as a stranger would: the sample suites, and the snippets of `/setup`. A language
// whose runtime or packages are missing here is skipped with a message.

const MINUTE = 60_000;
const root = join(__dirname, '..', '..');
const examples = join(root, 'sandbox', 'examples');
const folder = mkdtempSync(join(tmpdir(), 'sandbox-examples-'));
const environment = { ...process.env, ALIPAY_SANDBOX: `node ${join(root, 'sandbox', 'bin.js')}` };

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox();
});
afterAll(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  const options = { cwd, env: environment, timeout: 6 * MINUTE, maxBuffer: 1 << 24 };
  try {
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (error) {
    const { message, stdout = '' } = error as Error & { stdout?: string };
    throw new Error(`${message}\n${stdout}`, { cause: error });
  }
}

/** `it`, or a skipped one if a language cannot be prepared: no runtime, no network. Called before any test runs. */
function itWhere(language: string, prepare: () => void): typeof it | typeof it.skip {
  try {
    prepare();
    return it;
  } catch (error) {
    process.stderr.write(`Skipped: the sandbox's examples in ${language}. ${reasonOf(error)}\n`);
    return it.skip;
  }
}

/** Its own folder with a copy of an example. */
function copyOf(name: string): string {
  const target = join(folder, name);
  cpSync(join(examples, name), target, { recursive: true });
  return target;
}

/** Runs a snippet; the buyer pays what it prints. It exits by itself once its query says so. */
async function payBySnippet(
  id: string,
  file: string,
  cwd: string,
  command: string,
  ...args: string[]
): Promise<string> {
  const code = sandbox.setup.snippets.find((snippet) => snippet.id === id)?.code ?? '';
  writeFileSync(join(cwd, file), code);
  const running = promisify(execFile)(command, args, { cwd, timeout: 4 * MINUTE });
  const heard = { said: '', settled: false };
  running.child.stdout?.on('data', (chunk: Buffer | string) => (heard.said += chunk.toString()));
  const done = running.finally(() => (heard.settled = true));
  done.catch(() => undefined);
  while (!/Open this and pay: +\S+\s/.test(heard.said) && !heard.settled)
    await new Promise((wake) => setTimeout(wake, 50));
  const [, url = ''] = /Open this and pay: +(\S+)/.exec(heard.said) ?? [];
  if (url !== '') await sandbox.control.pay(url);
  return (await done).stdout;
}

describe('Node', () => {
  const modules = join(root, 'node_modules');

  it(
    'runs the suite for Jest',
    async () => {
      const here = copyOf('jest');
      // The suite gets the packed files, built here: another test builds in the checkout at the same time.
      const built = join(here, 'node_modules', 'alipay-sandbox');
      const tsc = join(modules, 'typescript', 'bin', 'tsc');
      const project = join(root, 'sandbox', 'tsconfig.build.json');
      await run(root, process.execPath, tsc, '-p', project, '--outDir', join(built, 'dist'));
      for (const part of ['package.json', 'assets'])
        cpSync(join(root, 'sandbox', part), join(built, part), { recursive: true });
      symlinkSync(modules, join(built, 'node_modules'));
      symlinkSync(join(modules, 'alipay-sdk'), join(here, 'node_modules', 'alipay-sdk'));
      const jest = join(modules, 'jest', 'bin', 'jest.js');
      // On a busy machine, making the sandbox's keys may take longer than jest's five seconds.
      await run(here, process.execPath, jest, '--rootDir', here, '--testTimeout', '60000');
    },
    14 * MINUTE,
  );

  it(
    'pays by the snippet',
    async () => {
      const here = mkdtempSync(join(folder, 'node-'));
      symlinkSync(modules, join(here, 'node_modules'));
      expect(await payBySnippet('node', 'pay.mjs', here, process.execPath, 'pay.mjs')).toContain(
        'TRADE_SUCCESS',
      );
    },
    6 * MINUTE,
  );
});

describe('Python', () => {
  const python = join(folder, 'venv', 'bin', 'python');

  const itInPython = itWhere('Python', () => {
    runNow(folder, 'python3', '-m', 'venv', 'venv');
    runNow(folder, python, '-m', 'pip', 'install', '--quiet', 'pytest==8.4.2', 'python-alipay-sdk==3.4.0');
  });

  itInPython(
    'runs the suite for pytest, and pays by the snippet',
    async () => {
      const here = copyOf('pytest');
      expect(await run(here, python, '-m', 'pytest', '-q')).toContain('2 passed');
      expect(await payBySnippet('python-alipay-sdk', 'pay.py', here, python, '-u', 'pay.py')).toContain(
        'TRADE_SUCCESS',
      );
    },
    12 * MINUTE,
  );
});

describe('Go', () => {
  const here = copyOf('go');
  const itInGo = itWhere('Go', () => runNow(here, 'go', 'mod', 'download'));

  itInGo(
    'runs the suite for go test, and pays by the snippet',
    async () => {
      expect(await run(here, 'go', 'test', './...')).toContain('ok');
      const main = join(here, 'main');
      cpSync(join(here, 'go.mod'), join(main, 'go.mod'));
      cpSync(join(here, 'go.sum'), join(main, 'go.sum'));
      expect(await payBySnippet('go-smartwalle', 'main.go', main, 'go', 'run', '.')).toContain(
        'TRADE_SUCCESS',
      );
    },
    12 * MINUTE,
  );
});

describe('Java', () => {
  const here = copyOf('junit');
  const libraries = join(here, 'lib');
  // Only what needs the network: a sample that does not compile is no reason to skip.
  const itInJava = itWhere('Java', () =>
    runNow(
      here,
      'mvn',
      '--quiet',
      '--batch-mode',
      'dependency:copy-dependencies',
      `-DoutputDirectory=${libraries}`,
    ),
  );

  itInJava(
    'runs the suite for JUnit, and pays by the snippet',
    async () => {
      await run(here, 'mvn', '--quiet', '--batch-mode', 'test');
      expect(existsSync(join(here, 'target', 'surefire-reports', 'TEST-PaymentTest.xml'))).toBe(true);
      const libs = join(libraries, '*');
      expect(await payBySnippet('java', 'Pay.java', here, 'java', '-cp', libs, 'Pay.java')).toContain(
        'TRADE_SUCCESS',
      );
    },
    12 * MINUTE,
  );
});
