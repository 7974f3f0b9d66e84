import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe } from '@jest/globals';
import { freePorts } from './free-ports';
import { query } from '../../dev/postgres';
import { startService, untilReady } from '../../dev/services';
import { atEnd } from './at-end';

/** Debian installs it where only root's PATH looks. */
const PROGRAM = ['pgbouncer', '/usr/sbin/pgbouncer'].find(
  (program) => spawnSync(program, ['--version']).status === 0,
);

/** For tests that call {@link startPooler}. */
export const describeWithPooler = PROGRAM === undefined ? describe.skip : describe;
if (PROGRAM === undefined) {
  process.stderr.write(
    'Skipped: what needs PgBouncer, which is not installed (apt-get install pgbouncer).\n',
  );
}

/**
 * Starts PgBouncer in transaction mode in front of a database's server, with so few connections to it that clients have
 * to share them. It ends with the test file.
 *
 * @param databaseUrl - the database behind it; its user may log in to the pooler too
 * @returns the same database through the pooler
 */
export async function startPooler(
  databaseUrl: string,
  { connections = 4 }: { connections?: number } = {},
): Promise<string> {
  const server = new URL(databaseUrl);
  const [port = 0] = await freePorts(1);
  const folder = mkdtempSync(join(tmpdir(), 'durable-alipay-pooler-'));
  const file = (name: string, lines: string[]): string => {
    writeFileSync(join(folder, name), `${lines.join('\n')}\n`, { mode: 0o644 });
    return join(folder, name);
  };
  // PgBouncer refuses to run as root, and the user it switches to must be able to enter.
  chmodSync(folder, 0o755);
  const users = file('users.txt', [`"${server.username}" "${server.password}"`]);
  const settings = file('pgbouncer.ini', [
    '[databases]',
    `* = host=${server.hostname} port=${server.port}`,
    '[pgbouncer]',
    'listen_addr = 127.0.0.1',
    `listen_port = ${port}`,
    'unix_socket_dir =',
    'auth_type = plain',
    `auth_file = ${users}`,
    'pool_mode = transaction',
    `default_pool_size = ${connections}`,
  ]);
  const service = await startService({
    name: 'PgBouncer',
    command: PROGRAM ?? 'pgbouncer',
    args: [...(process.getuid?.() === 0 ? ['--user', 'nobody'] : []), settings],
    logFile: join(folder, 'pgbouncer.log'),
    stopSignal: 'SIGINT',
  });
  atEnd(async () => {
    await service.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const url = Object.assign(new URL(databaseUrl), { port: String(port) }).href;
  await untilReady(service, () => query(url, 'SELECT 1'));
  return url;
}
