import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

// CPU time as Linux counts it in /proc. Unlike payments per second, it does not depend on how much of the machine
// others use; shared caches and hyper-threads still affect it.

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** The fields of /proc/<pid>/stat after the command name, which may contain spaces; undefined if it has ended. */
function statOf(pid: number | string): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** man proc_pid_stat: field 4 is the parent, 14 to 17 are utime, stime, cutime, cstime; counted from the third. */
const [PARENT, UTIME, CSTIME] = [1, 11, 14];

/** CPU seconds of a process and all its children, including those that ended: PostgreSQL has one per connection. */
export function cpuSeconds(pid: number): number {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const children = processes.map(statOf).filter((stat) => stat?.[PARENT] === String(pid));
  const ticks = [statOf(pid), ...children]
    .flatMap((stat) => stat?.slice(UTIME, CSTIME + 1) ?? [])
    .reduce((sum, field) => sum + Number(field), 0);
  return ticks / TICKS_PER_SECOND;
}

/** CPU seconds that the whole machine was busy, and had in all: shows how much others used. */
export function machineSeconds(): { busy: number; all: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const all = fields.reduce((sum, field) => sum + field, 0);
  const [, , , idle = 0, iowait = 0] = fields;
  return { busy: (all - idle - iowait) / TICKS_PER_SECOND, all: all / TICKS_PER_SECOND };
}

/** Resident memory of a process in MB: now, and at its peak. */
export function memoryOf(pid: number): { now: number; most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name: string): number =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024);
  return { now: megabytes('VmRSS'), most: megabytes('VmHWM') };
}

/**
 * Gives a process a fifth of the CPU weight of others (nice 7), as `cpu_shares` does for a container. Each process of a
 * rig has its own session; if Linux groups by session, a thread's priority counts only within its session.
 */
export function lowerWeight(pid: number): void {
  for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), 7);
  if (existsSync(`/proc/${pid}/autogroup`)) writeFileSync(`/proc/${pid}/autogroup`, '7');
}
