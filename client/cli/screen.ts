import { stripVTControlCharacters, styleText } from 'node:util';
import ms from 'ms';
import { visible, visibleLines } from '../../worker/visible';

/**
 * A copy in which every text is {@link visible}: strangers and buyers choose what a row contains, and a terminal would
 * obey it.
 */
export function visibleData<T>(value: T): T {
  return mapTexts(value, visible) as T;
}

/** The same for text with several lines, such as advice. */
export function visibleWords<T>(value: T): T {
  return mapTexts(value, visibleLines) as T;
}

function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((inner) => mapTexts(inner, change));
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [change(key), mapTexts(inner, change)]),
  );
}

/** Colours a word, or leaves it alone if there is no terminal. */
export type Paint = (style: Style, text: string) => string;

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red' | 'magenta' | 'cyan';

/** @param colourful whether the words go to a terminal that shows colours, and the user wants them (NO_COLOR) */
export function painter(colourful: boolean): Paint {
  // The caller has decided for its own stream; styleText would look at standard output.
  return colourful
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_style, text) => text;
}

const STATUS_STYLES: Record<string, Style> = {
  UNPAID: 'yellow',
  PAID: 'green',
  CLOSED: 'dim',
  REFUNDING: 'magenta',
  REFUNDED: 'magenta',
  REVIEW: 'red',
  REQUESTED: 'yellow',
  DONE: 'green',
  REFUSED: 'red',
  UNCONFIRMED: 'yellow',
  RUNNING: 'cyan',
  COMPLETED: 'green',
  FAILED: 'red',
  TERMINATED: 'red',
  TIMED_OUT: 'red',
};

/** A status of an order, a payment or a workflow in its colour. */
export function status(paint: Paint, text: string): string {
  const style = STATUS_STYLES[text];
  return style ? paint(style, text) : text;
}

/**
 * Shows rows, or one, as a table.
 *
 * @param cells the text of each column by its title; null is shown as a dash
 * @param none what to say if there are no rows
 */
export function tableOf<Row>(
  cells: Readonly<Record<string, (row: Row, paint: Paint) => string | null>>,
  none = '',
): (paint: Paint, rows: Row | readonly Row[]) => string {
  return (paint, shown) => {
    const rows = (Array.isArray(shown) ? shown : [shown]) as readonly Row[];
    if (rows.length === 0) return none;
    return columns([
      Object.keys(cells).map((title) => paint('dim', title)),
      ...rows.map((row) => Object.values(cells).map((cell) => cell(row, paint) ?? '-')),
    ]);
  };
}

/** A name and a value on each line; names without a value are left out. */
export function fields(
  paint: Paint,
  pairs: readonly (readonly [string, string | null | undefined])[],
): string {
  return columns(
    pairs.flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [[paint('bold', name), value]],
    ),
  );
}

/** What to do next. */
export const hint = (paint: Paint, todo: string): string => `${paint('bold', '→')} ${todo}`;

/** The command that comes next. */
export const next = (paint: Paint, command: string): string => hint(paint, `durable-alipay ${command}`);

/** Cells side by side, two spaces between columns, nothing after the last. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, width(cell))));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell + ' '.repeat((widths[i] ?? 0) - width(cell)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** `2026-11-24 10:26:01`, UTC. */
export function utc(time: Date | string): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}

/** How long ago, or how long until: `3m`. */
export function distance(time: Date | string, now = new Date()): string {
  return ms(Math.abs(now.getTime() - new Date(time).getTime()));
}

/** `in 3m`, or `due`. */
export function until(time: Date): string {
  return time > new Date() ? `in ${distance(time)}` : 'due';
}

/** `2026-11-24 10:26:01 UTC (3m ago)`; null if there is no time. */
export function when(time: Date | string): string;
export function when(time: Date | string | null): string | null;
export function when(time: Date | string | null): string | null {
  if (time === null) return null;
  const now = new Date();
  const far = distance(time, now);
  return `${utc(time)} UTC (${new Date(time) > now ? `in ${far}` : `${far} ago`})`;
}
