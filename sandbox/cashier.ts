import { createHash, type KeyObject } from 'node:crypto';
import { beijingTime } from './beijing';
import { yuan } from './money';
import type { Merchant } from './notification';
import type { Refusal } from './refusal';
import { payableUntil, type Order, type Trade } from './trades';
import { escapeHtml, signContent, signText } from './wire';

const STYLE = `
:root{color-scheme:light;--blue:#1677ff;--ink:#1f2329;--soft:#646a73;--line:#e5e8ef}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:16px;background:#f2f5fa;
color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI","PingFang SC","Microsoft YaHei",sans-serif}
main{width:100%;max-width:420px;background:#fff;border-radius:16px;box-shadow:0 8px 32px rgba(20,40,80,.12);overflow:hidden}
header{background:var(--blue);color:#fff;padding:14px 24px;display:flex;justify-content:space-between;align-items:baseline;gap:12px}
header b{font-size:17px}header span{font-size:13px}
section{padding:24px}
h1{margin:0 0 4px;font-size:18px;font-weight:600;overflow-wrap:anywhere}
.amount{margin:0 0 16px;color:var(--ink);font-size:40px;font-weight:650;line-height:1.2;font-variant-numeric:tabular-nums}
.amount small{font-size:22px;font-weight:500;margin-right:2px}
dl{display:grid;grid-template-columns:auto 1fr;gap:8px 16px;margin:0 0 24px;padding:16px 0 0;border-top:1px solid var(--line);font-size:14px}
dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
form{display:grid;gap:10px}
button,.button{display:block;width:100%;padding:12px 16px;border:1px solid var(--line);border-radius:10px;background:#fff;color:var(--ink);
font:inherit;text-align:center;text-decoration:none;cursor:pointer}
button:hover,.button:hover{border-color:var(--blue)}
button:focus-visible,.button:focus-visible{outline:3px solid #91c3ff;outline-offset:2px}
#pay,#back{background:var(--blue);border-color:var(--blue);color:#fff;font-weight:600}
#pay:hover,#back:hover{background:#0e5fd8}
#scan{border-color:transparent;color:#0b5cd6;font-size:14px;padding:6px}
p{margin:0 0 16px;color:var(--soft)}
.mark{width:56px;height:56px;margin:0 0 16px;border-radius:50%;display:grid;place-items:center;font-size:28px;color:#fff;background:#0a8f3c}
.mark.no{background:#8f959e}
`;

// Counts down the time left; without scripts the page shows the time at which it ends, which is as true.
const SCRIPT = `const e=document.getElementById('left');if(e&&e.dataset.until){const t=()=>{
const s=Math.max(0,Math.round((e.dataset.until-Date.now())/1000)),d=Math.floor(s/86400),h=Math.floor(s/3600)%24,p=n=>String(n).padStart(2,'0');
e.textContent=s?(d?d+' d ':'')+(d||h?p(h)+':':'')+p(Math.floor(s/60)%60)+':'+p(s%60):'expired';};t();setInterval(t,1000);}`;

/** The headers of every cashier page: nothing is loaded from anywhere, forms go to the sandbox alone. */
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
 * The cashier page of an unpaid order, with everything that a buyer may do.
 * Buttons: `#pay`, `#pay-lose-notify`, `#leave`, and `#scan` until there is a trade.
 */
export function orderPage(order: Order, trade: Trade | undefined, now: number): string {
  const until = trade?.expiresAt ?? payableUntil(order);
  const act = (name: string) => `/cashier/${order.cashierId}/${name}`;
  const scan =
    trade === undefined
      ? `<button id="scan" formaction="${act('scan')}">Scan only (只扫码, the trade begins to exist)</button>`
      : '';
  return layout(
    'Cashier',
    `<h1>${escapeHtml(order.subject)}</h1>
<p class="amount" id="amount"><small>¥</small>${yuan(order.totalFen)}</p>
<dl>
<dt>Order 订单号</dt><dd id="out-trade-no">${escapeHtml(order.outTradeNo)}</dd>
<dt>Trade 交易</dt><dd id="trade-status">${trade === undefined ? 'none yet: not scanned' : trade.status}</dd>
<dt>Time left 剩余时间</dt><dd>${timeLeft(until, now)}</dd>
</dl>
<form method="post">
<button id="pay" formaction="${act('pay')}">Pay</button>
<button id="pay-lose-notify" formaction="${act('pay-lose-notify')}">Pay, but lose the notification</button>
<button id="leave" formaction="${act('leave')}">Leave</button>
${scan}
</form>`,
  );
}

function timeLeft(until: number, now: number): string {
  if (until === Infinity) return '<span id="left">no limit until scanned</span>';
  const words = until <= now ? 'expired' : `until ${beijingTime(until)} (Beijing)`;
  return `<time id="left" data-until="${until}">${words}</time>`;
}

/** The page after the payment. Its link `#back` leads to the order's `return_url`, signed, where there is one. */
export function paidPage(trade: Trade, merchant: Merchant, now: number): string {
  const { order } = trade;
  const back =
    order.returnUrl === undefined ? '' : backLink(signedReturn(trade, order.returnUrl, merchant, now));
  const lost =
    trade.undelivered === true
      ? '<p id="undelivered">Its notification is lost: the shop must find out by itself.</p>'
      : '';
  return layout(
    'Paid',
    `<div class="mark" aria-hidden="true">✓</div>
<h1 id="paid">Payment successful 支付成功</h1>
<p class="amount"><small>¥</small>${yuan(order.totalFen)}</p>
<dl>
<dt>Order 订单号</dt><dd id="out-trade-no">${escapeHtml(order.outTradeNo)}</dd>
<dt>Trade 交易号</dt><dd>${trade.tradeNo}</dd>
<dt>Status 状态</dt><dd id="trade-status">${trade.status}</dd>
</dl>
${lost}${back}`,
  );
}

/** The page after leaving: nothing was paid, and the cashier can be opened again. */
export function leftPage(order: Order): string {
  return layout(
    'Left',
    `<div class="mark no" aria-hidden="true">–</div>
<h1 id="left-unpaid">You left without paying 未付款</h1>
<p>Order ${escapeHtml(order.outTradeNo)} stays as it was.</p>
<a class="button" href="/cashier/${order.cashierId}">Open the cashier again</a>`,
  );
}

/** The page of a request or an act that the cashier refuses. */
export function refusalPage(refusal: Refusal): string {
  return layout(
    'Refused',
    `<div class="mark no" aria-hidden="true">!</div>
<h1 id="refused">This cannot be paid 无法付款</h1>
<p id="reason">${escapeHtml(refusal.message)}</p>`,
  );
}

/**
 * The address to which the buyer's browser returns, with the parameters that Alipay adds, signed as a notification is.
 * They say nothing that a shop may rely on: a browser carries them.
 */
export function signedReturn(trade: Trade, returnUrl: string, merchant: Merchant, now: number): string {
  const kind = trade.order.product === 'wap' ? 'wap' : 'page';
  const fields = signReturn(
    {
      app_id: merchant.appId,
      auth_app_id: merchant.appId,
      charset: 'utf-8',
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

function backLink(url: string): string {
  return `<a class="button" id="back" href="${escapeHtml(url)}">Back to the shop</a>`;
}

function layout(title: string, content: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Alipay sandbox</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header><b>Alipay sandbox</b><span>沙箱收银台 · no real money</span></header>
<section>
${content}
</section>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
}
