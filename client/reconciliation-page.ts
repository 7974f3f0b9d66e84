import type { Discrepancy } from '../db/discrepancies';
import type { DiscrepancyKind, Sum } from '../workflows/messages';
import { DISCREPANCIES_IN_WORDS } from '../workflows/in-words';
import { DISCREPANCY_KINDS } from '../workflows/messages';
import type { ReconciliationReport } from './reconciliations';

interface Words {
  en: string;
  zh: string;
}

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

const wordsFor = (kind: DiscrepancyKind): Words => ({
  en: DISCREPANCIES_IN_WORDS[kind],
  zh: IN_CHINESE[kind],
});

const STATUS_WORDS: Readonly<Record<ReconciliationReport['status'], Words>> = {
  LOADING: { en: 'not finished', zh: '处理中' },
  COMPARED: { en: 'compared', zh: '已核对' },
  NO_BILL: { en: 'no bill', zh: '无账单' },
  FAILED: { en: 'not usable', zh: '账单不可用' },
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
<h1>${both({ en: 'Reconciliation', zh: '对账单核对' })} ${escape(date)}</h1>
<p>${both({ en: 'Seller', zh: '商户' })}: ${escape(sellerId)}<br>
${both({ en: 'Status', zh: '状态' })}: ${both(STATUS_WORDS[status])}${because === null ? '' : ` (${escape(because)})`}<br>
<small>${escape(updatedAt.toISOString())}</small></p>
${
  figures === null
    ? ''
    : [
        sums([
          [{ en: 'Payments in the bill', zh: '账单收款' }, figures.bill.payments],
          [{ en: 'Payments matched', zh: '收款相符' }, figures.matched.payments],
          [{ en: 'Refunds in the bill', zh: '账单退款' }, figures.bill.refunds],
          [{ en: 'Refunds matched', zh: '退款相符' }, figures.matched.refunds],
          [{ en: 'Other applications', zh: '其他应用' }, figures.foreign],
        ]),
        kinds(figures.discrepancies),
      ].join('\n')
}
${list(report.found)}
</body></html>
`;
}

const both = ({ en, zh }: Words): string => `${en} <span lang="zh">${zh}</span>`;

function sums(lines: readonly [Words, Sum][]): string {
  const body = lines.map(([words, { count, amount }]) => row([both(words)], [String(count), amount]));
  return tableOf(['', number({ en: 'Count', zh: '笔数' }), number({ en: 'Yuan', zh: '金额（元）' })], body);
}

function kinds(found: NonNullable<ReconciliationReport['report']>['discrepancies']): string {
  const body = DISCREPANCY_KINDS.flatMap((kind) => {
    const one = found[kind];
    if (!one) return [];
    const { found: all, repaired, open, openAmount } = one;
    return [row([both(wordsFor(kind))], [all, repaired, open, openAmount].map(String))];
  });
  if (body.length === 0) return `<p>${both({ en: 'No discrepancies.', zh: '没有差异。' })}</p>`;
  const heads = [
    { en: 'Found', zh: '发现' },
    { en: 'Repaired', zh: '已修复' },
    { en: 'Open', zh: '未解决' },
    { en: 'Open, yuan', zh: '未解决（元）' },
  ];
  return tableOf([head({ en: 'Discrepancy', zh: '差异' }), ...heads.map(number)], body);
}

function list(found: readonly Discrepancy[]): string {
  if (found.length === 0) return '';
  const body = found.map(({ kind, outTradeNo, outRequestNo, tradeNo, billAmount, ourAmount, goneAt }) =>
    row(
      [
        both(wordsFor(kind)),
        ...[outTradeNo, outRequestNo, tradeNo ?? ''].map(escape),
        goneAt
          ? both({ en: 'repaired', zh: '已修复' })
          : `<span class="open">${both({ en: 'open', zh: '未解决' })}</span>`,
      ],
      [billAmount ?? '–', ourAmount ?? '–'],
    ),
  );
  const heads = [
    { en: 'Discrepancy', zh: '差异' },
    { en: 'Payment', zh: '商户订单号' },
    { en: 'Refund', zh: '退款请求号' },
    { en: 'Alipay', zh: '支付宝交易号' },
    { en: 'State', zh: '状态' },
  ];
  const numbers = [
    { en: 'Bill', zh: '账单' },
    { en: 'Here', zh: '本地' },
  ];
  return tableOf([...heads.map(head), ...numbers.map(number)], body);
}

const head = (words: Words): string => `<th>${both(words)}</th>`;
const number = (words: Words): string => `<th class="n">${both(words)}</th>`;

const row = (cells: readonly string[], numbers: readonly string[]): string =>
  `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}${numbers.map((cell) => `<td class="n">${cell}</td>`).join('')}</tr>`;

const tableOf = (heads: readonly string[], body: readonly string[]): string =>
  `<table><thead><tr>${heads.map((cell) => cell || '<th></th>').join('')}</tr></thead><tbody>${body.join('\n')}</tbody></table>`;

const escape = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
