import { act, beijing, byId, el, say, words } from './console-dom.js';
import { calls, isProblem, putCall, titleOf } from './console-calls.js';
import { dropTrade, keyOf, putTrade, trades } from './console-trades.js';

// ---- Search ----

function find(text) {
  byId('find').value = text;
  refilter();
}

function refilter() {
  const wanted = byId('find').value.trim().toLowerCase();
  const kind = document.querySelector('#filter input:checked').value;
  let [tradesShown, callsShown] = [0, 0];
  for (const item of trades.values()) {
    item.node.hidden = !item.text().toLowerCase().includes(wanted);
    if (!item.node.hidden) tradesShown += 1;
  }
  for (const { entry, node } of calls) {
    const text =
      `${entry.outTradeNo ?? ''} ${titleOf(entry)} ${entry.method ?? ''} ${entry.sellerId ?? ''}`.toLowerCase();
    node.hidden =
      !text.includes(wanted) ||
      !(kind === 'all' || kind === entry.kind || (kind === 'problem' && isProblem(entry)));
    if (!node.hidden) callsShown += 1;
  }
  byId('trades-count').textContent = tradesShown;
  byId('calls-count').textContent = callsShown;
  showEmpty('trades-empty', tradesShown, trades.size === 0 ? words.noTrades : words.nothingFound);
  showEmpty('calls-empty', callsShown, calls.length === 0 ? words.noCalls : words.nothingFound);
}

function showEmpty(id, shown, text) {
  byId(id).hidden = shown > 0;
  byId(id).textContent = text;
}

byId('find').addEventListener('input', refilter);
byId('find').addEventListener('find', ({ detail }) => find(detail));
byId('filter').addEventListener('change', refilter);

// Up and down move through a list, / goes to the search field, Escape clears it.
document.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (key === 'Escape' && target.id === 'find') find('');
  if (key === '/' && !target.matches('input, select, textarea')) {
    event.preventDefault();
    byId('find').focus();
  }
  if (!['ArrowDown', 'ArrowUp'].includes(key) || !target.matches('button.head')) return;
  event.preventDefault();
  const heads = [...target.closest('ul').querySelectorAll('li:not([hidden]) > button.head')];
  heads[heads.indexOf(target) + (key === 'ArrowDown' ? 1 : -1)]?.focus();
});

// ---- Live updates ----

let ahead = 0;
let waiting;

function live(tone, text) {
  if (byId('live').dataset.live === tone) return;
  byId('live').dataset.live = tone;
  byId('live').textContent = text;
}

function take({ data, type }) {
  const message = JSON.parse(data);
  live('yes', words.live);
  ahead = message.now - Date.now();
  if (message.state !== undefined) showState(message.state);
  const isSnapshot = type === 'snapshot';
  if (message.orders.length + message.entries.length === 0 && !isSnapshot) return;
  // A page in the background draws nothing; what waits for it is bounded like the lists that it shows.
  const earlier = isSnapshot || waiting === undefined ? { orders: [], entries: [], isSnapshot } : waiting;
  if (waiting === undefined) requestAnimationFrame(draw);
  waiting = {
    isSnapshot: earlier.isSnapshot,
    orders: [...earlier.orders, ...message.orders].slice(-400),
    entries: [...earlier.entries, ...message.entries].slice(-200),
  };
}

function draw() {
  const { isSnapshot, orders, entries } = waiting;
  waiting = undefined;
  if (isSnapshot) {
    const kept = new Set(orders.map(keyOf));
    for (const key of [...trades.keys()]) if (!kept.has(key)) dropTrade(key);
    for (const { node } of calls.splice(0)) node.remove();
  }
  for (const row of orders) putTrade(row, !isSnapshot);
  for (const entry of entries) putCall(entry);
  refilter();
  if (
    isSnapshot &&
    orders.length + entries.length === 0 &&
    document.querySelector('.sheet:not([hidden])') === null
  ) {
    openTool('setup');
  }
}

const events = new EventSource('/console/events');
events.addEventListener('snapshot', take);
events.addEventListener('changes', take);
events.addEventListener('error', () => live('no', words.offline));

function tick() {
  byId('now').textContent = beijing(Date.now() + ahead);
}
tick();
setInterval(tick, 1000);

// ---- Tools ----

/** Opens one sheet and closes the others; if it is open already, it is closed. */
function openTool(name) {
  for (const button of document.querySelectorAll('button[data-tool]')) {
    const { tool } = button.dataset;
    const isOpen = tool === name && byId(tool).hidden;
    byId(tool).hidden = !isOpen;
    button.setAttribute('aria-expanded', String(isOpen));
  }
}

for (const button of document.querySelectorAll('button[data-tool]')) {
  button.addEventListener('click', () => openTool(button.dataset.tool));
}

function count(id, number) {
  byId(id).textContent = number;
  byId(id).hidden = number === 0;
}

function showState({ faults, down, latencyMs, pending }) {
  const rules = faults.map(({ mode, method, outTradeNo, sellerId, when = 'before', times, probability }) =>
    [
      mode,
      method ?? words.anyMethod,
      outTradeNo,
      sellerId,
      words[when],
      times !== undefined && `× ${times}`,
      probability !== undefined && `${probability * 100} %`,
    ]
      .filter(Boolean)
      .join(' · '),
  );
  byId('rules').replaceChildren(
    ...(rules.length === 0 ? [words.none] : rules).map((rule) => el('li', {}, rule)),
  );
  count('faults-count', faults.length + (down === false ? 0 : 1) + (latencyMs > 0 ? 1 : 0));
  count('pending-count', pending);
  byId('pending').textContent = `${pending} ${words.pending}`;
  for (const [form, field, value] of [
    ['down', 'how', down === false ? '' : down],
    ['latency', 'ms', String(latencyMs)],
  ]) {
    const input = document.querySelector(`form[data-act=${form}]`).elements[field];
    if (document.activeElement !== input) input.value = value;
  }
}

const number = (text) => (text === '' ? undefined : Number(text));

/** The body of each form's call, from its fields. */
const BODIES = {
  fault: ({ mode, method, outTradeNo, when, times }) => ({
    mode: mode.trim(),
    method: method.trim() || undefined,
    outTradeNo: outTradeNo.trim() || undefined,
    when,
    times: number(times),
  }),
  down: ({ how }) => ({ down: how !== '', how: how || undefined }),
  latency: ({ ms }) => ({ ms: Number(ms) }),
  notifier: ({ kind, forgery, times, delayMs }) => {
    const chance = times === '' ? 1 : { times: Number(times) };
    return { [kind]: kind === 'forge' ? { kind: forgery, chance } : chance, delayMs: number(delayMs) };
  },
  scale: ({ scale }) => ({ scale: Number(scale) }),
};

/** What each button outside a form calls. */
const CALLS = {
  clearFaults: () => ['clearFaults', {}],
  endNotifier: () => ['notifier', {}],
  clearJournal: () => ['clearJournal', {}],
  reset: () => ['reset', {}],
  advance: ({ ms }) => ['clock', { advanceMs: Number(ms) }],
};

for (const form of document.querySelectorAll('#sheets form')) {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const { act: name } = form.dataset;
    const body = BODIES[name](Object.fromEntries(new FormData(form)));
    void act(name === 'scale' ? 'clock' : name, body, event.submitter.textContent);
  });
}
for (const button of document.querySelectorAll('#sheets button[data-act]')) {
  button.addEventListener('click', () => {
    const { sure } = button.dataset;
    if (sure !== undefined && !confirm(sure)) return;
    void act(...CALLS[button.dataset.act](button.dataset), button.textContent.trim());
  });
}

// A sandbox of another version may not have every function.
async function hideWhatIsMissing() {
  const functions = await (await fetch('/control')).json();
  for (const node of document.querySelectorAll('[data-needs]')) {
    node.hidden = !(`/control/${node.dataset.needs}` in functions);
  }
}

/** Lines, each with a button that copies the value. */
function settings(lines) {
  return lines
    .filter(([, value]) => value !== undefined)
    .flatMap(([label, value]) => {
      const copy = el('button', { type: 'button', 'aria-label': `${words.copy}: ${label}` }, words.copy);
      copy.addEventListener(
        'click',
        () => void navigator.clipboard?.writeText(value).then(() => say(words.copied)),
      );
      return [
        el('dt', {}, label),
        el('dd', {}, el('code', { tabindex: '0', 'aria-label': label }, value.trim()), copy),
      ];
    });
}

async function showSetup(query = '') {
  const response = await fetch(`/setup${query}`, { headers: { accept: 'application/json' } });
  const setup = response.ok ? await response.json() : {};
  offerAccounts(setup.accounts ?? []);
  const {
    appId,
    sellerId,
    appPrivateKey = {},
    alipayPublicKey = {},
    certificates = {},
    snippets = [],
  } = setup;
  const lines = [
    [words.gateway, setup.gateway ?? `${location.origin}/gateway.do`],
    [words.appId, appId],
    [words.sellerId, sellerId],
    ['app_auth_token', setup.appAuthToken],
    [`${words.appPrivateKey} PKCS1`, appPrivateKey.pkcs1],
    [`${words.appPrivateKey} PKCS8`, appPrivateKey.pkcs8],
    [`${words.appPrivateKey} PKCS8 ${words.bare}`, appPrivateKey.barePkcs8],
    [words.alipayPublicKey, alipayPublicKey.pem],
    [`${words.alipayPublicKey} ${words.bare}`, alipayPublicKey.bare],
    [words.appCert, certificates.app],
    [words.alipayRootCert, certificates.root],
    [words.alipayPublicCert, certificates.alipay],
  ];
  const pick = byId('snippets');
  const show = () => {
    const { install, code } = snippets.find(({ id }) => id === pick.value) ?? {};
    byId('settings').replaceChildren(...settings([...lines, [words.install, install], [pick.value, code]]));
  };
  const { value: chosen } = pick;
  pick.replaceChildren(
    ...snippets.map(({ id, language, client }) => el('option', { value: id }, `${language}: ${client}`)),
  );
  if (chosen !== '') pick.value = chosen;
  pick.onchange = show;
  pick.parentElement.hidden = snippets.length === 0;
  show();
}

/** Offers a choice of accounts if there are several. */
function offerAccounts(accounts) {
  const pick = byId('accounts');
  if (accounts.length < 2 || pick.options.length > 0) return;
  pick.append(
    ...accounts.map(({ appId, sellerId }) =>
      el('option', { value: `?app=${appId}&seller=${sellerId}` }, `${appId} · ${sellerId}`),
    ),
  );
  pick.addEventListener('change', () => void showSetup(pick.value));
  pick.parentElement.hidden = false;
}

void Promise.allSettled([hideWhatIsMissing(), showSetup()]);
