import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CACHE, ROOT } from '../../dev/places';
import { freePorts } from '../support/free-ports';
import { runStep } from '../../dev/steps';
import { environmentOf } from '../integration/operator';
import { Story } from '../integration/story';
import type { Shop } from '../support';
import { openShop, waitFor } from '../support';
import type { RunningProgram } from './foreign/examples';
import { example, isListening, run } from './foreign/examples';

// The programs of docs/examples that take Alipay's notifications, each in its own process with the real framework: what
// the sandbox sends there is accepted, byte for byte, and recorded.

const SOURCES = join(__dirname, 'frameworks');

/** Next calls `POST` with a standard web `Request`. */
const AS_NEXT = `import { createServer } from 'node:http';
import { POST } from './route.mjs';

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  const answer = await POST(new Request('http://shop.example/alipay/notify', { method: 'POST', headers: request.headers, body }));
  response.writeHead(answer.status).end(await answer.text());
}).listen(process.env.PORT);
`;

interface Program {
  file: string;
  text: string;
  /** What it imports besides the framework. */
  beside?: { file: string; text: string };
}

const express = example('notifications/express.mjs');

const PROGRAMS: Record<string, Program> = {
  'Express 4': { file: 'express4.mjs', text: express.replace("from 'express'", "from 'express4'") },
  'Express 5': { file: 'express5.mjs', text: express },
  Koa: { file: 'koa.mjs', text: example('notifications/koa.mjs') },
  Fastify: { file: 'fastify.mjs', text: example('notifications/fastify.mjs') },
  Nest: { file: 'nest.mts', text: example('notifications/nest.mts') },
  'a Next route handler': {
    file: 'next.mjs',
    text: AS_NEXT,
    beside: { file: 'route.mjs', text: example('notifications/next-route.mjs') },
  },
};

/** Installs the frameworks, once per lockfile, and next to them this package's sources. */
async function install(): Promise<string> {
  const lockfile = readFileSync(join(SOURCES, 'package-lock.json'));
  const folder = join(CACHE, 'frameworks', createHash('sha256').update(lockfile).digest('hex').slice(0, 12));
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.${process.pid}`;
  try {
    mkdirSync(unfinished, { recursive: true });
    for (const file of ['package.json', 'package-lock.json'])
      copyFileSync(join(SOURCES, file), join(unfinished, file));
    const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund'];
    const step = { what: 'Installing the frameworks', command: 'npm', args, cwd: unfinished };
    await runStep({ ...step, timeoutMs: 5 * 60_000 }, () => undefined);
    const ours = join(unfinished, 'node_modules', 'durable-alipay');
    mkdirSync(ours);
    const exports = { './client': './client.cjs' };
    writeFileSync(join(ours, 'package.json'), JSON.stringify({ name: 'durable-alipay', exports }));
    const client = JSON.stringify(join(ROOT, 'client', 'index.ts'));
    writeFileSync(join(ours, 'client.cjs'), `exports.PaymentClient = require(${client}).PaymentClient;\n`);
    // For Nest's decorators.
    writeFileSync(
      join(unfinished, 'tsconfig.json'),
      JSON.stringify({ compilerOptions: { experimentalDecorators: true, module: 'nodenext' } }),
    );
    renameSync(unfinished, folder);
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}

let shop: Shop;
let story: Story;
let folder: string;

beforeAll(async () => {
  folder = await install();
  shop = await openShop(__filename, { payments: { checks: 1, intervalMs: 600_000 } });
  story = new Story(shop);
}, 6 * 60_000);
afterAll(() => shop.close());

describe.each(Object.entries(PROGRAMS))('the program for %s', (name, { file, text, beside }) => {
  let program: RunningProgram;
  let url: string;

  const post = async (path: string, body: string): Promise<string> => {
    const type = 'application/x-www-form-urlencoded; text/html; charset=UTF-8';
    const answer = await fetch(url + path, { method: 'POST', headers: { 'content-type': type }, body });
    expect(answer.status).toBe(200);
    return answer.text();
  };

  beforeAll(async () => {
    writeFileSync(join(folder, file), text);
    if (beside) writeFileSync(join(folder, beside.file), beside.text);
    const [port = 0] = await freePorts(1);
    url = `http://127.0.0.1:${port}`;
    const tsx = pathToFileURL(require.resolve('tsx')).href;
    const environment = { ...environmentOf(shop), PORT: String(port), LOG_LEVEL: 'info' };
    program = run(folder, [process.execPath, '--import', tsx, file], environment);
    await waitFor(() => isListening(port), { what: `${name} to listen`, timeoutMs: 60_000 }).catch(() => {
      throw new Error(program.printed());
    });
  });
  afterAll(() => program.stop());

  it('takes a notification of the sandbox, and the payment is recorded without a check', async () => {
    shop.gateway.settings.notifyUrl = `${url}/alipay/notify`;
    const { outTradeNo } = await story.checkOut({ subject: '一壶茶 100% + tea' });
    await story.pay(outTradeNo, { notify: true });
    await story.until(outTradeNo, 'PAID');
    expect(await story.calls(outTradeNo)).not.toContain('query');
  });

  it('reads the type that Alipay sends, and believes no forgery, with and without a slash at the end', async () => {
    const forged = 'out_trade_no=T1&trade_status=TRADE_SUCCESS&total_amount=0.01&sign_type=RSA2&sign=AAAA';
    expect(await post('/alipay/notify', forged)).toBe('fail');
    expect(await post('/alipay/notify/', forged)).toBe('fail');
    await waitFor(() => program.printed().includes('NOTIFICATION_FORGED'), { what: 'it to be printed' });
    expect(program.printed()).not.toContain('NOTIFICATION_NOT_RAW');
  });
});

describe('the return page', () => {
  it('thanks a buyer who has paid, once Alipay says so, and nobody else', async () => {
    const file = 'return.mjs';
    writeFileSync(join(folder, file), example('return-page.mjs'));
    const [port = 0] = await freePorts(1);
    const tsx = pathToFileURL(require.resolve('tsx')).href;
    const environment = { ...environmentOf(shop), PORT: String(port) };
    const program = run(folder, [process.execPath, '--import', tsx, file], environment);
    try {
      await waitFor(() => isListening(port), { what: 'the page to be served', timeoutMs: 60_000 });
      const returnUrl = `http://127.0.0.1:${port}/thanks?from=alipay`;
      const { outTradeNo, paymentUrl } = await story.checkOut({ returnUrl });
      const cashier = await fetch(paymentUrl);
      const [, pay = ''] = /id="pay" formaction="([^"]+)"/.exec(await cashier.text()) ?? [];
      const html = await (await fetch(new URL(pay, cashier.url), { method: 'POST' })).text();
      const [, href = ''] = /id="back" href="([^"]+)"/.exec(html) ?? [];
      const back = href.replaceAll('&amp;', '&');
      expect(await (await fetch(back)).text()).toBe('Thank you!');
      expect(await story.status(outTradeNo)).toBe('PAID');

      const other = await story.checkOut({ returnUrl });
      const forged = await fetch(back.replace(outTradeNo, other.outTradeNo));
      expect([forged.status, await forged.text()]).toEqual([400, 'Please look at your orders.']);
    } finally {
      await program.stop();
    }
  });
});
