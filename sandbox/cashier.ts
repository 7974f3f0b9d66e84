import { createHash, type KeyObject } from 'node:crypto';
import { beijingTime } from './beijing';
import { CASHIER_WORDS, type CashierWords } from './cashier-words';
import type { Flaw } from './flaw';
import { FLAW_LABELS, flawSentence } from './flaw-words';
import type { Language } from './language';
import { yuan } from './money';
import type { Merchant } from './notification';
import type { Refusal } from './refusal';
import { payableUntil, type Order, type Trade } from './trade';
import { escapeHtml, signContent, signText } from './wire';

/** Longer values are not shown inline on the page. */
const FOLD_FROM = 200;

const STYLE = `
:root{color-scheme:light dark;--blue:#1677ff;--deep:#0e5fd8;--link:#0b5cd6;--ink:#1f2329;--soft:#5c636d;--line:#dfe3ea;--card:#fff;--page:#f2f5fa;
--green:#0a8f3c;--grey:#7a818c;--ring:#91c3ff;--shadow:rgba(20,40,80,.12)}
@media (prefers-color-scheme:dark){:root{--blue:#1668dc;--deep:#2b7cf0;--link:#74aefb;--ink:#e8eaed;--soft:#a3aab5;--line:#3a404a;--card:#1d2127;
--page:#14171b;--green:#1a9c4b;--grey:#6b727d;--ring:#4f8fe0;--shadow:rgba(0,0,0,.4)}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:16px;background:var(--page);
color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{width:100%;max-width:420px;min-width:0;background:var(--card);border-radius:16px;box-shadow:0 8px 32px var(--shadow);overflow:hidden;
overflow-wrap:anywhere}
header{background:var(--blue);color:#fff;padding:14px 24px;display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:2px 12px}
header b{font-size:17px}header span{font-size:13px}header a{color:#fff;margin-left:10px}
section{padding:24px}
h1{margin:0 0 4px;font-size:18px;font-weight:600}
.amount{margin:0 0 16px;color:var(--ink);font-size:40px;font-weight:650;line-height:1.2;font-variant-numeric:tabular-nums}
.amount small{font-size:22px;font-weight:500;margin-right:2px}
dl{display:grid;grid-template-columns:auto minmax(0,1fr);gap:8px 16px;margin:0 0 24px;padding:16px 0 0;border-top:1px solid var(--line);font-size:14px}
dt{color:var(--soft)}dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}
dl.said{border:0;padding:0;margin:0}.said dd{text-align:left}
form{display:grid;gap:10px}
button,.button{display:block;width:100%;min-height:44px;padding:10px 16px;border:1px solid var(--line);border-radius:10px;background:var(--card);
color:var(--ink);font:inherit;text-align:center;text-decoration:none;cursor:pointer}
button:hover,.button:hover{border-color:var(--blue)}
a:focus-visible,button:focus-visible,summary:focus-visible{outline:3px solid var(--ring);outline-offset:2px}
header a:focus-visible{outline-color:#fff}
#pay,#back{background:var(--blue);border-color:var(--blue);color:#fff;font-weight:600}
#pay:hover,#back:hover{background:var(--deep)}
#scan{border-color:transparent;color:var(--link);font-size:14px}
p{margin:0 0 16px;color:var(--soft)}
#reason{color:var(--ink)}
details{margin-top:16px;font-size:13px;color:var(--soft)}summary{cursor:pointer}
details p{margin:8px 0 0;padding:10px;border-radius:8px;background:var(--page);max-height:40vh;overflow-y:auto}
.mark{width:56px;height:56px;margin:0 0 16px;border-radius:50%;display:grid;place-items:center;font-size:28px;color:#fff;background:var(--green)}
.mark.no{background:var(--grey)}
`;

// Counts down the time left; without scripts the page shows when it ends, which is just as true.
const SCRIPT = `const e=document.getElementById('left');if(e&&e.dataset.until){const t=()=>{
const s=Math.max(0,Math.round((e.dataset.until-Date.now())/1000)),d=Math.floor(s/86400),h=Math.floor(s/3600)%24,p=n=>String(n).padStart(2,'0');
e.textContent=s?(d?d+' '+e.dataset.day+' ':'')+(d||h?p(h)+':':'')+p(Math.floor(s/60)%60)+':'+p(s%60):e.dataset.expired;};t();setInterval(t,1000);}`;

/** The headers of every cashier page: it loads nothing from elsewhere, and its forms go only to the sandbox. */
export const PAGE_HEADERS = {
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'content-security-policy': [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    `script-src 'sha256-${createHash('sha256').update(SCRIPT).digest('base64')}'`,
    "form-action 'self'",
    "base-uri 'none'",
  ].join('; '),
} as const;

/**
 * The cashier page of an unpaid order, with everything that a buyer can do.
 * Buttons: `#pay`, `#pay-lose-notify`, `#leave`, and `#scan` until there is a trade.
 */
export function orderPage(order: Order, trade: Trade | undefined, now: number, language: Language): string {
  const words = CASHIER_WORDS[language];
  const until = trade?.expiresAt ?? payableUntil(order);
  const button = (id: string, label: string) =>
    `<button id="${id}" formaction="/cashier/${order.cashierId}/${id}">${label}</button>`;
  return layout(
    language,
    words.titles.order,
    `<h1>${escapeHtml(order.subject)}</h1>
<p class="amount" id="amount"><small>¥</small>${yuan(order.totalFen)}</p>
<dl>
<dt>${words.order}</dt><dd id="out-trade-no">${escapeHtml(order.outTradeNo)}</dd>
<dt>${words.trade}</dt><dd id="trade-status">${trade === undefined ? words.notScanned : statusOf(trade, words)}</dd>
<dt>${words.timeLeft}</dt><dd>${timeLeft(until, now, words)}</dd>
</dl>
<form method="post">
${button('pay', words.pay)}
${button('pay-lose-notify', words.payLoseNotify)}
${button('leave', words.leave)}
${trade === undefined ? button('scan', words.scan) : ''}
</form>`,
    order,
  );
}

function statusOf({ status }: Trade, { states }: CashierWords): string {
  return `${states[status]} (${status})`;
}

function timeLeft(until: number, now: number, words: CashierWords): string {
  if (until === Infinity) return `<span id="left">${words.noLimit}</span>`;
  const text = until <= now ? words.expired : words.until.replace('{time}', beijingTime(until));
  return `<time id="left" data-until="${until}" data-day="${words.day}" data-expired="${words.expired}">${text}</time>`;
}

/** The page after the payment. Its link `#back` leads to the signed `return_url` of the order, if it has one. */
export function paidPage(trade: Trade, merchant: Merchant, now: number, language: Language): string {
  const { order } = trade;
  const words = CASHIER_WORDS[language];
  const back =
    order.returnUrl === undefined
      ? ''
      : `<a class="button" id="back" href="${escapeHtml(signedReturn(trade, order.returnUrl, merchant, now))}">${words.back}</a>`;
  return layout(
    language,
    words.titles.paid,
    `<div class="mark" aria-hidden="true">✓</div>
<h1 id="paid">${words.paid}</h1>
<p class="amount"><small>¥</small>${yuan(order.totalFen)}</p>
<dl>
<dt>${words.order}</dt><dd id="out-trade-no">${escapeHtml(order.outTradeNo)}</dd>
<dt>${words.trade}</dt><dd>${trade.tradeNo}</dd>
<dt>${words.status}</dt><dd id="trade-status">${statusOf(trade, words)}</dd>
</dl>
${trade.undelivered === true ? `<p id="undelivered">${words.lost}</p>` : ''}${back}`,
    order,
  );
}

/** The page after the buyer has left: nothing was paid, and the cashier can be opened again. */
export function leftPage(order: Order, language: Language): string {
  const words = CASHIER_WORDS[language];
  return layout(
    language,
    words.titles.left,
    `<div class="mark no" aria-hidden="true">–</div>
<h1 id="left-unpaid">${words.left}</h1>
<p>${words.unchanged.replace('{order}', escapeHtml(order.outTradeNo))}</p>
<a class="button" href="/cashier/${order.cashierId}">${words.again}</a>`,
    order,
  );
}

/**
 * The page for a request or an action that the cashier refuses. A long reason is folded.
 * @param flaw what exactly was wrong with the request, if that is known
 */
export function refusalPage(refusal: Refusal, language: Language, flaw?: Flaw): string {
  const words = CASHIER_WORDS[language];
  const { expected, got } = FLAW_LABELS[language];
  const row = (label: string, value: string | undefined) =>
    value === undefined || value.length > FOLD_FROM ? '' : `<dt>${label}</dt><dd>${escapeHtml(value)}</dd>`;
  const told = flaw === undefined || flaw.kind === 'refused' ? undefined : flawSentence(flaw, language);
  return layout(
    language,
    words.titles.refused,
    `<div class="mark no" aria-hidden="true">!</div>
<h1 id="refused">${words.refused}</h1>
<p id="reason">${escapeHtml(told ?? refusal.message)}</p>
<dl class="said">${row(words.code, refusal.code)}${row(expected, flaw?.expected)}${told === undefined ? '' : row(got, flaw?.got)}</dl>
${told === undefined ? '' : `<details><summary>${words.said}</summary><p>${escapeHtml(refusal.message)}</p></details>`}`,
  );
}

/**
 * The URL to which the buyer's browser returns, with the parameters that Alipay adds, signed like a notification. A
 * shop must not rely on them: they come through a browser.
 */
export function signedReturn(trade: Trade, returnUrl: string, merchant: Merchant, now: number): string {
  const kind = trade.order.product === 'wap' ? 'wap' : 'page';
  const fields = signReturn(
    {
      app_id: merchant.appId,
      auth_app_id: merchant.authAppId,
      charset: trade.order.charset ?? 'utf-8',
      method: `alipay.trade.${kind}.pay.return`,
      out_trade_no: trade.order.outTradeNo,
      seller_id: merchant.sellerId,
      timestamp: beijingTime(now),
      total_amount: yuan(trade.order.totalFen),
      trade_no: trade.tradeNo,
      version: '1.0',
    },
    merchant.alipayPrivate,
  );
  const url = new URL(returnUrl);
  for (const [name, value] of Object.entries(fields)) url.searchParams.set(name, value);
  return url.toString();
}

function signReturn(fields: Record<string, string>, key: KeyObject): Record<string, string> {
  const sign = signText(signContent(fields, ['sign', 'sign_type']), key);
  return { ...fields, sign_type: 'RSA2', sign };
}

function layout(language: Language, title: string, content: string, order?: Order): string {
  const words = CASHIER_WORDS[language];
  const other = language === 'en' ? 'zh' : 'en';
  const change =
    order === undefined
      ? ''
      : `<a id="language" lang="${other}" href="/cashier/${order.cashierId}?language=${other}">${words.other}</a>`;
  return `<!DOCTYPE html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · ${words.brand}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header><b>${words.brand}</b><span>${words.noMoney}${change}</span></header>
<section>
${content}
</section>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
}
