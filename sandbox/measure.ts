import { createPrivateKey, createSign } from 'node:crypto';
import { Agent, request } from 'node:http';
import { fork } from 'node:child_process';
import { beijingTime } from './beijing';
import { startSandbox } from './index';

// Measures speed and memory for the README: `npm run measure --workspace alipay-sandbox`. The sandbox runs in its own
// process, as it does next to an editor; this one signs and calls.

const TRADES = Number(process.env['TRADES'] ?? 100_000);
const CONCURRENCY = 32;
const CALLS = Number(process.env['CALLS'] ?? 10_000);

const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });

interface Told {
  gateway: string;
  url: string;
  appId: string;
  appPrivateKey: string;
}

async function serve(): Promise<void> {
  const { gateway, url, appId, appPrivateKey } = await startSandbox({ tradeLimit: 20_000 });
  process.on('message', () => {
    globalThis.gc?.();
    process.send?.(process.memoryUsage());
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ gateway, url, appId, appPrivateKey });
}

async function measure(): Promise<void> {
  const child = fork(__filename, ['serve'], { execArgv: ['--expose-gc', ...process.execArgv] });
  const next = <T>() =>
    new Promise<T>((resolve) => child.once('message', (message) => resolve(message as T)));
  const told = await next<Told>();
  const memory = async () => {
    child.send('memory');
    const { heapUsed, rss } = await next<NodeJS.MemoryUsage>();
    return `heap ${Math.round(heapUsed / 2 ** 20)} MB, process ${Math.round(rss / 2 ** 20)} MB`;
  };
  const sign = signer(told);
  const bodies = Array.from({ length: CALLS }, (_, n) =>
    sign('alipay.trade.query', { out_trade_no: `q${n}` }),
  );
  const begun = performance.now();
  await each(CALLS, (n) => post(told.gateway, bodies[n] ?? ''));
  const perSecond = Math.round(CALLS / ((performance.now() - begun) / 1000));
  console.log(`queries: ${perSecond} a second, ${CONCURRENCY} at a time, signed both ways`);
  console.log(`at first: ${await memory()}`);
  for (let done = 0; done < TRADES; done += TRADES / 10) {
    await each(TRADES / 10, async (n) => {
      const outTradeNo = `m${done + n}`;
      await post(told.gateway, sign('alipay.trade.pay', order(outTradeNo)));
    });
    console.log(`${done + TRADES / 10} trades: ${await memory()}`);
  }
  child.disconnect();
  agent.destroy();
}

const order = (outTradeNo: string) => ({
  out_trade_no: outTradeNo,
  total_amount: '1.00',
  subject: 'tea',
  scene: 'bar_code',
  auth_code: '280000000000000000',
});

function signer({ appId, appPrivateKey }: Told): (method: string, biz: object) => string {
  const key = createPrivateKey(appPrivateKey);
  return (method, biz) => {
    const head: Record<string, string> = {
      app_id: appId,
      biz_content: JSON.stringify(biz),
      charset: 'utf-8',
      method,
      sign_type: 'RSA2',
      timestamp: beijingTime(Date.now()),
      version: '1.0',
    };
    const text = Object.keys(head)
      .map((name) => `${name}=${head[name] ?? ''}`)
      .join('&');
    const sign = createSign('RSA-SHA256').update(text).sign(key, 'base64');
    return new URLSearchParams({ ...head, sign }).toString();
  };
}

async function each(count: number, act: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await act(next++);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}

function post(url: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const call = request(url, { method: 'POST', agent, headers }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      response.on('end', () => (answer.includes('"code":"') ? resolve() : reject(new Error(answer))));
    });
    call.on('error', reject);
    call.end(body);
  });
}

void (process.argv[2] === 'serve' ? serve() : measure());
