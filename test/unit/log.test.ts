import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { createLogger, redact } from '../../worker/log';

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

// Whoever reaches the port chooses the path that is logged, before any token is asked for.
describe('redacting what strangers send', () => {
  it.each(['a.', 'a://', 'a:', 'a@', 'http://a:', 'sign', 'buyer_', 'buyer_a-', '&sign=', '/'])(
    'takes no longer for 64 KB of %j than 64 KB deserve',
    (part) => {
      const text = part.repeat(65_536 / part.length);
      const began = process.cpuUsage();
      redact(text);
      const { user, system } = process.cpuUsage(began);
      // Some ms; what grows with the square of the length takes seconds.
      expect((user + system) / 1_000).toBeLessThan(250);
    },
  );
});

describe('the log', () => {
  it('shows no password in messages, fields and errors', () => {
    const destination = new PassThrough();
    const log = createLogger({ env: {}, destination });
    const err = new Error('lost postgres://shop:hunter2@db', { cause: new Error('redis://:hunter2@cache') });
    log.error({ err, url: 'amqp://a:hunter2@queue' }, 'gone: http://a:hunter2@proxy');
    const line = String(destination.read());
    expect(line.match(/\[hidden\]/g)?.length).toBeGreaterThanOrEqual(4);
    expect(line).not.toContain('hunter2');
  });
});
