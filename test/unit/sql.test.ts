import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

// A pooler in transaction mode passes a connection on to another shop's process, with whatever was set on its session.

const ROOT = join(__dirname, '..', '..');
const MIGRATIONS = join('db', 'migrations');

const files = ['db', 'activities', 'client', 'worker'].flatMap((room) =>
  readdirSync(join(ROOT, room), { recursive: true, encoding: 'utf8' })
    .map((file) => join(room, file))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') })),
);
const migrations = files.filter(({ file }) => file.startsWith(MIGRATIONS));
const others = files.filter(({ file }) => !file.startsWith(MIGRATIONS));

const tables = migrations.flatMap(({ text }) =>
  [...text.matchAll(/CREATE TABLE (\w+)/g)].map(([, table = '']) => table),
);

const found = (pattern: RegExp): string[] =>
  others.flatMap(({ file, text }) => [...text.matchAll(pattern)].map(([match]) => `${file}: ${match}`));

describe('the SQL', () => {
  it('names the schema of each table', () => {
    expect(tables).toEqual(
      expect.arrayContaining(['orders', 'payments', 'payment_events', 'evidence', 'merchants']),
    );
    const from = '(?:FROM|JOIN|INTO|UPDATE|TABLE|ONLY|USING)';
    expect(found(new RegExp(`\\b${from}\\s+:schema:\\.\\w+`, 'g')).length).toBeGreaterThan(40);
    expect(found(new RegExp(`\\b${from}\\s+(?:${tables.join('|')})\\b`, 'g'))).toEqual([]);
  });

  it('sets nothing on a session, and opens transactions in one place', () => {
    expect(
      found(
        /(?<!ROLE \S+ )\bSET (?!LOCAL\b)(SESSION )?\w+_(timeout|path|isolation) (TO|=)|\bSET SESSION\b|\bpg_advisory_(un)?lock\w*/g,
      ),
    ).toEqual([]);
    const opening = others.filter(({ text }) => /\w\.transaction\(/.test(text)).map(({ file }) => file);
    expect(opening.sort()).toEqual([join('db', 'connect.ts'), join('db', 'migrator.ts')]);
  });
});
