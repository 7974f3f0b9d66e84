import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  parseCheckoutInput,
  parseCloseInput,
  parseDuration,
  parseOrderId,
  parseOrderInput,
  parseOutTradeNo,
  parseSkipping,
} from '../../client/input';
import { PaymentError } from '../../workflows/errors';

const ORDER = { orderId: 'A-1_x', subject: '绿茶 250 g', totalAmount: '12.30' };

/** The message of the INVALID_INPUT that `read` throws. */
function refusal(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    if (error instanceof PaymentError && error.code === 'INVALID_INPUT') return error.message;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('an order', () => {
  it('needs an id, a subject and an amount', () => {
    expect(parseOrderInput(ORDER)).toEqual(ORDER);
    expect(refusal(() => parseOrderInput({}))).toMatch(
      /^orderId is missing.*; subject is missing.*; totalAmount is/,
    );
  });

  it.each([undefined, null, 'text', 7, []])('is no %j', (input) => {
    expect(refusal(() => parseOrderInput(input))).toBe('the input must be an object with fields');
  });

  it.each([
    ['0.01', '0.01'],
    ['1', '1.00'],
    ['12.3', '12.30'],
    ['007.50', '7.50'],
    ['100000000', '100000000.00'],
  ])('may cost %s, which is %s', (given, amount) => {
    expect(parseOrderInput({ ...ORDER, totalAmount: given }).totalAmount).toBe(amount);
  });

  it.each([
    '0',
    '0.00',
    '-1',
    '+1',
    '1.234',
    '1e3',
    '1.',
    '.5',
    ' 1',
    '1,00',
    '',
    '100000000.01',
    '1000000000',
    '１',
  ])('may not cost %j', (totalAmount) => {
    expect(refusal(() => parseOrderInput({ ...ORDER, totalAmount }))).toMatch(/^totalAmount must be/);
  });

  it('may not cost a number: 12.30 would lose its zero, and 0.1 + 0.2 its meaning', () => {
    expect(refusal(() => parseOrderInput({ ...ORDER, totalAmount: 12.3 }))).toMatch(
      /^totalAmount is .* not a string/,
    );
  });

  it('keeps every amount in fen as it is', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000_000_000 }), (fen) => {
        const yuan = `${Math.floor(fen / 100)}.${String(fen % 100).padStart(2, '0')}`;
        expect(parseOrderInput({ ...ORDER, totalAmount: yuan }).totalAmount).toBe(yuan);
      }),
    );
  });

  it.each(['', 'a b', 'a/b', 'ä', 'x'.repeat(65), "'; --"])('may not have the id %j', (orderId) => {
    expect(refusal(() => parseOrderInput({ ...ORDER, orderId }))).toMatch(/^orderId must be/);
    expect(refusal(() => parseOrderId(orderId))).toMatch(/^orderId must be/);
  });

  it.each(['', '   ', 'tab\there', 'nul\0', 'x'.repeat(257)])('may not have the subject %j', (subject) => {
    expect(refusal(() => parseOrderInput({ ...ORDER, subject }))).toMatch(/^subject must/);
  });

  it.each(['30', '', '-1m', '0s', 'soon', '16d'])('may not expire in %j', (expiresIn) => {
    expect(refusal(() => parseOrderInput({ ...ORDER, expiresIn }))).toMatch(/^expiresIn must be a duration/);
  });

  it('is closed by the sweep or by a timer, nothing else', () => {
    expect(parseOrderInput({ ...ORDER, closeBy: 'timer' }).closeBy).toBe('timer');
    expect(refusal(() => parseOrderInput({ ...ORDER, closeBy: 'cron' }))).toBe(
      'closeBy must be "sweep" or "timer"',
    );
  });

  it('has no field that nobody knows: a misspelt closeBy would lock stock for a day', () => {
    expect(refusal(() => parseOrderInput({ ...ORDER, closeby: 'timer' }))).toBe('closeby: no such field');
  });

  it('is told all its faults at once', () => {
    const message = refusal(() =>
      parseCheckoutInput({ orderId: '?', subject: ' ', totalAmount: '0', outTradeNo: '-', product: 'face' }),
    );
    expect(message.split('; ').map((fault) => fault.split(' ')[0])).toEqual([
      'orderId',
      'subject',
      'totalAmount',
      'outTradeNo',
      'product',
    ]);
  });
});

describe('an input without end', () => {
  it('is refused by the length of its fields, before anything else looks at them', () => {
    const long = '1'.repeat(64_000);
    expect(refusal(() => parseOrderInput({ ...ORDER, expiresIn: long, [long]: long }))).toBe(
      'expiresIn, (not a field name): more than 1024 characters in one field',
    );
    expect(refusal(() => parseDuration(long))).toBe('duration: more than 1024 characters in one field');
    expect(refusal(() => parseDuration('1'.repeat(33)))).toBe('duration has more than 32 characters');
  });

  it('has its first unknown fields named, not thousands', () => {
    const many = Object.fromEntries(
      Array.from({ length: 12_000 }, (_, i) => [`f${'x'.repeat(i % 9)}${i}`, 1]),
    );
    expect(refusal(() => parseOrderInput({ ...ORDER, ...many })).length).toBeLessThan(400);
  });
});

describe('a checkout', () => {
  it('may name its payment and the cashier', () => {
    const checkout = { ...ORDER, outTradeNo: 'A1_x', product: 'wap', expiresIn: '30m', closeBy: 'timer' };
    expect(parseCheckoutInput(checkout)).toEqual(checkout);
  });

  it.each(['a-b', '', 'x'.repeat(65), 'a b'])(
    'may not name its payment %j, which Alipay refuses',
    (outTradeNo) => {
      expect(refusal(() => parseCheckoutInput({ ...ORDER, outTradeNo }))).toMatch(/^outTradeNo must be/);
      expect(refusal(() => parseOutTradeNo(outTradeNo))).toMatch(/^outTradeNo must be/);
    },
  );
});

describe('a close', () => {
  it('says who and why', () => {
    expect(parseCloseInput({ orderId: 'A-1', actor: ' li ', reason: 'sold out' })).toEqual({
      orderId: 'A-1',
      actor: 'li',
      reason: 'sold out',
    });
    expect(refusal(() => parseCloseInput({ orderId: 'A-1', actor: ' ', reason: null }))).toBe(
      'actor must not be blank; reason is missing or not a string',
    );
  });

  it('is the shop, for its own reasons, where a close does not say so', () => {
    expect(parseCloseInput({ orderId: 'A-1' })).toEqual({
      orderId: 'A-1',
      actor: 'shop',
      reason: 'cancelled by the shop',
    });
  });
});

describe('a duration', () => {
  it.each([
    ['500ms', 500],
    ['30s', 30_000],
    ['30m', 1_800_000],
    ['1.5 hours', 5_400_000],
    ['15d', 1_296_000_000],
  ])('%s is %d ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it('needs its unit', () => {
    expect(refusal(() => parseDuration('30'))).toMatch(/^duration is not a duration with its unit/);
  });
});

describe('the id of a result', () => {
  const skipping = (messageId: string) =>
    parseSkipping({ orderId: 'A', messageId, actor: 'li', reason: 'booked' });

  it.each(['PAID-P1', 'REFUND-P1-1.00', 'REFUND-P1-退款 7'])('may be %s', (messageId) => {
    expect(skipping(messageId)).toMatchObject({ messageId });
  });

  it.each(['', 'REFUND-P1-\n', 'x'.repeat(201)])('is not %j', (messageId) => {
    expect(refusal(() => skipping(messageId))).toMatch(/^messageId must be the id of a result/);
  });
});
