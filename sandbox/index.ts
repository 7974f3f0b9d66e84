import { randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { pino, type Level, type Logger } from 'pino';
import { filesOf, openAccounts, payeeOf, viewOfAccount } from './accounts';
import type { AccountOptions, Accounts, AccountView } from './accounts';
import { Bills } from './bills';
import { Books } from './books';
import { loadCertificates, spki, type CertificateFiles, type Certificates } from './certificates';
import { Clock } from './clock';
import { printCalls } from './console/line';
import { controlOf, UNTOUCHED, type ControlParts, type Knobs, type SandboxControl } from './control';
import { Faults } from './faults';
import { Gateway } from './gateway';
import { isLoopback } from './guard';
import { Journal } from './journal';
import { loadKeys } from './keys';
import { Notifier } from './notifier';
import { plant, type Seed } from './seed';
import { buildServer } from './server';
import { setupOf, type Setup, type SetupOf } from './setup';
import { noStore, openStore, type Store } from './store';
import { Trades } from './trades';

export type { AccountOptions, AccountView } from './accounts';
export { CERTIFICATE_FILES, serialOf, type CertificateFiles } from './certificates';
export { connectControl } from './control-http';
export { bulkPayment, type BillFaults } from './bill';
export type { Chance } from './chance';
export type { LedgerLine, RefundPace, SandboxControl, Whose } from './control';
export type { HandDelivery } from './hand';
export { FAULT_MODES, type FaultMode, type FaultRule } from './faults';
export { FORGERIES, type ForgeKind } from './forge';
export type { Incident, Replay } from './incident';
export { readSeed, type Seed } from './seed';
export type { Setup, Snippet } from './setup';
export type { BuyerEntry, CallEntry, JournalEntry, NotificationEntry } from './journal';
export { KEY_FILES } from './keys';
export { RETRY_PAUSES_MS, type NotifierFaults } from './notifier';
export { Refusal } from './refusal';
export type { TradeView } from './trade-view';
export type { Product, TradeStatus } from './trade';

/** The default application id. */
export const DEFAULT_APP_ID = '2021000000000000';

/** The default seller id. */
export const DEFAULT_SELLER_ID = '2088000000000000';

const CERTIFICATE_DAYS = 5 * 365;

/** How often to look for expired trades, so that those who must be notified are. */
const EXPIRY_EVERY_MS = 1000;

/** How to start a sandbox; everything has a default. */
export interface SandboxOptions {
  /** 0 (the default) takes any free port. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** Where the keys are, or will be created. Default: fresh ones in memory. */
  keysDir?: string;
  /** Where trades and pending notifications are stored. Default: nowhere. */
  stateFile?: string;
  /** Set if the first account's seller has authorised another application (ISV): requests must contain the token. */
  authorised?: { appAuthToken: string; authAppId: string };
  /** The application is in certificate mode (公钥证书模式): the sandbox issues the certificates. Default: key mode. */
  certificates?: boolean;
  /** How long fresh certificates are valid, days. Default five years. */
  certificateDays?: number;
  /** How many times faster than Alipay to repeat notifications: 60 turns 4 minutes into 4 seconds. Default 1. */
  notifyScale?: number;
  /** How long a merchant may take to answer a notification, ms. Default 10,000. */
  notifyDeadlineMs?: number;
  appId?: string;
  sellerId?: string;
  /** Accounts in addition to the first: other applications with their sellers, or more sellers of an ISV. */
  accounts?: AccountOptions[];
  /** The address at which buyers and shops reach the sandbox: for QR codes, cashier pages, bills. Default: its own. */
  publicUrl?: string;
  /** The application's own public key, PEM or base64; its private key stays with the shop. Default: a fresh pair. */
  merchantPublicKey?: string;
  /** Whether buyers are identified by `open_id`, as for applications created since 2023. */
  openIds?: boolean;
  /** What it starts with, its accounts after those of `accounts`; orders that the state file has stay unchanged. */
  seed?: Seed;
  /** For the control API and the console. Default: none if host and public address are loopback, else a random one. */
  controlToken?: string;
  /** A pino level or logger. Default `silent`. */
  log?: Level | 'silent' | Logger;
  /** Called with a line for every call, for a terminal. */
  print?: (line: string) => void;
  /** How many journal entries are kept. Default 20,000. */
  journalLimit?: number;
  /** How many orders of each seller stay in memory: the oldest that do not wait for payment go first. Default: all. */
  tradeLimit?: number;
  /** Refuses a `timestamp` further from the current Beijing time than this, ms. Default: any is accepted. */
  maxClockSkewMs?: number;
  /** The source of randomness for probabilities, 0 ≤ x < 1. Default Math.random. */
  random?: () => number;
}

/** An account of a running sandbox: everything that its application needs to talk to it. */
export interface SandboxAccount extends AccountView {
  /** PKCS8 PEM; empty if the application keeps its own. */
  appPrivateKey: string;
  /** In certificate mode, the three current files, PEM. */
  certificates: CertificateFiles | undefined;
}

/** A running sandbox: what an application needs to use it, and its control. Ids and keys are the first account's. */
export interface Sandbox {
  url: string;
  gateway: string;
  appId: string;
  sellerId: string;
  /** PKCS8 PEM; empty if the application keeps its own. */
  appPrivateKey: string;
  /** SPKI PEM. */
  alipayPublicKey: string;
  /** The three current files of an application in certificate mode, PEM. */
  readonly certificates: CertificateFiles | undefined;
  /** Every account, the first one first. */
  readonly accounts: SandboxAccount[];
  control: SandboxControl;
  /** The token that the control API requires, if any. */
  readonly controlToken: string | undefined;
  /** What to set in an application, as `/setup` shows it. */
  readonly setup: Setup;
  /** Ends everything: no timer, socket or file stays open. */
  close(): Promise<void>;
}

/**
 * Starts a local Alipay: the v2 gateway with real RSA2 both ways, its cashier pages, notifications and control API.
 * @throws Error `PORT_BUSY` if the port is taken, `SANDBOX_KEYS` or `SANDBOX_STATE` if a file cannot be used,
 * `SANDBOX_ACCOUNTS` if two accounts cannot be told apart
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { port = 0, host = '127.0.0.1', appId = DEFAULT_APP_ID, sellerId = DEFAULT_SELLER_ID } = options;
  const keys = await loadKeys(options.keysDir, options.merchantPublicKey);
  // A public address, although the host is loopback: a proxy or a tunnel lets strangers in.
  const hosts = [host, ...(options.publicUrl === undefined ? [] : [new URL(options.publicUrl).hostname])];
  const controlToken =
    options.controlToken ?? (hosts.every(isLoopback) ? undefined : randomBytes(16).toString('hex'));
  const certificates = options.certificates
    ? await loadCertificates(
        {
          appId,
          sellerId,
          appPublic: spki(keys.appPublic),
          alipayPublic: keys.alipayPublicPem,
          days: options.certificateDays ?? CERTIFICATE_DAYS,
        },
        options.keysDir,
      )
    : undefined;
  const accounts = await openAccounts(
    { appId, sellerId, ...options.authorised },
    [...(options.accounts ?? []), ...(options.seed?.accounts ?? [])],
    {
      ...{ keys, certificates, keysDir: options.keysDir },
      days: options.certificateDays ?? CERTIFICATE_DAYS,
      openIds: options.openIds ?? false,
    },
  );
  const { parts, store, setAddress } = assemble(options, accounts, certificates);
  const control = controlOf(parts);
  let address = '';
  const setup: SetupOf = (which = {}) => {
    const account = accounts.pick(which);
    return (
      account && setupOf({ address, account, accounts, alipayPublicPem: keys.alipayPublicPem, certificates })
    );
  };
  const server = buildServer(parts, control, {
    logger: loggerOf(options.log),
    token: controlToken,
    names: () => [new URL(address).host],
    setup,
  });
  const expiry: NodeJS.Timeout[] = [];

  const close = async () => {
    expiry.forEach(clearInterval);
    parts.notifier.close();
    parts.clock.close();
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
  address = options.publicUrl?.replace(/\/+$/, '') ?? url;
  setAddress(address);
  // Not before the port is ours: until then another process may still be writing to the same state file.
  expiry.push(setInterval(() => parts.books.expire(), EXPIRY_EVERY_MS));
  parts.notifier.resume();
  try {
    if (options.seed !== undefined) plant(parts, options.seed);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    url,
    gateway: `${url}/gateway.do`,
    appId,
    sellerId,
    appPrivateKey: keys.appPrivatePem,
    alipayPublicKey: keys.alipayPublicPem,
    get certificates() {
      return filesOf(accounts.first, certificates);
    },
    get accounts() {
      return accounts.all.map((account) => ({
        ...viewOfAccount(account),
        appPrivateKey: account.app.appPrivatePem,
        certificates: filesOf(account, certificates),
      }));
    },
    control,
    controlToken,
    get setup() {
      return setup() as Setup;
    },
    close: once(close),
  };
}

function assemble(
  options: SandboxOptions,
  accounts: Accounts,
  certificates: Certificates | undefined,
): { parts: ControlParts; store: Store; setAddress: (url: string) => void } {
  const clock = new Clock();
  const { now } = clock;
  const random = options.random ?? Math.random;
  const { first } = accounts;
  const books = new Books(first.sellerId, () => new Trades(now, options.tradeLimit));
  for (const { sellerId } of accounts.all) books.of(sellerId);
  const bills = new Bills(books, now);
  const journal = new Journal(options.journalLimit ?? 20_000, now);
  if (options.print) printCalls(journal, options.print, accounts.areSeveral);
  const faults = new Faults(random);
  const knobs: Knobs = { ...UNTOUCHED };
  let store = noStore;
  let address = '';
  const notifier = new Notifier({
    accounts,
    journal,
    clock,
    random,
    scale: options.notifyScale ?? 1,
    deadlineMs: options.notifyDeadlineMs ?? 10_000,
    store: (event) => store.append(event),
  });
  if (options.stateFile !== undefined) {
    store = openStore(
      options.stateFile,
      (event) => {
        if (event.type === 'clock') clock.restore(event);
        else if (event.type === 'noticed' || event.type === 'tried') notifier.restore(event);
        else books.apply(event);
      },
      payeeOf(first),
    );
  }
  books.trim();
  clock.onChange((event) => store.append(event));
  // Written before anybody is notified: what a notification reports survives a crash.
  books.onChange((sellerId, event) => store.append({ ...event, sellerId }));
  books.onChange((_sellerId, event, trade, how) => notifier.onTradeEvent(event, trade, how));
  books.onChange((sellerId, event) => {
    const fen = knobs.sellerFen.get(sellerId);
    if (event.type !== 'refunded' || fen === undefined) return;
    knobs.sellerFen = new Map([...knobs.sellerFen, [sellerId, fen - event.fen]]);
  });
  const gateway = new Gateway({
    rules: { accounts, certificates, now, maxClockSkewMs: options.maxClockSkewMs },
    contextOf: (account) => ({
      payee: payeeOf(account),
      trades: books.of(account.sellerId),
      now,
      cashierUrl: (cashierId) => `${address}/cashier/${cashierId}`,
      bills,
      addressOf: (path) => `${address}${path}`,
      refundVisibleMs: () => knobs.refundVisibleMs,
      refundSpacingMs: () => knobs.refundSpacingMs,
      certificates,
      refundOutcomeMs: () => knobs.refundOutcomeMs,
      sellerFen: () => knobs.sellerFen.get(account.sellerId) ?? Infinity,
      barCode: () => knobs.barCode,
      openIds: options.openIds,
    }),
    faults,
    journal,
    clock,
    hand: () => ({ key: accounts.alipayPrivate, certSn: certificates?.alipaySn }),
  });
  return {
    parts: {
      ...{ gateway, bills, books, notifier, faults, journal, knobs, accounts, certificates, clock, now },
      store: () => store,
      seed: options.seed,
    },
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
    `PORT_BUSY: port ${port} on ${host} is in use: stop what uses it, or set SANDBOX_PORT to another`,
    { cause: error },
  );
}

function once(act: () => Promise<void>): () => Promise<void> {
  let done: Promise<void> | undefined;
  return () => (done ??= act());
}
