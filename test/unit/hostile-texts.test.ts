import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AlipayKeys } from '../../activities/alipay/key';
import { readNotification } from '../../activities/alipay/notification';
import { runCli } from '../../client/cli';
import type { CliPayments } from '../../client/cli/command';
import { refuseOtherPages, requireLocal, requireToken } from '../../client/http-access';
import {
  parseCheckoutInput,
  parseCloseInput,
  parseCorrection,
  parseDecision,
  parseDuration,
  parseOrderId,
  parseOrderInput,
  parseOutTradeNo,
  parseRefundId,
  parseRecovery,
  parseResolution,
} from '../../client/input';
import { duration } from '../../worker/config';
import { redact } from '../../worker/log';

// Everything that takes a text from outside gets 64 KB in the shapes that make patterns slow: a long run of what a
// pattern repeats, then something that does not match. Linear code takes a few milliseconds; quadratic code takes
// seconds, during which nothing else is served.

const LENGTH = 65_536;

const RUNS = [
  ...['1', 'a', 'A', '_', '-', '.', ' ', '\t', '\n', '/', '=', '&', ':', '@', '%', '"', '\\', '[', '{', '0'],
  ...['1.', '.1', '1 ', 'a ', 'a.', 'a:', 'a@', 'a/', 'a=', 'a&', 'a,', '1m', '1 m', '://', 'a://', '%41'],
  ...['sign=', 'buyer_', 'token', '_key', 'private', 'localhost:', '127.', 'x-forwarded-', 'Bearer '],
  ...['\0', '\x1b[', '\u202e', '\ud83d', '\ud83d\ude00', '\u00e9', '\u4e2d', '\u2028'],
];

const TEXTS = RUNS.flatMap((run) =>
  ['', '!', '1', 'a'].map((end) => run.repeat(Math.ceil(LENGTH / run.length)) + end),
);

/** Fails with the beginning of the text that takes too long. */
async function expectQuick(take: (text: string) => unknown): Promise<void> {
  for (const text of TEXTS) {
    const began = process.cpuUsage();
    try {
      await take(text);
    } catch {
      // It may be rejected; only the time counts here.
    }
    const { user, system } = process.cpuUsage(began);
    const slow = (user + system) / 1_000 > 250;
    expect({ slow, text: text.slice(0, 16) }).toEqual({ slow: false, text: text.slice(0, 16) });
  }
}

const ORDER = { orderId: 'A-1', subject: 'Tea', totalAmount: '12.30' };
const VERIFIER = {
  merchant: 'A/1',
  name: 'default',
  appId: 'A',
  sellerId: '1',
  keys: new AlipayKeys({
    publicKey: generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
      type: 'spki',
      format: 'pem',
    }) as string,
  }),
};
const WHO = { actor: 'li', reason: 'sold out' };

/** Each field of an input in turn, the others valid. */
const fieldsOf = (what: string, parse: (input: object) => unknown, sound: object, names: string[]) =>
  names.map((name) => [`${name} of ${what}`, (text: string) => parse({ ...sound, [name]: text })] as const);

const PARSERS: (readonly [string, (text: string) => unknown])[] = [
  ...fieldsOf('an order', parseOrderInput, ORDER, [
    'orderId',
    'subject',
    'totalAmount',
    'expiresIn',
    'closeBy',
    'x',
  ]),
  ...fieldsOf('a checkout', parseCheckoutInput, ORDER, ['orderId', 'outTradeNo', 'product', 'expiresIn']),
  ...fieldsOf('a close', parseCloseInput, { ...WHO, orderId: 'A-1' }, ['orderId', 'actor', 'reason']),
  ...fieldsOf('a decision', parseDecision, { ...WHO, to: 'PAID' }, ['to', 'actor', 'reason']),
  ...fieldsOf('a resolution', parseResolution, { ...WHO, id: '7' }, ['id', 'actor', 'reason']),
  ...fieldsOf('a correction', parseCorrection, { ...WHO, id: 'A/1', sellerId: '2' }, ['id', 'sellerId']),
  ...fieldsOf('a recovery', parseRecovery, { actor: 'li' }, ['since', 'actor']),
  ['a notification', (text) => readNotification([VERIFIER], Buffer.from(text))],
  // Only as much of it as is read.
  [
    'a value of a notification',
    (text) => readNotification([VERIFIER], `out_trade_no=P1&a=${text.slice(0, 8_000)}&sign=x`),
  ],
  ['the name of a field', (text) => parseOrderInput({ ...ORDER, [text]: '1' })],
  ['an order id', parseOrderId],
  ['a payment number', parseOutTradeNo],
  ['a refund number', parseRefundId],
  ['a duration', parseDuration],
  ["a setting's duration", (text) => duration('1ms', '15d').safeParse(text)],
  ['what is logged', redact],
  ['the name of what is logged', (text) => redact({ [text]: 'x' })],
];

it.each(PARSERS)('%s takes no longer for 64 KB than 64 KB deserve', async (_name, take) => {
  await expectQuick(take);
});

describe('a header', () => {
  const asked =
    (hook: ReturnType<typeof requireLocal>, headers: (text: string) => object) => (text: string) =>
      hook(
        { headers: headers(text), raw: { httpVersion: '1.1' } } as unknown as FastifyRequest,
        { header: () => undefined } as unknown as FastifyReply,
        () => undefined,
      );

  it.each([
    ['Host', asked(requireLocal('API_TOKEN'), (host) => ({ host }))],
    ['a name', asked(requireLocal('API_TOKEN'), (name) => ({ [name]: 'x', host: 'localhost' }))],
    ['Origin', asked(refuseOtherPages('API_TOKEN'), (origin) => ({ host: 'localhost', origin }))],
    ['Authorization', asked(requireToken('API_TOKEN', 'x'), (authorization) => ({ authorization }))],
    ['Bearer', asked(requireToken('API_TOKEN', 'x'), (it) => ({ authorization: `Bearer ${it}` }))],
  ])('%s takes no longer than it deserves', async (_name, take) => {
    await expectQuick(take);
  });
});

describe('the command line', () => {
  const run = (line: string[]) =>
    runCli(line, {
      version: '1',
      connect: () => Promise.resolve({ close: () => Promise.resolve() } as CliPayments),
      diagnose: () => Promise.resolve([]),
      serveCodec: () => Promise.resolve(),
      start: () => undefined,
      out: () => undefined,
      err: () => undefined,
      colourful: false,
    });

  it.each([
    ['order', 'show', '?'],
    ['merchant', 'set', '?', '--seller-id', '2', '--reason', 'x'],
    ['recover', '--since', '?'],
    ['payment', 'show', '?'],
    ['payment', 'list', '--limit', '?'],
    ['payment', 'list', '--order', '?'],
    ['unmatched', 'resolve', '?', '--reason', 'x'],
    ['review', 'resolve', 'P1', '--to', 'PAID', '--reason', '?'],
    ['order', 'close', 'A-1', '--reason', 'x', '--actor', '?'],
    ['checkout', 'A-1', '--amount', '?', '--subject', 'x'],
    ['checkout', 'A-1', '--amount', '1', '--subject', '?'],
    ['checkout', 'A-1', '--amount', '1', '--subject', 'x', '--expires-in', '?'],
    ['?'],
    ['order', '--?'],
  ])('takes no longer for %j than it deserves', async (...line) => {
    await expectQuick((text) => run(line.map((word) => word.replace('?', () => text))));
  });
});
