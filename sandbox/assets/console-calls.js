import { act, beijingOf, byId, el, fill, replyOf, SHOWN_MAX, words } from './console-dom.js';

/** Longer values are not shown inline. */
const LINE_MAX = 80;

/** The calls and notifications shown, oldest first. */
export const calls = [];

/** Whether somebody should look at this entry. */
export const isProblem = (entry) =>
  (entry.kind === 'call' &&
    (entry.flaw !== undefined || entry.fault !== undefined || entry.signature === 'false')) ||
  (entry.kind === 'notification' && !entry.accepted);

function flawText({ kind, field }) {
  return words.flaws[kind].replace('{field}', field ?? words.values);
}

/** The badges of an entry, which show its outcome at a glance. */
function marksOf(entry) {
  const mark = (tone, text) => el('span', { class: 'badge', data: { tone } }, text);
  if (entry.kind === 'buyer') return [];
  if (entry.kind === 'notification') {
    const said = entry.answer === undefined ? (entry.error ?? words.lostOnTheWay) : replyOf(entry.answer);
    return [
      entry.fault && mark('warn', entry.fault),
      mark(entry.accepted ? 'good' : 'bad', entry.accepted ? 'success' : said),
    ];
  }
  const { signature, fault, subCode, code, httpStatus } = entry;
  const answer = subCode ?? code ?? (httpStatus === undefined ? words.noAnswer : `HTTP ${httpStatus}`);
  return [
    fault && mark('warn', fill(words.fault, { mode: fault.mode })),
    mark({ genuine: 'good', false: 'bad' }[signature] ?? 'none', words[signature] ?? words.unchecked),
    mark(code === '10000' || (code === undefined && httpStatus === 200) ? 'plain' : 'warn', answer),
  ];
}

/** The title of an entry in its line. */
export function titleOf(entry) {
  if (entry.kind === 'buyer') return words[`buyer_${entry.action}`];
  if (entry.kind === 'call') return entry.method === '' ? '?' : entry.method.replace(/^alipay\./, '');
  return `${entry.tradeStatus} · ${fill(words.attempt, { n: entry.attempt })}`;
}

const ARROWS = { call: '→', notification: '←', buyer: '•' };

function callItem(entry) {
  const at = beijingOf(entry.at);
  const marks = el('span', { class: 'marks' }, ...marksOf(entry).filter(Boolean));
  const cells = [
    el('time', { datetime: entry.at, title: at }, at.slice(11)),
    el('span', { class: 'arrow', 'aria-hidden': 'true' }, ARROWS[entry.kind]),
    el('span', { class: 'title' }, titleOf(entry)),
    el('span', { class: 'no', title: entry.sellerId }, entry.outTradeNo ?? ''),
    marks,
  ];
  const node = el('li', { class: 'call', data: { kind: entry.kind } });
  if (entry.kind === 'buyer') {
    node.append(el('div', { class: 'head' }, ...cells));
    return { entry, node };
  }
  const head = el('button', { class: 'head', type: 'button', 'aria-expanded': 'false' }, ...cells);
  let panel;
  head.addEventListener('click', () => {
    if (panel === undefined)
      node.append((panel = el('div', { class: 'panel', hidden: true }, ...detailsOf(entry))));
    panel.hidden = !panel.hidden;
    head.setAttribute('aria-expanded', String(!panel.hidden));
  });
  node.append(head);
  if (entry.flaw !== undefined && entry.flaw.kind !== 'refused') {
    const { expected, got } = entry.flaw;
    const value = (label, text) =>
      text === undefined || text.length > LINE_MAX
        ? undefined
        : el('span', {}, `${label} `, el('b', {}, text));
    node.append(
      el(
        'p',
        { class: 'flaw' },
        flawText(entry.flaw),
        value(words.expected, expected),
        value(words.got, got),
      ),
    );
  }
  return { entry, node };
}

function detailsOf(entry) {
  const block = (label, text) =>
    text === undefined ? [] : [el('h3', {}, label), el('pre', { tabindex: '0', 'aria-label': label }, text)];
  if (entry.kind === 'call') {
    const { flaw } = entry;
    const long = (text) => (text !== undefined && text.length > LINE_MAX ? text : undefined);
    return [
      ...block(words.expected, long(flaw?.expected)),
      ...block(flaw?.kind === 'altered' ? words.checked : words.got, long(flaw?.got)),
      ...block(words.sellerId, entry.sellerId),
      ...block(words.question, entry.question),
      ...block(words.answer, entry.answer),
    ];
  }
  const again = el('button', { type: 'button', data: { act: 'replay' } }, words.replay);
  again.addEventListener('click', () =>
    act('replayNotification', { notifyId: entry.notifyId }, words.replay, entry.outTradeNo),
  );
  return [
    ...block(words.sellerId, entry.sellerId),
    ...block(words.url, entry.url),
    ...block(words.notifyId, entry.notifyId),
    ...block(words.answer, entry.answer === undefined ? entry.error : replyOf(entry.answer)),
    entry.accepted || entry.answer === undefined
      ? undefined
      : el('p', { class: 'flaw' }, words.mustBeSuccess),
    again,
  ];
}

/** Shows an entry. */
export function putCall(entry) {
  const item = callItem(entry);
  calls.push(item);
  byId('calls').prepend(item.node);
  while (calls.length > SHOWN_MAX) calls.shift().node.remove();
}
