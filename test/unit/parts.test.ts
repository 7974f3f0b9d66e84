import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';

// The command line in its own process, whose reader goes away.

const BIN = join(__dirname, '..', '..', 'client', 'bin.js');

const [own, theirs] = [1, 2].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));

/** Valid settings, and a database where nothing listens: a worker logs that it waits. */
const SETTINGS = {
  DATABASE_URL: 'postgres://shop@127.0.0.1:9/shop',
  ALIPAY_GATEWAY: 'http://127.0.0.1:9/gateway.do',
  ALIPAY_APP_ID: '2021000000000000',
  ALIPAY_PRIVATE_KEY: own?.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  ALIPAY_PUBLIC_KEY: theirs?.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  ALIPAY_SELLER_ID: '2088000000000000',
  ALIPAY_NOTIFY_URL: 'http://127.0.0.1:9/alipay/notify',
  LOG_FORMAT: 'json',
};

/** The exit code of a command whose standard output is closed. */
async function unread(...args: string[]): Promise<unknown> {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { PATH, HOME, ...SETTINGS },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.stdout.destroy();
  const [code] = (await once(child, 'exit')) as unknown[];
  return code;
}

describe('a reader that goes', () => {
  it('is no failure of a command that answers', async () => {
    expect(await unread('--help')).toBe(0);
  }, 30_000);

  it('ends a worker as a failure, so that what runs it starts it again', async () => {
    expect(await unread('worker')).toBe(1);
  }, 30_000);
});
