import { beijingTime } from './beijing';
import { encodeGbk } from './gbk';
import { yuan } from './money';
import type { Trade } from './trade';
import { zipOf } from './zip';

/** What may be wrong with the bills, and how large they are. */
export interface BillFaults {
  /** `isp.bill_not_exist`, as before 9:00 in the morning. */
  notReady?: boolean;
  /** How many of the next URLs have already expired when they are fetched. */
  expired?: number;
  /** How many of the next archives end halfway through. */
  truncated?: number;
  /** The sums at the end and in the summary are one fen too high. */
  wrongTotals?: boolean;
  /** Trades whose lines are left out, by `out_trade_no`. */
  missing?: string[];
  /** Trades whose lines are duplicated. */
  doubled?: string[];
  /** How many payments to add of another application of the same seller. */
  foreign?: number;
  /** How many payments to add to those of the ledger: `bulk_0000001` …, see {@link bulkPayment}. */
  bulk?: number;
  /** Every trade is in the bill of whatever day is requested, at noon: for tests that do not wait until tomorrow. */
  anyDay?: boolean;
}

/** Whose bill, and for which day. */
export interface BillRequest {
  sellerId: string;
  /** `yyyy-MM-dd`, in Beijing. */
  date: string;
  now: number;
}

/** One line. Amounts in fen, refunds negative. */
interface Line {
  tradeNo: string;
  outTradeNo: string;
  subject: string;
  createdAt: string;
  doneAt: string;
  fen: number;
  /** Only for a refund. */
  requestNo?: string;
}

const COLUMNS =
  '支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,' +
  '支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,' +
  '服务费（元）,分润（元）,备注';
const SUMMARY_COLUMNS =
  '门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,' +
  '分润（元）,实收净额（元）';

/** GBK bytes as one character each: a line is assembled as text and written in one go. */
const gbk = (text: string): string => encodeGbk(text, '?').toString('latin1');

const PAYMENT = gbk('交易');
const REFUND = gbk('退款');
const BUYER = gbk('*某(sbx***@sandbox.com)');
/** An empty cell as Alipay writes it. */
const EMPTY = '\t';
const NOON = '12:00:00';
const LINES_AT_ONCE = 1_000;

/** The bill of one day in Alipay's format: a zip of two CSV files in GBK, details and summary. */
export function billOf(
  trades: readonly Trade[],
  { sellerId, date, now }: BillRequest,
  faults: BillFaults,
): AsyncGenerator<Buffer> {
  const totals = new Totals();
  const name = (rest: string): Buffer =>
    encodeGbk(`${sellerId}0156_${date.replaceAll('-', '')}_业务明细${rest}.csv`);
  const head = [
    `#账号：[${sellerId}0156]`,
    `#起始日期：[${chinese(date)} 00:00:00]   终止日期：[${chinese(nextDay(date))} 00:00:00]`,
  ];
  const exported = `#导出时间：[${chinese(beijingTime(now).slice(0, 10))} ${beijingTime(now).slice(11)}]`;
  const wrong = faults.wrongTotals ? 1 : 0;

  const detail = function* (): Generator<Buffer> {
    yield text('#支付宝业务明细查询', ...head, ruled('业务明细列表'), COLUMNS);
    let written: string[] = [];
    for (const line of linesOf(trades, date, faults)) {
      totals.add(line);
      written.push(rendered(line));
      if (written.length < LINES_AT_ONCE) continue;
      yield Buffer.from(written.join(''), 'latin1');
      written = [];
    }
    yield Buffer.from(written.join(''), 'latin1');
    const { payments, refunds } = totals;
    yield text(
      ruled('业务明细列表结束'),
      `#交易合计：${payments.count}笔，商家实收共${yuan(payments.fen + wrong)}元，商家优惠共0.00元`,
      `#退款合计：${refunds.count}笔，商家实收退款共${yuan(refunds.fen)}元，商家优惠退款共0.00元`,
      exported,
    );
  };
  // Generated after the details, because it contains their sums.
  const summary = function* (): Generator<Buffer> {
    const { payments, refunds } = totals;
    const net = yuan(payments.fen + refunds.fen + wrong);
    const row = (shop: string) =>
      `${shop},,${payments.count},${refunds.count},${net},${net},0.00,0.00,0.00,${yuan(-totals.feeFen)},0.00,${net}`;
    yield text('#支付宝业务汇总查询', ...head, ruled('业务汇总列表'), SUMMARY_COLUMNS, row(''), row('合计'));
    yield text(ruled('业务汇总列表结束'), exported);
  };
  return zipOf([
    { name: name(''), content: detail() },
    { name: name('(汇总)'), content: summary() },
  ]);
}

/** A payment that appears in a bill of `bulk` lines, but in no ledger: by its number, from 1. */
export function bulkPayment(n: number): { outTradeNo: string; tradeNo: string; fen: number } {
  const digits = String(n).padStart(7, '0');
  return { outTradeNo: `bulk_${digits}`, tradeNo: `202601012200100000000${digits}`, fen: 100 + (n % 10_000) };
}

class Totals {
  readonly payments = { count: 0, fen: 0 };
  readonly refunds = { count: 0, fen: 0 };
  feeFen = 0;

  add({ fen, requestNo }: Line): void {
    const sum = requestNo === undefined ? this.payments : this.refunds;
    sum.count += 1;
    sum.fen += fen;
    this.feeFen += feeOf(fen);
  }
}

/** Alipay's fee, 0.6 %; a refund does not return it. */
const feeOf = (fen: number): number => Math.round(Math.max(0, fen) * 0.006);

function* linesOf(trades: readonly Trade[], date: string, faults: BillFaults): Generator<Line> {
  for (const trade of trades) {
    const { outTradeNo } = trade.order;
    if (faults.missing?.includes(outTradeNo)) continue;
    for (const line of linesOfTrade(trade, date, faults.anyDay ?? false)) {
      yield line;
      if (faults.doubled?.includes(outTradeNo)) yield line;
    }
  }
  for (let n = 1; n <= (faults.bulk ?? 0); n += 1) yield invented(bulkPayment(n), date);
  for (let n = 1; n <= (faults.foreign ?? 0); n += 1) {
    yield invented(
      { outTradeNo: `till-${n}`, tradeNo: `${date.replaceAll('-', '')}22001${n}`, fen: 100 },
      date,
    );
  }
}

function* linesOfTrade(trade: Trade, date: string, anyDay: boolean): Generator<Line> {
  const { tradeNo, createdAt, paidAt, refunds, order } = trade;
  const line = (at: number, fen: number): Line => ({
    tradeNo,
    outTradeNo: order.outTradeNo,
    subject: gbk(order.subject),
    createdAt: beijingTime(createdAt),
    doneAt: anyDay ? `${date} ${NOON}` : beijingTime(at),
    fen,
  });
  const isOfDay = (at: number): boolean => anyDay || beijingTime(at).startsWith(date);
  if (paidAt !== undefined && isOfDay(paidAt)) yield line(paidAt, order.totalFen);
  for (const { outRequestNo, unnumbered, fen, at } of refunds) {
    if (isOfDay(at)) yield { ...line(at, -fen), requestNo: unnumbered ? EMPTY : outRequestNo };
  }
}

function invented({ outTradeNo, tradeNo, fen }: ReturnType<typeof bulkPayment>, date: string): Line {
  const at = `${date} ${NOON}`;
  return { tradeNo, outTradeNo, subject: PAYMENT, createdAt: at, doneAt: at, fen };
}

// The tabs are where Alipay's own files have them, so that spreadsheets treat long numbers as text.
function rendered({ tradeNo, outTradeNo, subject, createdAt, doneAt, fen, requestNo }: Line): string {
  const amount = yuan(fen);
  const kind = requestNo === undefined ? PAYMENT : REFUND;
  return (
    `${tradeNo}\t,${outTradeNo}\t,${kind}\t,${subject},${createdAt},${doneAt},\t,\t,\t,\t,${BUYER}\t,${amount},${amount},` +
    `0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,${requestNo ?? EMPTY},${yuan(-feeOf(fen))},0.00,\r\n`
  );
}

const text = (...lines: string[]): Buffer => encodeGbk(lines.map((line) => `${line}\r\n`).join(''));

const ruled = (title: string): string => `#${'-'.repeat(41)}${title}${'-'.repeat(40)}`;

const chinese = (date: string): string => `${date.slice(0, 4)}年${date.slice(5, 7)}月${date.slice(8, 10)}日`;

const nextDay = (date: string): string =>
  new Date(Date.parse(`${date}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);
