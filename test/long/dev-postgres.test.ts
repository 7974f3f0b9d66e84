import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { makePrivate } from '../../dev/places';
import { freePorts } from '../support/free-ports';
import { createDatabase, forgetPostgres, query, startPostgres } from '../../dev/postgres';
import type { Postgres } from '../../dev/postgres';

const modeOf = (path: string): number => statSync(path).mode & 0o777;

const asRoot = process.getuid?.() === 0 ? it : it.skip;

describe('the local PostgreSQL', () => {
  let clone: string;
  let dataDir: string;
  let port: number;
  let said: string[];
  let running: Postgres | undefined;

  const start = async ({ durable = false } = {}): Promise<Postgres> => {
    running = await startPostgres({ dataDir, port, durable, say: (line) => said.push(line) });
    return running;
  };
  const remember = async ({ url }: Postgres): Promise<number> => {
    const database = await createDatabase(url, 'shop');
    await query(database, 'CREATE TABLE IF NOT EXISTS starts (at timestamptz DEFAULT now())');
    await query(database, 'INSERT INTO starts DEFAULT VALUES');
    return (await query(database, 'SELECT * FROM starts')).length;
  };
  const leaveBehind = async (): Promise<number> => {
    const { pid } = await start();
    running = undefined;
    return pid;
  };

  beforeEach(async () => {
    clone = mkdtempSync(join(tmpdir(), 'durable-alipay-clone-'));
    chmodSync(clone, 0o755);
    dataDir = join(clone, '.temporal', 'postgres');
    [port = 0] = await freePorts(1);
    said = [];
  });
  afterEach(async () => {
    await running?.stop();
    await forgetPostgres(dataDir, () => undefined);
    rmSync(clone, { recursive: true });
  });

  it('keeps its data from one start to the next', async () => {
    expect(await remember(await start())).toBe(1);
    await running?.stop();
    expect(await remember(await start())).toBe(2);
    // If only root can enter this very clone, the programs are elsewhere; the data need not be.
    expect(said.join()).not.toMatch(/data is in/);
  });

  it('keeps them in a folder that is its owner’s alone', async () => {
    makePrivate(dirname(dataDir));
    expect(await remember(await start())).toBe(1);
    expect(said.join()).not.toMatch(/data is in/);
    expect(modeOf(dataDir)).toBe(0o700);
    expect(modeOf(`${dataDir}.log`)).toBe(0o600);
    await running?.stop();
    makePrivate(dirname(dataDir));
    expect(await remember(await start())).toBe(2);
  });

  it('logs why a statement fails, and nothing of what it was to write', async () => {
    const { url } = await start();
    await query(url, 'CREATE TABLE notes (detail jsonb)');
    const insert = query(url, 'INSERT INTO notes VALUES ($1)', ['{"buyer_id":"hunter2\\u0000"}']);
    await expect(insert).rejects.toMatchObject({ code: '22P05' });
    await running?.stop();
    const log = readFileSync(`${dataDir}.log`, 'utf8');
    expect(log).toContain('unsupported Unicode escape sequence');
    expect(log).not.toContain('hunter2');
  });

  asRoot('keeps them elsewhere where only root can enter, and says so', async () => {
    chmodSync(clone, 0o700);
    expect(await remember(await start())).toBe(1);
    expect(said.join()).toMatch(
      /Only root can enter this folder.*its data is in \/var\/tmp\/durable-alipay-/,
    );
    await running?.stop();
    expect(await remember(await start())).toBe(2);
  });

  asRoot('does not take the data of a clone that was deleted for those of a new one', async () => {
    chmodSync(clone, 0o700);
    expect(await remember(await start())).toBe(1);
    await running?.stop();
    rmSync(clone, { recursive: true });
    mkdirSync(clone, { mode: 0o700 });
    expect(await remember(await start())).toBe(1);
  });

  it('ends the server that a killed run left on its data', async () => {
    const pid = await leaveBehind();
    expect(await remember(await start())).toBe(1);
    expect(said).toContain('Stopping the PostgreSQL that an earlier run left behind');
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('comes back after its own kill -9', async () => {
    await remember(await start({ durable: true }));
    running?.kill();
    await running?.exit;
    expect(await remember(await start({ durable: true }))).toBe(2);
  });

  it('leaves a stranger alone who has the process id of a server that is gone', async () => {
    await (await start()).stop();
    const stranger = spawn('sleep', ['60']);
    try {
      writeFileSync(join(dataDir, 'postmaster.pid'), `${stranger.pid ?? 0}\n${dataDir}\n`);
      await remember(await start());
      expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
    } finally {
      stranger.kill();
    }
  });

  it('names a port that somebody else holds, and what to do', async () => {
    const stranger = createServer().listen(port, '127.0.0.1');
    try {
      await expect(start()).rejects.toThrow(`Port ${port}, wanted by PostgreSQL, is busy`);
    } finally {
      stranger.close();
    }
  });

  it('makes its data whole or not at all', async () => {
    mkdirSync(`${dataDir}.new`, { recursive: true });
    writeFileSync(join(`${dataDir}.new`, 'PG_VERSION'), 'half done');
    await remember(await start());
    expect(existsSync(`${dataDir}.new`)).toBe(false);
    expect(readFileSync(join(dataDir, 'PG_VERSION'), 'utf8')).toBe('18\n');
  });
});
