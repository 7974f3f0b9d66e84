import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { runCli } from '../../client/cli';
import { diagnose } from '../../client/doctor';
import { PaymentClient } from '../../client/payment-client';
import { createLogger } from '../../worker/log';
import type { Shop } from '../support';
import { temporalAddress, temporalCli } from '../support';

const ROOT = join(__dirname, '..', '..');

/** What an operator sets in a shell to reach a shop. */
export function environmentOf({
  databaseUrl,
  alipay,
  temporalAddress: address,
  namespace,
  gateway,
}: Shop): Record<string, string> {
  return {
    DATABASE_URL: databaseUrl,
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace,
    ALIPAY_GATEWAY: alipay.gateway,
    ALIPAY_APP_ID: alipay.appId,
    ALIPAY_PRIVATE_KEY: alipay.appPrivateKey,
    ALIPAY_PUBLIC_KEY: alipay.alipayPublicKey,
    ALIPAY_SELLER_ID: alipay.sellerId,
    ALIPAY_NOTIFY_URL: gateway.settings.notifyUrl,
    CLOSE_MARGIN: '1s',
    PAYMENT_CHECK_INTERVAL: '2s',
    SWEEP_CRON: '@every 1s',
    LOG_LEVEL: 'warn',
  };
}

export interface Told {
  code: number;
  out: string;
  err: string;
}

/** Runs `durable-alipay` with only this environment, in this process: starting a process takes a second. */
export async function durableAlipay(own: Record<string, string>, ...args: string[]): Promise<Told> {
  const told = { out: '', err: '' };
  const write = (stream: 'out' | 'err') => (text: string) => void (told[stream] += text);
  const env = { HOME: process.env['HOME'], ...own };
  const log = () => createLogger({ name: 'cli', env, destination: { write: write('err') } });
  const code = await runCli(args, {
    version: '0.0.0',
    connect: async () => PaymentClient.connect(env, { log: log() }),
    diagnose: (options) => diagnose(env, options),
    serveCodec: () => Promise.reject(new Error('runs until it is stopped')),
    start: () => {
      throw new Error('runs in a process of its own');
    },
    out: write('out'),
    err: write('err'),
    colourful: false,
  });
  return { code, ...told };
}

/** The same, as from a shell, in its own process. */
export function durableAlipayProcess(env: Record<string, string>, ...args: string[]): Promise<Told> {
  return new Promise((resolve) => {
    const { PATH, HOME } = process.env;
    execFile(
      process.execPath,
      [join(ROOT, 'client', 'bin.js'), ...args],
      { env: { PATH, HOME, ...env }, timeout: 50_000 },
      (error, out, err) => resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
    );
  });
}

/** An operator at a shell who types Temporal CLI commands; keeps what was typed. */
export class Operator {
  readonly typed: string[] = [];

  constructor(private readonly shop: Shop) {}

  /**
   * Types one line that begins with `temporal`; returns what it printed.
   *
   * @throws Error with what the command said, if it failed
   */
  async type(line: string): Promise<string> {
    this.typed.push(line);
    const command = line.replace(/^temporal /, `'${temporalCli()}' `);
    const { PATH } = process.env;
    const env = {
      PATH,
      HOME: '/nonexistent',
      TEMPORAL_ADDRESS: temporalAddress(),
      TEMPORAL_NAMESPACE: this.shop.namespace,
    };
    return new Promise((resolve, reject) => {
      execFile('/bin/sh', ['-c', command], { env, timeout: 50_000 }, (error, out, err) => {
        if (error) reject(new Error(`${line}\n${out}${err}`, { cause: error }));
        else resolve(out);
      });
    });
  }
}
