import { rmSync } from 'node:fs';
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

/** Deletes what earlier starts left, and nothing that somebody else put beside it. */
export async function forgetEverything(say: Say): Promise<void> {
  const { temporalDb, sandbox, logs } = PLACES;
  for (const place of [temporalDb, `${temporalDb}-wal`, `${temporalDb}-shm`, sandbox, logs]) {
    rmSync(place, { recursive: true, force: true });
  }
  await forgetPostgres(PLACES.postgres, say);
}
