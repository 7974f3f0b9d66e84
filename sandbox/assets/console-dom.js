// What every part of the console uses. Everything from the wire is inserted as text, never as markup.

/** How many orders and how many calls are shown. */
export const SHOWN_MAX = 200;
const BEIJING_MS = 8 * 3_600_000;
const SAID_MS = 6000;

export const words = JSON.parse(document.getElementById('words').textContent);
export const byId = (id) => document.getElementById(id);
export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');

/** Makes an element; strings among the children become text. */
export function el(tag, { data = {}, on = {}, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  }
  Object.assign(made.dataset, data);
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

export const beijing = (ms) => new Date(ms + BEIJING_MS).toISOString().slice(0, 19).replace('T', ' ');
export const beijingOf = (iso) => (iso === undefined ? undefined : beijing(Date.parse(iso)));

let saidTimer;
export function say(text, isBad = false) {
  const said = byId('said');
  said.textContent = text;
  said.dataset.bad = isBad;
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => (said.textContent = ''), SAID_MS);
}

/** Calls the control API. @returns its result, or undefined after showing why it failed */
export async function control(name, body) {
  try {
    const response = await fetch(`/control/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const result = await response.json();
    if (response.ok) return result ?? {};
    say(result.message ?? `HTTP ${response.status}`, true);
  } catch {
    say(words.offline, true);
  }
  return undefined;
}

export async function act(name, body, label, about = '') {
  const result = await control(name, body);
  if (result === undefined) return;
  const { accepted } = result;
  const outcome =
    accepted === undefined
      ? ''
      : ` · ${accepted ? words.accepted : `${words.refusedBy} (${replyOf(result)})`}`;
  say((about === '' ? label : fill(words.done, { act: label, order: about })) + outcome, accepted === false);
}

export function replyOf({ status, body, error }) {
  return status === undefined
    ? (error ?? words.noAnswer)
    : fill(words.reply, { status, body: JSON.stringify(body) });
}
