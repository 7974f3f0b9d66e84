import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CACHE } from './cache';
import type { Say } from './services';
import { runStep } from './steps';

/** Newer releases replace modules in their go.mod, which `go install` refuses. */
const GO_MODULE = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const BIN = join(CACHE, 'bin');
const PROGRAM = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
const DOWNLOAD_DEADLINE_MS = 60_000;
const BUILD_DEADLINE_MS = 15 * 60_000;

/**
 * Finds the Temporal CLI, or gets it: `$TEMPORAL_CLI`, PATH, the repository's cache, the official download, and last
 * a build by Go (about three minutes, once).
 *
 * @returns the program's path
 * @throws Error that names everything that was tried and how to install it by hand
 */
export async function findTemporalCli({ say }: { say: Say }): Promise<string> {
  const named = process.env['TEMPORAL_CLI'];
  if (named) {
    if (works(named)) return named;
    throw new Error(
      `TEMPORAL_CLI names ${named}, which does not run. Correct it, or unset it to have the CLI found.`,
    );
  }
  const cached = join(BIN, PROGRAM);
  const found = [
    ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, PROGRAM)),
    cached,
  ];
  const there = found.find((path) => existsSync(path) && works(path));
  if (there) return there;

  const failures: string[] = [];
  for (const get of [download, build]) {
    try {
      mkdirSync(BIN, { recursive: true });
      await get(cached, say);
      return cached;
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
      say(failures.at(-1) ?? '');
    }
  }
  throw new Error(
    [
      'The Temporal CLI is missing: it is neither in PATH nor in .cache/bin, and it could not be got:',
      ...failures.map((failure) => `  - ${failure}`),
      'Install it (https://docs.temporal.io/cli/setup-cli), or install Go 1.24 or newer and start again,',
      'or set TEMPORAL_CLI to the program, or TEMPORAL_ADDRESS to a server that runs already.',
    ].join('\n'),
  );
}

function works(path: string): boolean {
  return spawnSync(path, ['--version'], { stdio: 'ignore', timeout: 30_000 }).status === 0;
}

async function download(target: string, say: Say): Promise<void> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const url = `https://temporal.download/cli/archive/latest?platform=${platform}&arch=${arch}`;
  const folder = mkdtempSync(join(BIN, 'download-'));
  try {
    say('Downloading the Temporal CLI from temporal.download …');
    const archive = join(folder, 'archive');
    await fetchTo(url, archive, say);
    // bsdtar, which is Windows' and macOS' tar, reads the zip that Windows gets as well.
    execFileSync('tar', ['-xf', archive, '-C', folder]);
    const program = join(folder, PROGRAM);
    if (!works(program)) throw new Error('the downloaded program does not run on this machine');
    renameSync(program, target);
  } catch (error) {
    throw new Error(`The download from temporal.download failed: ${reason(error)}`, { cause: error });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function fetchTo(url: string, file: string, say: Say): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_DEADLINE_MS) });
  if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`);
  const total = Number(response.headers.get('content-length') ?? 0);
  let received = 0;
  let saidAt = Date.now();
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    chunks.push(chunk);
    received += chunk.length;
    if (Date.now() - saidAt > 2000) {
      say(`  ${megabytes(received)}${total ? ` of ${megabytes(total)}` : ''} MB`);
      saidAt = Date.now();
    }
  }
  await writeFile(file, Buffer.concat(chunks));
}

async function build(target: string, say: Say): Promise<void> {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) {
    throw new Error('Go, which could build it, is not installed');
  }
  const home = process.env['HOME'] ? {} : { GOPATH: join(CACHE, 'go'), GOCACHE: join(CACHE, 'go-build') };
  await runStep(
    {
      what: `Building the Temporal CLI with Go (about three minutes, once; it stays in .cache/bin)`,
      command: 'go',
      args: ['install', GO_MODULE],
      env: { ...process.env, ...home, GOBIN: BIN, GOFLAGS: '' },
      timeoutMs: BUILD_DEADLINE_MS,
    },
    say,
  );
  if (!works(target)) throw new Error('Go built a Temporal CLI that does not run');
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);

function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // fetch hides why it failed in the cause: "fetch failed" alone helps nobody.
  return error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message;
}

// By itself it prints the path, for shell scripts.
if (require.main === module) {
  findTemporalCli({ say: (line) => process.stderr.write(`${line}\n`) }).then(
    (path) => process.stdout.write(`${path}\n`),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
