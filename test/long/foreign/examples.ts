import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { ROOT } from '../../../dev/places';

const EXAMPLES = join(ROOT, 'docs', 'examples');

export type Command = readonly [program: string, ...args: string[]];

/** A program of docs/examples. */
export const example = (file: string): string => readFileSync(join(EXAMPLES, file), 'utf8');

/** A running example: what it has printed, and how to stop it. */
export interface RunningProgram {
  printed(): string;
  stop(): Promise<void>;
}

/** Starts one; it listens on `PORT` a little later. */
export function run(
  folder: string,
  [program, ...args]: Command,
  env: Record<string, string>,
): RunningProgram {
  const { PATH, HOME } = process.env;
  const child = spawn(program, args, { cwd: folder, env: { PATH, HOME, ...env } });
  let printed = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    printed: () => printed,
    stop: () => {
      child.kill();
      return ended;
    },
  };
}

export const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => socket.destroy());
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
