import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { waitFor } from './wait-for';

/** Prints one line of progress for a person. */
export type Say = (line: string) => void;

/** What to run, and where its output goes. */
export interface ServiceSpec extends Pick<SpawnOptions, 'env' | 'cwd' | 'uid' | 'gid'> {
  /** Its name in messages. */
  name: string;
  command: string;
  args: string[];
  /** stdout and stderr are appended to it. Only its owner can read it, like every file that the service creates. */
  logFile: string;
  /** @defaultValue SIGTERM */
  stopSignal?: NodeJS.Signals;
  /** Milliseconds between the stop signal and SIGKILL. @defaultValue 10000 */
  graceMs?: number;
  /** Resolves if the service responds, rejects if it does not yet. */
  ready?: (service: Service) => Promise<unknown>;
}

/** A child process that runs until it is stopped. */
export type Service = Readonly<ReturnType<typeof serviceOf>>;

const running: Service[] = [];
let stopping = false;
let guardian: ChildProcess | undefined;
let onDeath: Parameters<typeof guardServices>[0];

/** Stops every service, the newest first, and dismisses the guardian. No other one can be started after that. */
export async function stopServices(): Promise<void> {
  stopping = true;
  for (const service of running.toReversed()) await service.stop();
  guardian?.stdin?.end();
}

/** Kills every service at once. */
export function killServices(): void {
  stopping = true;
  for (const service of running) service.kill();
}

/**
 * Starts a child process in its own process group: Ctrl-C in the terminal reaches only the parent, which then stops its
 * children in order. Resolves once it is `ready`.
 *
 * @throws Error if the command cannot be started, or like {@link untilReady}; then it is stopped
 */
export async function startService(spec: ServiceSpec): Promise<Service> {
  if (stopping) throw new Error(`${spec.name} is not started: everything is being stopped`);
  const child = spawnIntoLog(spec);
  if (child.pid === undefined) {
    const error = await new Promise<Error>((resolve) => child.once('error', resolve));
    throw new Error(`${spec.name} cannot be started: ${error.message}`);
  }
  const service = serviceOf(child, child.pid, spec);
  running.push(service);
  tellGuardian();
  void service.exit.then(() => {
    running.splice(running.indexOf(service), 1);
    tellGuardian();
  });
  try {
    if (spec.ready) await untilReady(service, spec.ready);
  } catch (error) {
    await service.stop();
    throw error;
  }
  void service.exit.then((how) =>
    onDeath?.(new Error(`${service.name} exited unexpectedly (${how}):\n${service.tail()}`)),
  );
  return service;
}

function spawnIntoLog({ command, args, env, cwd, logFile, uid, gid }: ServiceSpec): ChildProcess {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 });
  const log = openSync(logFile, 'a', 0o600);
  // A child process inherits it.
  const umask = process.umask(0o077);
  try {
    return spawn(command, args, { cwd, env, uid, gid, stdio: ['ignore', log, log], detached: true });
  } finally {
    process.umask(umask);
    closeSync(log);
  }
}

function serviceOf(child: ChildProcess, pid: number, spec: ServiceSpec) {
  const { name, stopSignal = 'SIGTERM', graceMs = 10_000, logFile } = spec;
  let ended: string | undefined;
  const kill = (): void => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // ESRCH: the group has already ended.
    }
  };
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = signal ? `killed by ${signal}` : `exit code ${code ?? 'unknown'}`;
      // Whatever it started ends with it.
      kill();
      resolve(ended);
    });
  });
  return {
    name,
    pid,
    stopSignal,
    /** How it ended; undefined while it is running. */
    ended: () => ended,
    /** Resolves with how it ended. */
    exit,
    /** The last lines of its log. */
    tail: (lines?: number) => tailOf(logFile, lines),
    /** Asks it to end, kills its process group after the grace time, and resolves once it has ended. */
    stop: async () => {
      if (ended !== undefined) return;
      child.kill(stopSignal);
      const tooLate = setTimeout(kill, graceMs);
      await exit;
      clearTimeout(tooLate);
    },
    /** Kills its process group at once. */
    kill,
  };
}

/**
 * Waits until a service responds.
 *
 * @param probe - resolves if it responds, rejects if it does not yet
 * @throws Error with the end of the service's log if it ends first or has not responded after `timeoutMs`
 */
export async function untilReady(
  service: Service,
  probe: (service: Service) => Promise<unknown>,
  timeoutMs = 60_000,
): Promise<void> {
  const fail = (what: string, cause?: unknown): never => {
    throw new Error(`${service.name} ${what}:\n${service.tail()}`, { cause });
  };
  const endedOrReady = async (): Promise<unknown> => service.ended() ?? probe(service).then(() => true);
  await waitFor(endedOrReady, { what: service.name, timeoutMs, everyMs: 100 }).catch((error: unknown) =>
    fail(`is not ready after ${timeoutMs / 1000} s`, (error as Error).cause),
  );
  const how = service.ended();
  if (how !== undefined) fail(`exited during startup (${how})`);
}

/** The last lines of a log file, indented; lines that would fill the screen are cut. */
export function tailOf(logFile: string, lines = 15): string {
  try {
    const all = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-lines);
    return all.map((line) => `    ${line.slice(0, 400)}`).join('\n');
  } catch {
    return '    (no log)';
  }
}

/** Reads lines until its input closes, as it does when this process ends, and then executes the last line. */
const GUARDIAN = `
alive() { kill -0 "$1" 2>/dev/null && ! grep -qs '^State:.Z' "/proc/$1/status"; }
end() {
  kill -s "$1" "$2"; tries=0
  while alive "$2" && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
  kill -s KILL -- "-$2"
}
last=; while read -r line; do last=$line; done; eval "$last"`;

/**
 * From now on every service ends with this process, even if that is killed with -9.
 *
 * @param tell - called for every service that ends after it was ready, with the end of its log
 */
export function guardServices(tell?: (error: Error) => void): void {
  onDeath = tell;
  const shell = spawn('sh', ['-c', GUARDIAN], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  // Everything works without a guardian; only less is cleaned up after a kill -9.
  for (const emitter of [shell, shell.stdin]) emitter.on('error', () => undefined);
  guardian = shell;
  tellGuardian();
}

function tellGuardian(): void {
  const ends = running.toReversed().map(({ pid, stopSignal }) => `end ${stopSignal.slice(3)} ${pid}`);
  guardian?.stdin?.write(`${ends.join('; ')}\n`);
}
