import type { Discrepancy } from '../db/discrepancies';
import type { DiscrepancyKind, Sum } from '../workflows/messages';
import { DISCREPANCIES_IN_WORDS } from '../workflows/in-words';
import { DISCREPANCY_KINDS } from '../workflows/messages';
import type { ReconciliationReport } from './reconciliations';

const both = (en: string, zh: string): string => `${en} <span lang="zh">${zh}</span>`;

const IN_CHINESE: Readonly<Record<DiscrepancyKind, string>> = {
  'payment-unrecorded': '支付宝已收款，本地未付',
  'payment-late': '支付宝已收款，本地已关闭',
  'payment-unknown': '支付宝有收款，本地无此单',
  'payment-differs': '收款金额不符',
  'payment-absent': '本地已收款，账单中没有',
  'payment-doubled': '账单中收款重复',
  'refund-unrecorded': '支付宝已退款，本地未记',
  'refund-unknown': '支付宝有退款，本地无此单',
  'refund-differs': '退款金额不符',
  'refund-absent': '本地已退款，账单中没有',
  'refund-doubled': '账单中退款重复',
  'not-understood': '其他业务类型',
};

const wordsFor = (kind: DiscrepancyKind): string => both(DISCREPANCIES_IN_WORDS[kind], IN_CHINESE[kind]);

const STATUS_WORDS: Readonly<Record<ReconciliationReport['status'], string>> = {
  LOADING: both('not finished', '处理中'),
  COMPARED: both('compared', '已核对'),
  NO_BILL: both('no bill', '无账单'),
  FAILED: both('not usable', '账单不可用'),
};

/** One page that an accountant can read and print: matched, repaired, open, to the fen; English and Chinese. */
export function reconciliationPage(report: ReconciliationReport): string {
  const { sellerId, date, status, because, updatedAt } = report;
  const figures = report.report;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Alipay ${escape(date)}</title><style>
body{font:11pt/1.4 "Helvetica Neue",Arial,"PingFang SC","Microsoft YaHei",sans-serif;max-width:48rem;margin:2rem auto;color:#111}
h1{font-size:1.4rem;margin:0}small{color:#555}table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.2rem .6rem;border-bottom:1px solid #ccc}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.open{font-weight:600}@media print{body{margin:0;max-width:none}tr{break-inside:avoid}}
</style></head><body>
<h1>${both('Reconciliation', '对账单核对')} ${escape(date)}</h1>
<p>${both('Seller', '商户')}: ${escape(sellerId)}<br>
${both('Status', '状态')}: ${STATUS_WORDS[status]}${because === null ? '' : ` (${escape(because)})`}<br>
<small>${escape(updatedAt.toISOString())}</small></p>
${
  figures === null
    ? ''
    : [
        sums([
          [both('Payments in the bill', '账单收款'), figures.bill.payments],
          [both('Payments matched', '收款相符'), figures.matched.payments],
          [both('Refunds in the bill', '账单退款'), figures.bill.refunds],
          [both('Refunds matched', '退款相符'), figures.matched.refunds],
          [both('Other applications', '其他应用'), figures.foreign],
        ]),
        kinds(figures.discrepancies),
      ].join('\n')
}
${list(report.found)}
</body></html>
`;
}

function sums(lines: readonly [string, Sum][]): string {
  const body = lines.map(([words, { count, amount }]) => row([words], [String(count), amount]));
  return tableOf(['<th></th>', number('Count', '笔数'), number('Yuan', '金额（元）')], body);
}

function kinds(found: NonNullable<ReconciliationReport['report']>['discrepancies']): string {
  const body = DISCREPANCY_KINDS.flatMap((kind) => {
    const one = found[kind];
    return one
      ? [row([wordsFor(kind)], [one.found, one.repaired, one.open, one.openAmount].map(String))]
      : [];
  });
  if (body.length === 0) return `<p>${both('No discrepancies.', '没有差异。')}</p>`;
  return tableOf(
    [
      head('Discrepancy', '差异'),
      number('Found', '发现'),
      number('Repaired', '已修复'),
      number('Open', '未解决'),
      number('Open, yuan', '未解决（元）'),
    ],
    body,
  );
}

function list(found: readonly Discrepancy[]): string {
  if (found.length === 0) return '';
  const body = found.map(({ kind, outTradeNo, outRequestNo, tradeNo, billAmount, ourAmount, goneAt }) => {
    const state = goneAt ? both('repaired', '已修复') : `<span class="open">${both('open', '未解决')}</span>`;
    const ids = [outTradeNo, outRequestNo, tradeNo ?? ''].map(escape);
    return row([wordsFor(kind), ...ids, state], [billAmount ?? '–', ourAmount ?? '–']);
  });
  return tableOf(
    [
      head('Discrepancy', '差异'),
      head('Payment', '商户订单号'),
      head('Refund', '退款请求号'),
      head('Alipay', '支付宝交易号'),
      head('State', '状态'),
      number('Bill', '账单'),
      number('Here', '本地'),
    ],
    body,
  );
}

const head = (en: string, zh: string): string => `<th>${both(en, zh)}</th>`;
const number = (en: string, zh: string): string => `<th class="n">${both(en, zh)}</th>`;

const row = (cells: readonly string[], numbers: readonly string[]): string =>
  `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}${numbers.map((cell) => `<td class="n">${cell}</td>`).join('')}</tr>`;

const tableOf = (heads: readonly string[], body: readonly string[]): string =>
  `<table><thead><tr>${heads.join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;

const escape = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
