import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readFen, toFen, toYuan } from '../../db/money';

describe('yuan become fen exactly', () => {
  it.each([
    ['0.01', 1],
    ['0.29', 29],
    ['0.57', 57],
    ['1.1', 110],
    ['1.10', 110],
    ['19.99', 1999],
    ['4.35', 435],
    ['1', 100],
    ['100000000.00', 10_000_000_000],
  ])('%s yuan are %i fen', (yuan, fen) => {
    expect(toFen(yuan)).toBe(fen);
    expect(readFen(yuan)).toBe(fen);
  });

  it('and back with two decimals, for every amount that Alipay takes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000_000_000 }), (fen) => {
        expect(toYuan(fen)).toMatch(/^\d+\.\d\d$/);
        expect(toFen(toYuan(fen))).toBe(fen);
        expect(readFen(toYuan(fen))).toBe(fen);
      }),
    );
  });
});

describe('what is no amount', () => {
  const bad = [
    '',
    ' ',
    '-1',
    '-0.01',
    '+1',
    '1.234',
    '1.',
    '.5',
    '1e3',
    '0x10',
    '1,00',
    '１',
    'NaN',
    'Infinity',
    '1\n',
  ];

  it.each(bad)('%j is none on the wire', (text) => {
    expect(readFen(text)).toBeUndefined();
  });

  it('and neither is one that is missing, or beyond every purse', () => {
    expect(readFen(undefined)).toBeUndefined();
    expect(readFen('1234567890123')).toBeUndefined();
  });

  it.each(['', 'x', '1.234', '0.001'])('%j in a table is a fault that shows', (text) => {
    expect(() => toFen(text)).toThrow();
  });
});
