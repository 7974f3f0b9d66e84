import { chmodSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './cache';
import { forgetPostgres } from './postgres';
import type { Say } from './services';

const FOLDER = join(ROOT, '.temporal');

/** Where the local environment keeps what must outlive it. */
export const PLACES = {
  folder: FOLDER,
  running: join(FOLDER, 'running'),
  temporalDb: join(FOLDER, 'temporal.db'),
  environment: join(FOLDER, 'env'),
  temporalConfig: join(FOLDER, 'temporal.toml'),
  postgres: join(FOLDER, 'postgres'),
  sandbox: join(FOLDER, 'sandbox'),
  logs: join(FOLDER, 'logs'),
  log: (name: string): string => join(FOLDER, 'logs', `${name}.log`),
};

/**
 * Makes a folder, and what is directly in it, its owner's alone: logs and Temporal's file tell of payments. Others may
 * only pass through root's, because PostgreSQL, which does not run as root, has its data below.
 */
export function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, process.getuid?.() === 0 ? 0o711 : 0o700);
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    chmodSync(path, statSync(path).isDirectory() ? 0o700 : 0o600);
  }
}

/** Deletes what earlier starts left, and nothing that somebody else put beside it. */
export async function forgetEverything(say: Say): Promise<void> {
  const { temporalDb, sandbox, logs } = PLACES;
  for (const place of [temporalDb, `${temporalDb}-wal`, `${temporalDb}-shm`, sandbox, logs]) {
    rmSync(place, { recursive: true, force: true });
  }
  await forgetPostgres(PLACES.postgres, say);
}
