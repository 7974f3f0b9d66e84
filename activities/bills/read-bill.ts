import type { Bill, BillLine } from '../../db/bill-lines';
import { toFen, toYuan } from '../../db/money';
import { PaymentError } from '../../workflows/errors';
import { Columns, fenOf, linesOf } from './csv';
import { unreadable } from './download';

/** How many lines, and their sum: 商家实收, fen; refunds are negative. */
interface Total {
  count: number;
  fen: number;
}

export interface BillTotals {
  payments: Total;
  refunds: Total;
}

/** Kinds of lines (业务类型). */
const KINDS: Readonly<Record<string, BillLine['kind']>> = { 交易: 'payment', 退款: 'refund' };

const RECEIVED = '商家实收(元)';
const NEEDED = [
  ...['支付宝交易号', '商户订单号', '业务类型', '创建时间', '完成时间', '订单金额(元)', RECEIVED],
  ...['退款批次号/请求号', '服务费(元)'],
];

/** How many lines are yielded at once. */
const BATCH = 5_000;

/**
 * Yields the lines of a bill's detail, as Alipay writes it ("#支付宝业务明细查询"), in batches; returns their totals when all
 * are read.
 *
 * @throws PaymentError BILL_UNREADABLE if it is another account's or another day's, ends early, or cannot be parsed;
 *   BILL_NOT_TIED if its lines do not add up to the totals at its foot
 */
export async function* readDetail(
  file: AsyncIterable<Buffer>,
  identity: Bill,
): AsyncGenerator<BillLine[], BillTotals> {
  const sheet = new Sheet(identity, '业务明细列表结束');
  const totals: BillTotals = { payments: { count: 0, fen: 0 }, refunds: { count: 0, fen: 0 } };
  let columns: Columns | undefined;
  let number = 0;
  let batch: BillLine[] = [];
  for await (const lines of linesOf(file)) {
    for (const line of lines) {
      if (sheet.takes(line)) continue;
      if (!columns) {
        sheet.assertIdentity();
        columns = new Columns(line, NEEDED);
        continue;
      }
      number += 1;
      const read = lineOf(columns, line, number);
      add(totals, read);
      batch.push(read);
    }
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
  sheet.assertWhole();
  assertTied('the foot of the detail', totals, footOf(sheet));
  return totals;
}

/**
 * Compares the totals of the detail with the summary in the same archive.
 *
 * @throws PaymentError BILL_UNREADABLE, BILL_NOT_TIED
 */
export async function checkSummary(
  file: AsyncIterable<Buffer>,
  identity: Bill,
  { payments, refunds }: BillTotals,
): Promise<void> {
  const sheet = new Sheet(identity, '业务汇总列表结束');
  const [paid, refunded] = ['交易订单总笔数', '退款订单总笔数'];
  let columns: Columns | undefined;
  let found = false;
  for await (const lines of linesOf(file)) {
    for (const line of lines) {
      if (sheet.takes(line)) continue;
      if (!columns) {
        sheet.assertIdentity();
        columns = new Columns(line, [paid, refunded, RECEIVED]);
      } else if (line.startsWith('合计')) {
        found = true;
        const cells = line.split(',');
        const fen = columns.fen(cells, RECEIVED);
        const counts = [paid, refunded].map((title) => columns?.text(cells, title));
        if (counts[0] !== String(payments.count) || counts[1] !== String(refunds.count)) {
          throw notTied(
            `the summary has ${counts.join(' and ')} lines, the detail ${payments.count} and ${refunds.count}`,
          );
        }
        // In older files, refunds are not deducted.
        if (fen !== payments.fen + refunds.fen && fen !== payments.fen) {
          throw notTied(
            `the summary has a different sum from the detail, ${toYuan(payments.fen + refunds.fen)}`,
          );
        }
      }
    }
  }
  if (!found) throw unreadable('its summary has no row 合计');
}

/** What surrounds the lines: account, days, totals, all after a `#`. */
class Sheet {
  readonly #remarks: string[] = [];

  constructor(
    private readonly identity: Bill,
    private readonly end: string,
  ) {}

  /** Whether a line is not one of the bill's own lines. */
  takes(line: string): boolean {
    if (line.startsWith('#')) this.#remarks.push(line);
    return line === '' || line.startsWith('#');
  }

  assertIdentity(): void {
    const { sellerId, date } = this.identity;
    const account = this.find(/^#账号：\[(\d+)\]/)?.[1];
    if (account !== sellerId && account !== `${sellerId}0156`)
      throw unreadable('it belongs to another account');
    const [, year, month, day] = this.find(/^#起始日期：\[(\d{4})年(\d\d)月(\d\d)日/) ?? [];
    if (`${year}-${month}-${day}` !== date) throw unreadable('it is for another day');
  }

  assertWhole(): void {
    if (this.#remarks.length === 0) throw unreadable('it is empty');
    if (!this.#remarks.some((line) => line.includes(this.end))) throw unreadable('its end is missing');
  }

  find(form: RegExp): RegExpExecArray | undefined {
    for (const line of this.#remarks) {
      const found = form.exec(line);
      if (found) return found;
    }
    return undefined;
  }
}

function lineOf(columns: Columns, text: string, line: number): BillLine {
  const cells = columns.cells(text);
  const [amount, received] = [columns.fen(cells, '订单金额(元)'), columns.fen(cells, RECEIVED)];
  const at = columns.time(cells, '完成时间');
  const outTradeNo = columns.text(cells, '商户订单号');
  const tradeNo = columns.text(cells, '支付宝交易号');
  const kind = KINDS[columns.text(cells, '业务类型')] ?? 'other';
  const isNamed = tradeNo !== '' && (outTradeNo !== '' || kind === 'other');
  if (amount === undefined || received === undefined || !at || !isNamed) {
    throw unreadable(`line ${line} is not understood`);
  }
  return {
    line,
    kind,
    tradeNo,
    outTradeNo,
    outRequestNo: columns.text(cells, '退款批次号/请求号') || null,
    amount: toYuan(Math.abs(amount)),
    received: toYuan(received),
    fee: toYuan(columns.fen(cells, '服务费(元)') ?? 0),
    doneAt: at,
  };
}

function add({ payments, refunds }: BillTotals, { kind, received }: BillLine): void {
  if (kind === 'other') return;
  const total = kind === 'payment' ? payments : refunds;
  total.count += 1;
  total.fen += toFen(received);
}

function footOf(sheet: Sheet): BillTotals {
  const totalOf = (form: RegExp): Total => {
    const [, count, yuan = ''] = sheet.find(form) ?? [];
    const fen = fenOf(yuan);
    if (count === undefined || fen === undefined) throw unreadable('its totals are missing');
    return { count: Number(count), fen };
  };
  return {
    payments: totalOf(/^#交易合计：(\d+)笔，商家实收共(-?[\d.]+)元/),
    refunds: totalOf(/^#退款合计：(\d+)笔，商家实收退款共(-?[\d.]+)元/),
  };
}

function assertTied(where: string, lines: BillTotals, said: BillTotals): void {
  for (const kind of ['payments', 'refunds'] as const) {
    const [here, there] = [lines[kind], said[kind]];
    if (here.count === there.count && here.fen === there.fen) continue;
    throw notTied(
      `${where} has ${there.count} ${kind} of ${toYuan(there.fen)}, its lines are ${here.count} of ${toYuan(here.fen)}`,
    );
  }
}

const notTied = (because: string): PaymentError =>
  new PaymentError(
    'BILL_NOT_TIED',
    `The bill does not add up: ${because}. Nothing was done. Compare it in the portal.`,
  );
