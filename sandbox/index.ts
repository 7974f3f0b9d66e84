import type { AddressInfo } from 'node:net';
import { pino, type Level, type Logger } from 'pino';
import { controlOf, type ControlParts, type SandboxControl } from './control';
import { Faults } from './faults';
import { Gateway } from './gateway';
import { Journal } from './journal';
import { loadKeys } from './keys';
import { Notifier } from './notifier';
import { buildServer } from './server';
import { noStore, openStore, type Store } from './store';
import { Trades } from './trades';

export { connectControl } from './control-http';
export type { Chance } from './chance';
export type { HandDelivery, LedgerLine, RefundPace, SandboxControl } from './control';
export { FAULT_MODES, type FaultMode, type FaultRule } from './faults';
export { FORGERIES, type ForgeKind } from './forge';
export type { BuyerEntry, CallEntry, JournalEntry, NotificationEntry } from './journal';
export { KEY_FILES } from './keys';
export { RETRY_PAUSES_MS, type NotifierFaults } from './notifier';
export { Refusal } from './refusal';
export type { Product, TradeStatus, TradeView } from './trades';

/** The application id of a sandbox that was given none. */
export const DEFAULT_APP_ID = '2021000000000000';

/** The seller id of a sandbox that was given none. */
export const DEFAULT_SELLER_ID = '2088000000000000';

/** How often expired trades are looked for, so that those who must be told of it are. */
const EXPIRY_EVERY_MS = 1000;

/** How to start a sandbox; everything has a default. */
export interface SandboxOptions {
  /** 0 (the default) takes any free port. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Where the keys are, or are to be made. Default: fresh ones in memory. */
  keysDir?: string;
  /** Where trades and pending notifications are kept. Default: nowhere. */
  stateFile?: string;
  /** How many times faster than Alipay notifications are repeated: 60 makes 4 minutes 4 seconds. Default 1. */
  notifyScale?: number;
  /** How long a merchant may take to answer a notification, ms. Default 10,000. */
  notifyDeadlineMs?: number;
  appId?: string;
  sellerId?: string;
  /** A pino level or logger. Default `silent`. */
  log?: Level | 'silent' | Logger;
  /** How many journal entries are kept. Default 20,000. */
  journalLimit?: number;
  /** Refuses a `timestamp` further from Beijing's present time, ms. Default: any is taken. */
  maxClockSkewMs?: number;
  /** The source of chance for probabilities, 0 ≤ x < 1. Default Math.random. */
  random?: () => number;
}

/** A running sandbox: all that an application needs to talk to it, and the control over it. */
export interface Sandbox {
  url: string;
  gateway: string;
  appId: string;
  sellerId: string;
  /** PKCS8 PEM. */
  appPrivateKey: string;
  /** SPKI PEM. */
  alipayPublicKey: string;
  control: SandboxControl;
  /** Ends everything: no timer, socket or file stays open. */
  close(): Promise<void>;
}

/**
 * Starts a local Alipay: the v2 gateway with real RSA2 both ways, its cashier pages, its notifications, its control API.
 * @throws Error `PORT_BUSY` when the port is taken, `SANDBOX_KEYS` or `SANDBOX_STATE` when a file cannot be used
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { port = 0, host = '127.0.0.1', appId = DEFAULT_APP_ID, sellerId = DEFAULT_SELLER_ID } = options;
  const keys = await loadKeys(options.keysDir);
  const { parts, store, setAddress } = assemble(
    options,
    { appId, sellerId, alipayPrivate: keys.alipayPrivate },
    keys,
  );
  const control = controlOf(parts);
  const server = buildServer(parts, control, loggerOf(options.log));
  const expiry: NodeJS.Timeout[] = [];

  const close = async () => {
    expiry.forEach(clearInterval);
    parts.notifier.close();
    await server.close();
    store.close();
  };
  try {
    await server.listen({ port, host });
  } catch (error) {
    await close();
    throw explainListen(error, port, host);
  }
  const url = addressOf(boundPort(server.server.address()) ?? port, host);
  setAddress(url);
  // Not before the port is ours: until then another process may be writing the same state file.
  expiry.push(setInterval(() => parts.trades.expire(), EXPIRY_EVERY_MS));
  parts.notifier.resume();
  return {
    url,
    gateway: `${url}/gateway.do`,
    appId,
    sellerId,
    appPrivateKey: keys.appPrivatePem,
    alipayPublicKey: keys.alipayPublicPem,
    control,
    close: once(close),
  };
}

function assemble(
  options: SandboxOptions,
  merchant: ControlParts['merchant'],
  keys: Awaited<ReturnType<typeof loadKeys>>,
): { parts: ControlParts; store: Store; setAddress: (url: string) => void } {
  // Read at every use, so that a test's fake clock is believed.
  const now = () => Date.now();
  const random = options.random ?? Math.random;
  const trades = new Trades(now);
  const journal = new Journal(options.journalLimit ?? 20_000, now);
  const faults = new Faults(random);
  const knobs = { latencyMs: 0, refundVisibleMs: 0, refundSpacingMs: 0 };
  let store = noStore;
  let address = '';
  const notifier = new Notifier({
    merchant,
    journal,
    now,
    random,
    scale: options.notifyScale ?? 1,
    deadlineMs: options.notifyDeadlineMs ?? 10_000,
    store: (event) => store.append(event),
  });
  if (options.stateFile !== undefined) {
    store = openStore(options.stateFile, (event) => {
      if (event.type === 'noticed' || event.type === 'tried') notifier.restore(event);
      else trades.apply(event);
    });
  }
  // Written before anyone is told: what a notification speaks of survives a crash.
  trades.onChange((event) => store.append(event));
  trades.onChange((event, trade) => notifier.onTradeEvent(event, trade));
  const gateway = new Gateway({
    rules: { appId: merchant.appId, keys, now, maxClockSkewMs: options.maxClockSkewMs },
    context: {
      trades,
      now,
      cashierUrl: (cashierId) => `${address}/cashier/${cashierId}`,
      refundVisibleMs: () => knobs.refundVisibleMs,
      refundSpacingMs: () => knobs.refundSpacingMs,
    },
    faults,
    journal,
  });
  return {
    parts: { gateway, trades, notifier, faults, journal, knobs, merchant, now },
    store,
    setAddress: (url) => {
      address = url;
    },
  };
}

function loggerOf(log: SandboxOptions['log']): Logger {
  return typeof log === 'object' ? log : pino({ level: log ?? 'silent', name: 'sandbox' });
}

function boundPort(address: string | AddressInfo | null): number | undefined {
  return typeof address === 'object' ? address?.port : undefined;
}

function addressOf(port: number, host: string): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
  return `http://${name.includes(':') ? `[${name}]` : name}:${port}`;
}

function explainListen(error: unknown, port: number, host: string): unknown {
  if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return error;
  return new Error(
    `PORT_BUSY: port ${port} on ${host} is in use: end what uses it, or set SANDBOX_PORT to another`,
    { cause: error },
  );
}

function once(act: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= act());
}
