import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How a process was started, ending in a blank; empty where there is no such process (any more). */
export function commandLine(pid: number): string {
  if (!Number.isInteger(pid) || pid <= 0) return '';
  try {
    if (process.platform === 'linux') {
      const parts = readFileSync(join('/proc', String(pid), 'cmdline'), 'utf8');
      return parts && `${parts.replaceAll('\0', ' ')} `;
    }
    return `${execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim()} `;
  } catch {
    return '';
  }
}
