import { toFen } from '../../db/money';
import { fromBeijing } from '../alipay/beijing';
import { unreadable } from './download';

/** One of Alipay's lines has 300 bytes; a product's name has at most 256 characters. */
const LONGEST_LINE = 65_536;

/**
 * Yields the lines of a CSV file in GBK, in batches: a million `await`s would take longer than reading.
 *
 * No CSV library: Alipay quotes nothing, and the names that shops give their products contain commas and quotes, which
 * any parser reads as structure. See {@link Columns.cells}.
 *
 * @throws PaymentError BILL_UNREADABLE if it is not GBK
 */
export async function* linesOf(file: AsyncIterable<Buffer>): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('gb18030', { fatal: true });
  let rest = '';
  for await (const chunk of file) {
    const lines = (rest + decode(decoder, chunk)).split('\n');
    rest = lines.pop() as string;
    if (rest.length > LONGEST_LINE) throw unreadable('it has a line without an end');
    yield lines.map(withoutReturn);
  }
  rest += decode(decoder);
  if (rest !== '') yield [withoutReturn(rest)];
}

function decode(decoder: InstanceType<typeof TextDecoder>, chunk?: Buffer): string {
  try {
    return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode();
  } catch (error) {
    throw unreadable('it is not GBK', error);
  }
}

const withoutReturn = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line);

/** Alipay puts tabs after long numbers so that spreadsheets read them as text. */
const bare = (cell: string | undefined): string => (cell ?? '').replace(/[\t "]/g, '');

/** Alipay writes the brackets of （元） in full width; copies of its files do not. */
const titleOf = (cell: string): string => bare(cell).replaceAll('（', '(').replaceAll('）', ')');

/** The position of each column: Alipay has added columns, and may again. */
export class Columns {
  readonly #titles: readonly string[];

  /** @throws PaymentError BILL_UNREADABLE if one of `needed` is missing */
  constructor(header: string, needed: readonly string[]) {
    this.#titles = header.split(',').map(titleOf);
    const missing = needed.filter((title) => !this.#titles.includes(title));
    if (missing.length > 0) throw unreadable(`it has no column ${missing.join(', ')}`);
  }

  at(title: string): number {
    return this.#titles.indexOf(title);
  }

  /**
   * The cells of a line. A product's name (商品名称) may contain commas, and times: it ends at the last two times that
   * leave a cell for each column after them. Any excess after that belongs to the remark (备注), the last column.
   */
  cells(line: string): string[] {
    const cells = line.split(',');
    const [name, times] = [this.at('商品名称'), this.at('创建时间')];
    if (cells.length > this.#titles.length && times === name + 1) {
      const most = times + cells.length - this.#titles.length;
      for (let at = most; at >= times; at -= 1) {
        if (timeOf(cells[at]) && timeOf(cells[at + 1])) return [...cells.slice(0, times), ...cells.slice(at)];
      }
    }
    return cells;
  }

  text(cells: readonly string[], title: string): string {
    return bare(cells[this.at(title)]);
  }

  /** @returns fen, possibly negative; undefined if it is not an amount */
  fen(cells: readonly string[], title: string): number | undefined {
    return fenOf(this.text(cells, title));
  }

  time(cells: readonly string[], title: string): Date | null {
    return timeOf(cells[this.at(title)]);
  }
}

/** Converts yuan as a bill writes them to fen; undefined if it is not an amount. */
export const fenOf = (yuan: string): number | undefined =>
  /^-?\d{1,12}(\.\d{1,2})?$/.test(yuan) ? toFen(yuan) : undefined;

const timeOf = (cell: string | undefined): Date | null => fromBeijing(cell?.trim());
