import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { delimiter, join } from 'node:path';
import type { CertificateFiles } from '../../../sandbox';
import type { KeyForms } from '../../../sandbox/setup';
import { CACHE } from '../../../dev/places';
import type { Command } from './examples';
import { reasonOf, runNow } from './preparation';

/** A shop's settings, which each client takes in its own way. */
export interface Merchant {
  gateway: string;
  appId: string;
  privateKey: KeyForms;
  /** Base64 without header and footer. */
  alipayPublicKey: string;
  /** In certificate mode. */
  certificates?: CertificateFiles | undefined;
  charset: 'utf-8' | 'GBK';
  signType: 'RSA2' | 'RSA';
}

/**
 * One line of JSON each on the standard input of a client's program, which responds to each with a `ClientAnswer` on
 * one line: a page to pay on, a call to the gateway, the check of a notification that was posted as `form`.
 */
export type ClientCommand = { merchant: Merchant } & (
  | { do: 'payUrl' | 'payForm'; biz: Biz; notifyUrl: string }
  | { do: 'call'; method: string; biz: Biz }
  | { do: 'checkNotification'; form: string }
);

/** Only for Java, which can sign in Alipay's place. */
export type SigningCommand = { privateKey: string } & (
  { do: 'sign'; content: string } | { do: 'signNotification'; fields: Record<string, string> }
);

export type Biz = Record<string, string>;

export type ClientAnswer = Partial<{
  page: string;
  /** The fields of an answer, with the gateway's wrapper (`…_response`) or without. */
  answer: Record<string, unknown>;
  genuine: boolean;
  sign: string;
  /** Why the client threw. */
  refused: string;
}>;

/** What a client can do besides page URLs, calls and notifications in UTF-8 with RSA2 and keys. */
type Skill = 'form' | 'certificates' | 'GBK' | 'RSA' | 'renewal' | 'signing';

/** A client: how to build its program in its own folder, and run it there. */
interface Client {
  /** The folder with its program. */
  sources: string;
  skills: readonly Skill[];
  /** How it rejects an answer with a false signature. */
  falseSignature: RegExp;
  /** What must be on this machine even once the program is built. */
  needs: readonly Command[];
  /** Gets its packages. If this fails, the client is skipped. */
  fetch: readonly Command[];
  build: readonly Command[];
  run: Command;
}

// Small and fast to start; and the SDK reads and writes some bytes in the platform's encoding, ASCII without a locale.
const JAVA = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dfile.encoding=UTF-8'];

const pip = (version: string): Command => {
  return ['python3', '-m', 'pip', 'install', '--quiet', '--target', 'packages', version];
};

const python = (client: string): Command => ['python3', 'alipay_by_python.py', client];

const go = (client: string): Client => ({
  sources: 'go',
  skills: ['certificates'],
  falseSignature: /verification error/,
  needs: [['go', 'version']],
  fetch: [['go', 'mod', 'download']],
  build: [['go', 'build', '-o', 'alipay-by-go', '.']],
  run: ['./alipay-by-go', client],
});

/** By name. A missing skill is missing in the client itself. */
export const CLIENTS: Readonly<Record<string, Client>> = {
  "Java, Alipay's official SDK": {
    sources: 'java',
    skills: ['form', 'certificates', 'GBK', 'RSA', 'renewal', 'signing'],
    falseSignature: /(sign|cert) check fail/,
    needs: [['javac', '--version']],
    fetch: [['mvn', '--quiet', '--batch-mode', 'dependency:copy-dependencies', '-DoutputDirectory=lib']],
    build: [['javac', '-encoding', 'UTF-8', '-cp', join('lib', '*'), 'AlipayByJava.java']],
    run: ['java', ...JAVA, '-cp', ['.', join('lib', '*')].join(delimiter), 'AlipayByJava'],
  },
  'Node, alipay-sdk': {
    sources: 'node',
    skills: ['form', 'certificates', 'RSA'],
    falseSignature: /验签失败/,
    needs: [],
    fetch: [],
    build: [],
    run: [process.execPath, 'alipay-by-node.mjs'],
  },
  'Go, smartwalle/alipay': go('smartwalle'),
  'Go, go-pay/gopay': go('gopay'),
  'Python, alipay-sdk-python': {
    sources: 'python',
    skills: ['form', 'GBK', 'RSA'],
    falseSignature: /sign verify failed/,
    needs: [['python3', '--version']],
    fetch: [pip('alipay-sdk-python==3.7.1411')],
    build: [],
    run: python('alipay-sdk-python'),
  },
  'Python, python-alipay-sdk': {
    sources: 'python',
    skills: ['certificates', 'RSA'],
    falseSignature: /AliPayValidationError/,
    needs: [['python3', '--version']],
    fetch: [pip('python-alipay-sdk==3.4.0')],
    build: [],
    run: python('python-alipay-sdk'),
  },
};

/**
 * Builds a client's program, once: it stays in the repository's cache as long as sources and commands are the same. The
 * folder is complete or absent, even if the build is interrupted.
 *
 * @returns its folder, or why it is not available here
 * @throws Error if the program itself does not compile
 */
export function prepare({ sources, needs, fetch, build }: Client): { folder: string } | { missing: string } {
  const from = join(__dirname, sources);
  const digest = createHash('sha256').update(JSON.stringify([fetch, build]));
  for (const file of readdirSync(from).sort()) digest.update(readFileSync(join(from, file)));
  const folder = join(CACHE, 'clients', `${sources}.${digest.digest('hex').slice(0, 12)}`);
  const unfinished = `${folder}.${process.pid}`;
  try {
    for (const command of needs) runNow(from, ...command);
    if (existsSync(folder)) return { folder };
    cpSync(from, unfinished, { recursive: true });
    for (const command of fetch) runNow(unfinished, ...command);
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true });
    return { missing: reasonOf(error) };
  }
  try {
    for (const command of build) runNow(unfinished, ...command);
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return { folder };
}

/** A client in its own process; it executes one command after the other. */
export class RunningClient {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: { resolve: (answer: ClientAnswer) => void; reject: (error: Error) => void }[] = [];
  #complaints = '';

  constructor(folder: string, [program, ...args]: Command) {
    const env = { ...process.env, PYTHONPATH: join(folder, 'packages'), TZ: 'Asia/Shanghai' };
    const child = spawn(program, args, { cwd: folder, env });
    createInterface({ input: child.stdout }).on('line', (line) =>
      this.#waiting.shift()?.resolve(JSON.parse(line) as ClientAnswer),
    );
    child.stderr.on('data', (chunk: Buffer) => (this.#complaints += chunk.toString()));
    // A process that has ended takes no more commands; its `close` event reports that.
    child.stdin.on('error', () => undefined);
    child.once('error', (error) => this.#giveUp(error.message));
    child.once('close', () => this.#giveUp(this.#complaints));
    this.#process = child;
  }

  /** @throws Error with what the client printed, if it has ended */
  ask(command: ClientCommand | SigningCommand): Promise<ClientAnswer> {
    if (this.#process.exitCode !== null) return Promise.reject(hasEnded(this.#complaints));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#process.stdin.write(`${JSON.stringify(command)}\n`);
    });
  }

  /** Ends the process and waits for its exit. */
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

const hasEnded = (why: string): Error => new Error(`The client has ended: ${why}`);
