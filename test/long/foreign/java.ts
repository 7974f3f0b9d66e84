import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { CACHE } from '../../../dev/places';
import type { Say } from '../../../dev/services';
import { runStep } from '../../../dev/steps';

const SOURCES = join(__dirname, 'java');
const FOLDER = join(CACHE, 'foreign-java');
const MAVEN_DEADLINE_MS = 5 * 60_000;
const COMPILER_DEADLINE_MS = 60_000;

/** What `AlipayByJava` answers to one command. */
export type JavaAnswer = Partial<{
  success: boolean;
  /** The whole answer of the gateway, as it came. */
  body: string;
  url: string;
  genuine: boolean;
  sign: string;
  /** Why the SDK threw. */
  refused: string;
}>;

/** Which programs Java's side needs and this machine does not have; empty where nothing is missing. */
export function missingPrograms(): string[] {
  return ['java', 'javac', 'mvn'].filter((program) => {
    try {
      execFileSync(program, ['--version'], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
}

/**
 * Gets Alipay's official Java SDK from Maven and compiles `AlipayByJava` on it, each once: what is in the repository's
 * cache already stays there, as long as its sources are the same.
 *
 * @returns the class path
 */
export async function prepareJava(say: Say): Promise<string> {
  const libraries = await once('pom.xml', say, (target) => ({
    what: "Copying Alipay's Java SDK from Maven",
    command: 'mvn',
    args: ['--quiet', '--batch-mode', 'dependency:copy-dependencies', `-DoutputDirectory=${target}`],
    cwd: SOURCES,
    timeoutMs: MAVEN_DEADLINE_MS,
  }));
  const classes = await once('AlipayByJava.java', say, (target) => ({
    what: 'Compiling AlipayByJava',
    command: 'javac',
    args: ['-cp', join(libraries, '*'), '-d', target, 'AlipayByJava.java'],
    cwd: SOURCES,
    timeoutMs: COMPILER_DEADLINE_MS,
  }));
  return [classes, join(libraries, '*')].join(process.platform === 'win32' ? ';' : ':');
}

/** Makes a folder of the cache from one source file; it is whole or absent, whatever interrupts the making. */
async function once(
  source: string,
  say: Say,
  step: (target: string) => Parameters<typeof runStep>[0],
): Promise<string> {
  const digest = createHash('sha256')
    .update(readFileSync(join(SOURCES, source)))
    .digest('hex')
    .slice(0, 12);
  const target = join(FOLDER, `${source}.${digest}`);
  if (existsSync(target)) return target;
  mkdirSync(FOLDER, { recursive: true });
  const unfinished = `${target}.${process.pid}`;
  try {
    await runStep(step(unfinished), say);
    renameSync(unfinished, target);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return target;
}

/** Alipay's official Java SDK in a process of its own; it carries out one command after the other. */
export class Java {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (answer: JavaAnswer) => void; reject: (error: Error) => void }[] = [];
  #complaints = '';

  constructor(classPath: string) {
    const child = spawn(
      'java',
      // Tuned to start fast and stay small.
      ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', classPath, 'AlipayByJava'],
    );
    createInterface({ input: child.stdout }).on('line', (line) =>
      this.#waiting.shift()?.resolve(JSON.parse(line) as JavaAnswer),
    );
    child.stderr.on('data', (chunk: Buffer) => (this.#complaints += chunk.toString()));
    // A process that has ended takes no more commands; its end shows that.
    child.stdin.on('error', () => undefined);
    child.once('error', (error) => this.#giveUp(error.message));
    child.once('close', () => this.#giveUp(this.#complaints));
    this.#process = child;
  }

  /** @throws Error with what Java printed, where it has ended */
  ask(command: Record<string, unknown>): Promise<JavaAnswer> {
    if (this.#process.exitCode !== null) return Promise.reject(hasEnded(this.#complaints));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(`${JSON.stringify(command)}\n`);
    });
  }

  /** Ends the process and waits until it has ended. */
  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('close', resolve));
    this.#process.stdin.end();
    await ended;
  }

  #giveUp(why: string): void {
    for (const { reject } of this.#waiting.splice(0)) reject(hasEnded(why));
  }
}

const hasEnded = (why: string): Error => new Error(`Java has ended: ${why}`);
