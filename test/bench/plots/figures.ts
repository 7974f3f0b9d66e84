import { z } from 'zod';

// What the plots take from the bench's JSON. If a row was not measured, or is another version's, its plot is left out.

const report = z.object({
  quick: z.boolean().optional(),
  outcomes: z.array(
    z.object({ row: z.string(), findings: z.array(z.object({ detail: z.record(z.string(), z.unknown()) })) }),
  ),
});

export type Report = z.infer<typeof report>;

/** @throws Error if it is not JSON of the bench */
export function readReport(json: string): Report {
  const read = report.safeParse(JSON.parse(json));
  if (!read.success) throw new Error(`No JSON of the bench: ${z.prettifyError(read.error)}`);
  return read.data;
}

/** The first detail of a row that has this shape. */
function find<Shape extends z.ZodType>(
  { outcomes }: Report,
  row: string,
  shape: Shape,
): z.infer<Shape> | undefined {
  return outcomes
    .filter((outcome) => outcome.row === row)
    .flatMap(({ findings }) => findings)
    .map(({ detail }) => shape.safeParse(detail))
    .find(({ success }) => success)?.data;
}

const lateness = z.object({ p50: z.number(), p99: z.number(), distribution: z.array(z.number()).min(2) });

export interface LatenessSeries {
  name: string;
  p50: number;
  p99: number;
  /** Evenly spaced quantiles, ascending, ms. */
  distribution: number[];
}

/** How late checks were: alone, and among sleepers. */
export function latenessSeries(from: Report): LatenessSeries[] {
  const alone = find(from, 'lateness', lateness);
  const among = z.object({ sleepers: z.number(), lateness });
  const asleep = find(from, 'sleepers', z.object({ series: z.record(z.string(), among) }));
  return [
    ...(alone ? [{ name: 'nobody asleep', ...alone }] : []),
    ...Object.values(asleep?.series ?? {})
      .sort((a, b) => a.sleepers - b.sleepers)
      .map(({ sleepers, lateness: late }) => ({ name: `${count(sleepers)} asleep`, ...late })),
  ];
}

/** A whole number as people write it: `100,000`. */
export const count = (number: number): string => number.toLocaleString('en-US');

export interface Growth {
  sweeps: { orders: number; seconds: number; memory: number }[];
  sleepers: { sleepers: number; memory: number }[];
}

/** What grows with the number of orders, and with the number of sleeping payments. */
export function growth(from: Report): Growth {
  const sweep = z.object({ orders: z.number(), seconds: z.number(), memory: z.object({ now: z.number() }) });
  const sample = z.object({ sleepers: z.number(), worker: z.number() });
  const { sweeps = [] } = find(from, 'sweep', z.object({ sweeps: z.array(sweep) })) ?? {};
  const { memory = [] } = find(from, 'sleepers', z.object({ memory: z.array(sample) })) ?? {};
  return {
    sweeps: sweeps.map(({ orders, seconds, memory: { now } }) => ({ orders, seconds, memory: now })),
    sleepers: memory.map(({ sleepers, worker }) => ({ sleepers, memory: worker })),
  };
}

export type Contender = z.infer<typeof contender>;

const contender = z.object({
  name: z.string(),
  paced: z.object({
    perSecond: z.number(),
    cpu: z.object({ worker: z.number(), server: z.number(), postgres: z.number(), all: z.number() }),
    lateness: z.object({ p50: z.number(), p99: z.number() }),
  }),
});

export function contenders(from: Report): Contender[] {
  return find(from, 'peers', z.object({ results: z.array(contender).min(1) }))?.results ?? [];
}

export interface Pair {
  app: number;
  bare: number;
}

/** Payments per second in each pair of runs. */
export function pairs(from: Report): Pair[] {
  const side = z.array(z.object({ perSecond: z.number() }));
  const found = find(from, 'throughput', z.object({ app: side, bare: side }));
  return (found?.app ?? []).map(({ perSecond }, pair) => ({
    app: perSecond,
    bare: found?.bare[pair]?.perSecond ?? 0,
  }));
}
