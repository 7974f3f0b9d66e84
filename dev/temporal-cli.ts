import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { inWords } from '../worker/log';
import { CACHE } from './places';
import type { Say } from './services';
import { runStep } from './steps';

/** `go install` refuses newer releases, because their go.mod replaces modules. */
const GO_MODULE = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const BIN = join(CACHE, 'bin');
/** The path to which it is downloaded or built. */
const TARGET = join(BIN, 'temporal');

/**
 * Finds the Temporal CLI or gets it: `$TEMPORAL_CLI`, PATH, the repository's cache, the official download, and finally
 * a build with Go (about three minutes, once).
 *
 * @returns the program's path
 * @throws Error that lists everything that was tried, and how to install it by hand
 */
export async function findTemporalCli({ say }: { say: Say }): Promise<string> {
  const named = process.env['TEMPORAL_CLI'];
  if (named) {
    if (works(named)) return named;
    throw new Error(
      `TEMPORAL_CLI is ${named}, which does not run. Fix it, or unset it to let the CLI be found.`,
    );
  }
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), BIN];
  const found = folders.map((folder) => join(folder, 'temporal')).find(works);
  if (found) return found;

  mkdirSync(BIN, { recursive: true });
  const failures: string[] = [];
  for (const get of [download, build]) {
    const failure = await get(say).then(() => undefined, inWords);
    if (failure === undefined) return TARGET;
    failures.push(failure);
    say(failure);
  }
  throw new Error(
    [
      'The Temporal CLI is missing: it is neither in PATH nor in .cache/bin, and getting it failed:',
      ...failures.map((failure) => `  - ${failure}`),
      'Install it (https://docs.temporal.io/cli/setup-cli), or install Go 1.24 or newer and start again,',
      'or set TEMPORAL_CLI to the program, or TEMPORAL_ADDRESS to a running server.',
    ].join('\n'),
  );
}

const works = (path: string): boolean =>
  spawnSync(path, ['--version'], { stdio: 'ignore', timeout: 30_000 }).status === 0;

async function download(say: Say): Promise<void> {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const url = `https://temporal.download/cli/archive/latest?platform=${process.platform}&arch=${arch}`;
  const folder = mkdtempSync(join(BIN, 'download-'));
  try {
    say('Downloading the Temporal CLI from temporal.download …');
    const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const input = Buffer.from(await response.arrayBuffer());
    execFileSync('tar', ['-xzf', '-', '-C', folder], { input });
    const program = join(folder, 'temporal');
    if (!works(program)) throw new Error('the downloaded program does not run on this machine');
    renameSync(program, TARGET);
  } catch (error) {
    // fetch hides the reason in the cause: "fetch failed" by itself is useless.
    const cause = (error as Error).cause ?? error;
    throw new Error(`The download from temporal.download failed: ${inWords(cause)}`, { cause });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function build(say: Say): Promise<void> {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    throw new Error('Go, which could build it, is not installed');
  }
  const home = process.env['HOME'] ? {} : { GOPATH: join(CACHE, 'go'), GOCACHE: join(CACHE, 'go-build') };
  await runStep(
    {
      what: 'Building the Temporal CLI with Go (about three minutes, once; it stays in .cache/bin)',
      command: 'go',
      args: ['install', GO_MODULE],
      env: { ...process.env, ...home, GOBIN: BIN, GOFLAGS: '' },
      timeoutMs: 15 * 60_000,
    },
    say,
  );
  if (!works(TARGET)) throw new Error('Go built a Temporal CLI that does not run');
}
