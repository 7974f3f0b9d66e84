import type { Rig, RigOptions } from './rig';

/** One measured figure, its target, and whether that is met. */
export interface Finding {
  /** What was measured. */
  what: string;
  /** The figure with its unit, and the spread if there is one. */
  figure: string;
  target: string;
  met: boolean;
  /** The data behind the figure, for the JSON. */
  detail: Record<string, unknown>;
}

/** How a row reports its progress. */
export interface Progress {
  advance(by?: number): void;
  end(): void;
}

/** What every row gets. */
export interface Bench {
  /** Fewer payments and pairs: to see that everything works, and the order of magnitude. */
  quick: boolean;
  pairs: number;
  /** Payments per second that this machine sustains, once `throughput` has measured it. */
  sustained: number | undefined;
  /** A new rig; the runner closes it when the row has ended. */
  open(options?: RigOptions): Promise<Rig>;
  progress(what: string, total: number): Progress;
}

/** One subject of measurement. */
export interface Row {
  name: string;
  summary: string;
  run(bench: Bench): Promise<Finding[]>;
}

/** One order and its payment at the cashier. */
export const THE_TEA = { subject: 'A pot of tea', totalAmount: '12.30' } as const;
