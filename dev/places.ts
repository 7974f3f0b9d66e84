import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { forgetPostgres } from './postgres';
import type { Say } from './services';

/** The root of this repository. */
export const ROOT = resolve(__dirname, '..');

/** Names no server: with it a program reads only TEMPORAL_*, not the user's own configuration file. */
export const TEMPORAL_CONFIG = join(__dirname, 'temporal.toml');

/** Downloaded or built tools; ignored by git, safe to delete. */
export const CACHE = join(ROOT, '.cache');

const FOLDER = join(ROOT, '.temporal');

/** What the local environment keeps between starts. */
export const PLACES = {
  folder: FOLDER,
  lock: join(FOLDER, 'lock'),
  temporalDb: join(FOLDER, 'temporal.db'),
  environment: join(FOLDER, 'env'),
  postgres: join(FOLDER, 'postgres'),
  sandbox: join(FOLDER, 'sandbox'),
  logs: join(FOLDER, 'logs'),
  log: (name: string): string => join(FOLDER, 'logs', `${name}.log`),
};

/**
 * Gives only the owner access to a folder: logs and Temporal's file contain payments. Others may traverse root's
 * folder, because PostgreSQL, which does not run as root, has its data in it.
 */
export function makePrivate(folder: string): void {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, process.getuid?.() === 0 ? 0o711 : 0o700);
}

/** Deletes what earlier starts left, but nothing else in the folder. */
export async function forgetEverything(say: Say): Promise<void> {
  const { temporalDb, sandbox, logs } = PLACES;
  for (const place of [temporalDb, `${temporalDb}-wal`, `${temporalDb}-shm`, sandbox, logs])
    rmSync(place, { recursive: true, force: true });
  await forgetPostgres(PLACES.postgres, say);
}
