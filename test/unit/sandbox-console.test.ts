import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { startSandbox, type Sandbox } from '../../sandbox';
import { languageOf } from '../../sandbox/language';
import { Shop } from './sandbox-shop';

let sandbox: Sandbox;
let shop: Shop;
const lines: string[] = [];
const ended: AbortController[] = [];

beforeAll(async () => {
  sandbox = await startSandbox({ print: (line) => lines.push(line) });
  shop = await Shop.open(sandbox);
});
afterEach(() => {
  for (const controller of ended.splice(0)) controller.abort();
});
afterAll(async () => {
  await sandbox.close();
  await shop.close();
});

interface Message {
  type: string;
  orders: { outTradeNo: string; status: string; subject: string }[];
  entries: { kind: string; outTradeNo?: string }[];
  state?: { faults: object[]; down: boolean | string };
}

/** Follows the console's events. */
async function follow(): Promise<(until: (message: Message) => boolean) => Promise<Message>> {
  const controller = new AbortController();
  ended.push(controller);
  const { body, headers } = await fetch(`${sandbox.url}/console/events`, { signal: controller.signal });
  expect(headers.get('content-type')).toContain('text/event-stream');
  const reader = (body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return async (until) => {
    for (;;) {
      const end = text.indexOf('\n\n');
      if (end === -1) {
        text += (await reader.read()).value ?? '';
        continue;
      }
      const [, type = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      const message = { type, ...(JSON.parse(data) as object) } as Message;
      if (until(message)) return message;
    }
  };
}

describe('the console page', () => {
  it('runs its own scripts alone, is framed by nobody, and loads nothing from elsewhere', async () => {
    const response = await fetch(sandbox.url);
    const page = await response.text();
    const policy = response.headers.get('content-security-policy') ?? '';
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
      expect(policy).toContain(rule);
    }
    expect(page).not.toMatch(/\{\{|(src|href)="(https?:)?\/\/|<script>(?!\s)/);
    const paths = [...page.matchAll(/(?:src|href)="(\/console\/[^"]+)"/g)].map(([, path]) => path ?? '');
    expect(paths.length).toBeGreaterThan(2);
    for (const path of [...paths, '/console/console-dom.js']) {
      expect((await fetch(sandbox.url + path)).status).toBe(200);
    }
  });

  it.each([
    [{}, 'en'],
    [{ 'accept-language': 'zh-CN,zh;q=0.9,en;q=0.8' }, 'zh'],
    [{ 'accept-language': 'en-GB,zh;q=0.5' }, 'en'],
    [{ 'accept-language': 'fr, zh-Hant;q=0.3, en;q=0.2' }, 'zh'],
    [{ 'accept-language': 'zh;q=0, *' }, 'en'],
    [{ 'accept-language': 'zh', cookie: 'a=b; sandbox_language=en' }, 'en'],
    [{ cookie: 'sandbox_language=tlh' }, 'en'],
  ])('speaks to %p in %s', (headers, language) => {
    expect(languageOf(headers)).toBe(language);
  });

  it('keeps the language that was chosen', async () => {
    const response = await fetch(`${sandbox.url}/?language=zh`);
    expect(await response.text()).toContain('<html lang="zh">');
    const [cookie = ''] = response.headers.getSetCookie();
    const again = await fetch(sandbox.url, { headers: { cookie: cookie.split(';')[0] ?? '' } });
    expect(await again.text()).toContain('<html lang="zh">');
    expect(await (await fetch(`${sandbox.url}/?language=%3Cb%3E`)).text()).toContain('<html lang="en">');
  });
});

describe('the events of the console', () => {
  it('begin with what there is, and tell every change', async () => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: 'E1', subject: 'A book' }));
    const next = await follow();
    const first = await next(() => true);
    expect(first.type).toBe('snapshot');
    expect(first.orders.at(-1)).toMatchObject({ outTradeNo: 'E1', status: 'OPENED', subject: 'A book' });
    await sandbox.control.pay('E1');
    // The notification may be in the same event as the payment, or in a later one.
    const changes: Message[] = [];
    await next((message) => {
      changes.push(message);
      return changes.some(({ entries }) => entries.some(({ kind }) => kind === 'notification'));
    });
    expect(changes.flatMap(({ orders }) => orders)).toContainEqual(
      expect.objectContaining({ outTradeNo: 'E1', status: 'TRADE_SUCCESS' }),
    );
    expect(new Set(changes.map(({ type }) => type))).toEqual(new Set(['changes']));
    await sandbox.control.down(true);
    expect((await next(({ state }) => state !== undefined)).state?.down).toBe('502');
    await sandbox.control.down(false);
  });

  it('are bounded, and begin anew when all is forgotten', async () => {
    const next = await follow();
    await next(() => true);
    for (let index = 0; index < 450; index += 1) {
      await sandbox.control.open(shop.payUrl({ outTradeNo: `N${index}` }));
    }
    const late = await (await follow())(() => true);
    expect(late.orders).toHaveLength(200);
    expect(late.entries).toHaveLength(200);
    expect(late.orders.at(-1)).toMatchObject({ outTradeNo: 'N449' });
    await next(({ orders }) => orders.some(({ outTradeNo }) => outTradeNo === 'N449'));
    await sandbox.control.clearJournal();
    expect((await next(({ type }) => type === 'snapshot')).entries).toEqual([]);
  });
});

describe('what the console can do', () => {
  it('closes a trade as the merchant, and lets one expire', async () => {
    for (const act of ['close', 'expire'] as const) {
      const no = `D_${act}`;
      await expect(sandbox.control[act](no)).rejects.toThrow('ACQ.TRADE_NOT_EXIST');
      await sandbox.control.scan(shop.payUrl({ outTradeNo: no }));
      expect(await sandbox.control[act](no)).toMatchObject({ status: 'TRADE_CLOSED' });
      await expect(sandbox.control[act](no)).rejects.toThrow('ACQ.TRADE_STATUS_ERROR');
    }
  });

  it('replays a notification byte for byte', async () => {
    await sandbox.control.open(shop.payUrl({ outTradeNo: 'D3' }));
    await sandbox.control.notify('D3');
    const sent = shop.forms.at(-1);
    const notifyId = shop.notifications().at(-1)?.['notify_id'] ?? '';
    await sandbox.control.forge('bad-signature', 'D3');
    expect(await sandbox.control.replayNotification(notifyId)).toMatchObject({ accepted: true });
    expect(shop.forms.at(-1)).toBe(sent);
    expect((await sandbox.control.journal()).at(-1)).toMatchObject({ notifyId, fault: 'replay' });
    await expect(sandbox.control.replayNotification('unknown')).rejects.toThrow('UNKNOWN_NOTIFICATION');
  });
});

it('prints a line for each call: method, order, verdict, code, and nothing of the buyer', async () => {
  await shop.sell('L1', { subject: 'Secret thing' });
  lines.length = 0;
  await shop.call('alipay.trade.query', { outTradeNo: 'L1' });
  await fetch(sandbox.gateway, { method: 'POST', body: new URLSearchParams({ method: '\u001b[31m\nred' }) });
  await fetch(shop.payUrl({ outTradeNo: 'L2' }).replace('12.30', '00.01'));
  expect(lines).toEqual([
    expect.stringMatching(/^\d\d:\d\d:\d\d {2}alipay\.trade\.query +L1 {2}signed {2}10000$/),
    expect.stringMatching(/\?\[31m\?red +- {2}not checked \(invalid: method\) {2}isv\.invalid-method$/),
    expect.stringMatching(/alipay\.trade\.page\.pay +L2 {2}BAD SIGNATURE \(altered\) {2}HTTP 400$/),
  ]);
  expect(lines.join()).not.toMatch(/Secret|sbx/);
});
