import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { createLogger, inWords, redact } from '../../worker/log';
import type { Logger as Log } from '../../worker/log';

describe('what is redacted', () => {
  it.each([
    ['postgres://shop:hunter2@db:5432/shop', 'postgres://shop:[hidden]@db:5432/shop'],
    ['postgresql://:hunter2@db/shop', 'postgresql://:[hidden]@db/shop'],
    [
      'no route to http://a:hunter2@proxy, nor https://b:hunter2@proxy',
      'no route to http://a:[hidden]@proxy, nor https://b:[hidden]@proxy',
    ],
    [`${'long.'.repeat(20)}scheme://a:hunter2@host`, `${'long.'.repeat(20)}scheme://a:[hidden]@host`],
    [`postgres://${'u'.repeat(2_000)}:hunter2@db/shop`, `postgres://${'u'.repeat(2_000)}:[hidden]@db/shop`],
    ['https://shop.example:3000/x?at=12:30', 'https://shop.example:3000/x?at=12:30'],
    [
      'sign=abc%3D&buyer_logon_id=a@b.c&total_amount=1.00',
      'sign=[hidden]&buyer_logon_id=[hidden]&total_amount=1.00',
    ],
  ])('%s', (text, shown) => {
    expect(redact(text)).toBe(shown);
  });

  it('hides what sensitive names hold, at any depth', () => {
    expect(redact({ order: 'A-1', of: [{ buyer_id: '2088', API_TOKEN: 'x', sign: null }] })).toEqual({
      order: 'A-1',
      of: [{ buyer_id: '[hidden]', API_TOKEN: '[hidden]', sign: null }],
    });
  });
});

describe('an error in words', () => {
  it('names each of the addresses that refused, where a host has several', () => {
    const refused = (address: string): Error => new Error(`connect ECONNREFUSED ${address}:5432`);
    const error = new AggregateError([refused('::1'), refused('127.0.0.1')]);
    expect(inWords(error)).toBe('connect ECONNREFUSED ::1:5432, connect ECONNREFUSED 127.0.0.1:5432');
  });

  it('keeps the message of an error with several causes', () => {
    expect(inWords(new AggregateError([new Error('one')], 'both failed'))).toBe('both failed');
  });
});

// Anyone who reaches the port chooses the path that is logged, before a token is required.
describe('redacting what strangers send', () => {
  it.each(['a.', 'a://', 'a:', 'a@', 'http://a:', 'sign', 'buyer_', 'buyer_a-', '&sign=', '/'])(
    'takes no longer for 64 KB of %j than 64 KB deserve',
    (part) => {
      const text = part.repeat(65_536 / part.length);
      const began = process.cpuUsage();
      redact(text);
      const { user, system } = process.cpuUsage(began);
      // Some ms; quadratic code takes seconds.
      expect((user + system) / 1_000).toBeLessThan(250);
    },
  );
});

/** What a logger with these settings writes. */
function written(env: Record<string, string>, write: (log: ReturnType<typeof createLogger>) => void): string {
  const destination = new PassThrough();
  write(createLogger({ env: { LOG_LEVEL: 'trace', ...env }, destination }));
  return String(destination.read());
}

describe('the log', () => {
  it('shows no password in messages, fields and errors', () => {
    const line = written({}, (log) => {
      const err = new Error('lost postgres://shop:hunter2@db', {
        cause: new Error('redis://:hunter2@cache'),
      });
      log.error({ err, url: 'amqp://a:hunter2@queue' }, 'gone: http://a:hunter2@proxy');
    });
    expect(line.match(/\[hidden\]/g)?.length).toBeGreaterThanOrEqual(4);
    expect(line).not.toContain('hunter2');
  });

  it('shows no token of a URL', () => {
    expect(
      written({}, (log) => log.info({ url: '/orders?access_token=hunter2&a=1' }, '?token=hunter2')),
    ).not.toContain('hunter2');
  });

  // As pg throws it for an INSERT whose jsonb holds a NUL, and knex passes it on.
  function failedInsert(): Error {
    const error = Object.assign(new Error('unsupported Unicode escape sequence'), {
      name: 'error',
      severity: 'ERROR',
      code: '22P05',
      detail: '\\u0000 cannot be converted to text: hunter2',
      hint: 'hunter2',
      where: 'JSON data, line 1: {"buyer_id":"hunter2"',
      query: 'hunter2',
      bindings: ['hunter2'],
      table: 'hunter2',
    });
    error.message = `insert into "payment_events" ("detail") values ('{"buyer_id":"hunter2","subject":"a - b"}') - ${error.message}`;
    return error;
  }

  it('says of a connection that is lost in an INSERT why, and nothing of what was to be inserted', () => {
    const error = new Error("insert into t values ('hunter2 - x') - Connection terminated unexpectedly");
    const line = written({}, (log) => log.error({ err: error }, 'failed'));
    expect(line).toContain('"message":"Connection terminated unexpectedly"');
    expect(line).not.toContain('hunter2');
  });

  it.each([
    ['as err', (log: Log, error: Error) => log.error({ err: error }, 'failed')],
    ['as error', (log: Log, error: Error) => log.error({ error }, 'failed')],
    ['under another name', (log: Log, error: Error) => log.error({ of: { cause: error } }, 'failed')],
    ['in a list', (log: Log, error: Error) => log.error({ all: [error] }, 'failed')],
    [
      'as a cause',
      (log: Log, error: Error) => log.error({ err: new Error('x', { cause: error }) }, 'failed'),
    ],
    ['among others', (log: Log, error: Error) => log.error({ err: new AggregateError([error]) }, 'failed')],
  ])('says of a failed INSERT why, and nothing of what was inserted: %s', (_how, tell) => {
    const line = written({}, (log) => tell(log, failedInsert()));
    expect(line).toContain('unsupported Unicode escape sequence');
    expect(line).toContain('"code":"22P05"');
    expect(line).toContain('log.test.ts');
    expect(line).not.toMatch(/hunter2|insert into|buyer_id/);
  });

  it('bounds an error that has no end', () => {
    let error = new Error('x'.repeat(100_000));
    for (let i = 0; i < 50; i++) error = new Error('x'.repeat(100_000), { cause: error });
    error.stack = `${error.stack ?? ''}${'\n    at x'.repeat(100_000)}`;
    expect(written({}, (log) => log.error({ err: error }, 'failed')).length).toBeLessThan(100_000);
  });

  it.each(['json', 'pretty'])('shows what a terminal would obey, in %s', (format) => {
    const hostile = '\u001b[2J\u009b31m\u202egnp\u2028\b\r.';
    const line = written({ LOG_FORMAT: format }, (log) =>
      log.warn({ outTradeNo: hostile, err: new Error(hostile) }, `of ${hostile}`),
    );
    for (const char of hostile.replace(/[\w.[]/g, '')) expect(line).not.toContain(char);
    for (const seen of ['\\u001b', '\\u009b', '\\u202e', '\\u2028']) expect(line).toContain(seen);
    if (format === 'json')
      expect(JSON.parse(line)).toMatchObject({ outTradeNo: hostile, msg: `of ${hostile}` });
    else expect(line).toMatch(/\n +at /);
  });
});
