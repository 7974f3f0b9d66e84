import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeEnvironment } from '../../dev/environment';
import { makePrivate } from '../../dev/places';
import { startService } from '../../dev/services';
import { PORTS, readSettings } from '../../dev/settings';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'environment-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The environment of a command started from a shell that has sourced the file, as the README says. */
function environmentAfter(file: string, before: Record<string, string>): Record<string, string> {
  const print = `process.stdout.write(JSON.stringify(process.env))`;
  const out = execFileSync(
    'sh',
    ['-euc', 'set -a; . "$1"; set +a; "$2" --eval "$3"', 'sh', file, process.execPath, print],
    {
      env: { PATH: process.env['PATH'], ...before },
      encoding: 'utf8',
    },
  );
  return JSON.parse(out) as Record<string, string>;
}

describe('the file for a shell beside the local environment', () => {
  const DATABASE_URL = `postgres://shop:it's "$HOME" \`id\` \\\\ 1@127.0.0.1/shop`;

  it('sets what the parts have, letter by letter, and unsets what they have not', () => {
    const file = join(folder, 'env');
    writeEnvironment(file, {
      DATABASE_URL,
      TEMPORAL_ADDRESS: '127.0.0.1:7233',
      TEMPORAL_CONFIG_FILE: '/a folder/temporal.toml',
      SWEEP_CRON: '0/5 * * * * * *',
      ALIPAY_PRIVATE_KEY: undefined,
      PATH: '/nowhere',
      HOME: '/nowhere',
    });
    const after = environmentAfter(file, {
      HOME: '/root',
      DATABASE_URL_FILE: '/another',
      ALIPAY_PRIVATE_KEY: 'another',
      TEMPORAL_API_KEY: 'another',
      TEMPORAL_NAMESPACE: 'another',
    });
    expect(after).toMatchObject({
      DATABASE_URL,
      TEMPORAL_ADDRESS: '127.0.0.1:7233',
      TEMPORAL_CONFIG_FILE: '/a folder/temporal.toml',
      SWEEP_CRON: '0/5 * * * * * *',
      HOME: '/root',
    });
    for (const name of ['DATABASE_URL_FILE', 'ALIPAY_PRIVATE_KEY', 'TEMPORAL_API_KEY', 'TEMPORAL_NAMESPACE'])
      expect(after).not.toHaveProperty(name);
  });

  it('leaves the port of the HTTP server out: a shop in that shell listens on its own', () => {
    const file = join(folder, 'env');
    writeEnvironment(file, { DATABASE_URL, PORT: '3000' });
    expect(environmentAfter(file, { PORT: '8080' })['PORT']).toBe('8080');
    expect(environmentAfter(file, {})).not.toHaveProperty('PORT');
  });

  it('is its owner’s alone to read, also where another was there', () => {
    const file = join(folder, 'env');
    writeFileSync(file, 'an old one', { mode: 0o644 });
    writeEnvironment(file, { DATABASE_URL });
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});

describe('what the local environment keeps', () => {
  const modeOf = (...path: string[]): number => statSync(join(folder, ...path)).mode & 0o777;

  it('is its owner’s alone, also where an earlier start left it open to all', () => {
    chmodSync(folder, 0o755);
    makePrivate(folder);
    // As root, PostgreSQL's own user must be able to pass through; nobody else can read it.
    expect(modeOf('.')).toBe(process.getuid?.() === 0 ? 0o711 : 0o700);
  });

  it('is so too in what its services write, logs among it', async () => {
    writeFileSync(join(folder, 'before'), '');
    const { exit } = await startService({
      name: 'a service',
      command: 'sh',
      args: ['-c', 'echo started; echo data > file; mkdir folder'],
      cwd: folder,
      logFile: join(folder, 'logs', 'service.log'),
    });
    expect(await exit).toBe('exit code 0');
    expect([modeOf('logs'), modeOf('logs', 'service.log')]).toEqual([0o700, 0o600]);
    expect([modeOf('file'), modeOf('folder')]).toEqual([0o600, 0o700]);
    writeFileSync(join(folder, 'after'), '');
    expect(modeOf('after')).toBe(modeOf('before'));
  });
});

describe('the options of the local environment', () => {
  const settingsOf = (...options: string[]) => readSettings(['node', 'temporal-dev.sh', ...options], {});

  it('leave the workers to a shop whose own order service is to have every result', () => {
    expect(settingsOf()).toMatchObject({ worker: true, demo: true });
    expect(settingsOf('--no-worker')).toMatchObject({ worker: false, demo: false });
  });

  it.each(['--help', '-h'])('are told by %s before anything is installed', (option) => {
    const root = join(__dirname, '..', '..');
    for (const file of ['temporal-dev.sh', 'dev/help.txt']) cpSync(join(root, file), join(folder, file));
    const help = execFileSync('/bin/sh', [join(folder, 'temporal-dev.sh'), option], { encoding: 'utf8' });
    const options = ['--no-demo', '--no-worker', '--fresh'];
    for (const word of [...options, ...Object.values(PORTS).map(([variable]) => variable)])
      expect(help).toContain(`\n  ${word} `);
  });
});
