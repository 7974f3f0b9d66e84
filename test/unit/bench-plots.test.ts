import { describe, expect, test } from '@jest/globals';
import { drawPlots, readReport } from '../bench/plots';

// The bench draws its own JSON; this has only the parts that matter.

const finding = (detail: object) => ({ what: 'w', figure: 'f', target: '', met: true, detail });

const distribution = (worst: number): number[] =>
  Array.from({ length: 200 }, (_, index) => (index * worst) / 199);

const contender = (name: string, all: number, p99: number) => ({
  name,
  version: `${name} 1.0.0`,
  paced: {
    perSecond: 8,
    count: 64,
    cpu: { worker: all / 2, server: 0, postgres: all / 2, all },
    lateness: { p50: p99 / 3, p90: p99 / 2, p99, worst: p99 },
  },
});

const OUTCOMES = [
  { row: 'lateness', findings: [finding({ p50: 31, p99: 147, distribution: distribution(150) })] },
  {
    row: 'sleepers',
    findings: [
      finding({
        series: {
          all: { sleepers: 100_000, lateness: { p50: 33, p99: 163, distribution: distribution(170) } },
          few: { sleepers: 1_000, lateness: { p50: 32, p99: 151, distribution: distribution(160) } },
        },
      }),
      finding({
        memory: [
          { sleepers: 1_000, worker: 431, temporal: 90 },
          { sleepers: 100_000, worker: 437, temporal: 700 },
        ],
      }),
    ],
  },
  {
    row: 'sweep',
    findings: [
      finding({
        sweeps: [
          { orders: 1_000, seconds: 13.2, memory: { now: 440, most: 450 } },
          { orders: 10_000, seconds: 131.4, memory: { now: 455, most: 460 } },
        ],
      }),
    ],
  },
  {
    row: 'peers',
    findings: [finding({ results: [contender('pg-boss', 31.4, 578), contender('DBOS', 48.6, 606)] })],
  },
  { row: 'throughput', findings: [finding({ app: [{ perSecond: 27.1 }], bare: [{ perSecond: 36.9 }] })] },
];

const reportOf = (outcomes: object[]) => readReport(JSON.stringify({ quick: true, outcomes }));

/** The texts that a reader sees in it. */
const textsOf = (svg: string | undefined): string[] =>
  [...(svg ?? '').matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text = '']) =>
    text.replaceAll('&#39;', "'").replaceAll('&quot;', '"').replaceAll('&amp;', '&'),
  );

/** Every tag is closed by its own, in order: enough to show that a browser can read it. */
function isWellFormed(svg: string): boolean {
  const open: string[] = [];
  for (const [, closes, name = '', , closed] of svg.matchAll(
    /<(\/?)([a-zA-Z]+)((?:[^<>"]|"[^"]*")*?)(\/?)>/g,
  )) {
    if (closes) {
      if (open.pop() !== name) return false;
    } else if (!closed) open.push(name);
  }
  return open.length === 0 && /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/.test(svg);
}

describe('the plots of the bench', () => {
  test('draws each plot that it has figures for, as SVG on an opaque background', () => {
    const plots = drawPlots(reportOf(OUTCOMES));
    expect([...plots.keys()]).toEqual(['lateness', 'growth', 'peers', 'throughput']);
    for (const svg of plots.values()) {
      expect(isWellFormed(svg)).toBe(true);
      expect(svg).toMatch(/<rect width="760" height="340" x="0" y="0" fill="#ffffff">/);
      expect(svg.length).toBeLessThan(40_000);
    }
  });

  test('shows the figures of the JSON, with their units', () => {
    const plots = drawPlots(reportOf(OUTCOMES));
    expect(textsOf(plots.get('lateness'))).toEqual(
      expect.arrayContaining([
        'nobody asleep (p99 147 ms)',
        '1,000 asleep (p99 151 ms)',
        '100,000 asleep (p99 163 ms)',
        'ms after the due time',
      ]),
    );
    expect(textsOf(plots.get('growth'))).toEqual(
      expect.arrayContaining(['13 s', '131 s', 'seconds', 'MB', 'expired orders']),
    );
    expect(textsOf(plots.get('peers'))).toEqual(
      expect.arrayContaining(['pg-boss', '31.4', '578', 'DBOS', '48.6', '606', 'ms']),
    );
    expect(textsOf(plots.get('throughput'))).toEqual(
      expect.arrayContaining(['27.1', '36.9', '1: 0.73', 'payments per second']),
    );
  });

  test('gives the same text for the same figures, however much was drawn before', () => {
    const first = drawPlots(reportOf(OUTCOMES));
    drawPlots(reportOf(OUTCOMES.slice(0, 1)));
    expect(drawPlots(reportOf(OUTCOMES))).toEqual(first);
  });

  test('leaves out what was not measured, or not so that it could be drawn', () => {
    expect(drawPlots(reportOf([])).size).toBe(0);
    expect(drawPlots(reportOf([{ row: 'lateness', findings: [finding({ p99: 147 })] }])).size).toBe(0);
    expect([...drawPlots(reportOf(OUTCOMES.slice(2, 3))).keys()]).toEqual(['growth']);
  });

  test('refuses what is no JSON of the bench', () => {
    expect(() => readReport('{"outcomes": 1}')).toThrow('No JSON of the bench');
  });
});
