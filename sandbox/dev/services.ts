import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Prints one line of progress for a person. */
export type Say = (line: string) => void;

/** What to run, and where its output goes. */
export interface ServiceSpec {
  /** How people call it: it stands in messages. */
  name: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** stdout and stderr are appended here; it is its owner's alone, as is every file that the service makes. */
  logFile: string;
  /** The system user to run as; only root may choose. */
  uid?: number;
  gid?: number;
  /** @defaultValue SIGTERM */
  stopSignal?: NodeJS.Signals;
  /** Milliseconds between the stop signal and SIGKILL. @defaultValue 10000 */
  graceMs?: number;
}

/** A child process that runs until it is stopped. */
export interface Service {
  readonly name: string;
  readonly pid: number;
  readonly stopSignal: NodeJS.Signals;
  /** How it ended, or undefined while it runs. */
  readonly ended: () => string | undefined;
  /** Resolves with how it ended, whoever ended it. */
  readonly exit: Promise<string>;
  /** The end of its log, for a message about its death. */
  readonly tail: (lines?: number) => string;
  /** Asks it to end, kills its whole group after the grace time; resolves once it has ended. */
  readonly stop: () => Promise<void>;
  /** Ends its whole group at once. */
  readonly kill: () => void;
}

const running: Service[] = [];
const watchers: Array<(services: readonly Service[]) => void> = [];
let stopping = false;

/** Tells of the services that run, in the order of their start, now and whenever one starts or ends. */
export function watchServices(watcher: (services: readonly Service[]) => void): void {
  watchers.push(watcher);
  watcher(running);
}

/** Stops every service that runs, the youngest first; none can be started from then on. */
export async function stopServices(): Promise<void> {
  stopping = true;
  for (const service of running.toReversed()) await service.stop();
}

/** Ends every service at once; for somebody who presses Ctrl-C a second time. */
export function killServices(): void {
  stopping = true;
  for (const service of running) service.kill();
}

/**
 * Starts a child process in a process group of its own, so that Ctrl-C in the terminal reaches the parent alone, which
 * then stops its children in the right order.
 *
 * @throws Error when the command cannot be started at all
 */
export async function startService(spec: ServiceSpec): Promise<Service> {
  if (stopping) throw new Error(`${spec.name} is not started any more: everything is being stopped`);
  const child = spawnIntoLog(spec);
  if (child.pid === undefined) {
    const error = await new Promise<Error>((resolve) => child.once('error', resolve));
    throw new Error(`${spec.name} cannot be started: ${error.message}`);
  }
  const service = serviceOf(child, child.pid, spec);
  running.push(service);
  announce();
  void service.exit.then(() => {
    running.splice(running.indexOf(service), 1);
    announce();
  });
  return service;
}

function spawnIntoLog(spec: ServiceSpec): ChildProcess {
  mkdirSync(dirname(spec.logFile), { recursive: true, mode: 0o700 });
  const log = openSync(spec.logFile, 'a', 0o600);
  // A child inherits it.
  const umask = process.umask(0o077);
  try {
    return spawn(spec.command, spec.args, {
      cwd: spec.cwd,
      env: spec.env ?? process.env,
      stdio: ['ignore', log, log],
      detached: true,
      ...(spec.uid === undefined ? {} : { uid: spec.uid, gid: spec.gid }),
    });
  } finally {
    process.umask(umask);
    closeSync(log);
  }
}

function serviceOf(child: ChildProcess, pid: number, spec: ServiceSpec): Service {
  const { name, stopSignal = 'SIGTERM', graceMs = 10_000, logFile } = spec;
  let ended: string | undefined;
  const kill = (): void => signalGroup(pid, 'SIGKILL');
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = signal ? `killed by ${signal}` : `exit code ${code ?? 'unknown'}`;
      // Whatever it started itself goes with it.
      kill();
      resolve(ended);
    });
  });
  const stop = async (): Promise<void> => {
    if (ended !== undefined) return;
    child.kill(stopSignal);
    const tooLate = setTimeout(kill, graceMs);
    await exit;
    clearTimeout(tooLate);
  };
  return {
    name,
    pid,
    stopSignal,
    ended: () => ended,
    exit,
    tail: (lines) => tailOf(logFile, lines),
    stop,
    kill,
  };
}

const announce = (): void => watchers.forEach((watcher) => watcher(running));

/**
 * Waits until a service answers.
 *
 * @param probe - resolves when it answers, rejects when it does not yet
 * @throws Error with the end of the service's log when it ends first or has not answered after `timeoutMs`
 */
export async function untilReady(
  service: Service,
  probe: () => Promise<unknown>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const how = service.ended();
    if (how !== undefined) {
      throw new Error(`${service.name} ended while it started (${how}):\n${service.tail()}`);
    }
    try {
      await probe();
      return;
    } catch (error) {
      if (Date.now() > deadline) {
        throw new Error(`${service.name} does not answer after ${timeoutMs / 1000} s:\n${service.tail()}`, {
          cause: error,
        });
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The last lines of a log file, indented, and cut where a line would fill the screen. */
export function tailOf(logFile: string, lines = 15): string {
  try {
    const all = readFileSync(logFile, 'utf8').trimEnd().split('\n');
    return all
      .slice(-lines)
      .map((line) => `    ${line.slice(0, 400)}`)
      .join('\n');
  } catch {
    return '    (no log)';
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: the group has ended already.
  }
}
