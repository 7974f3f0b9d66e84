import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { loadAppCertificate, serialOf, spki } from './certificates';
import type { CertificateFiles, Certificates } from './certificates';
import { loadAppKeys, type AppKeys, type SandboxKeys } from './keys';
import type { Merchant } from './notification';
import type { Order, Payee } from './trade';
import type { Params } from './wire';

/** An additional account: another application, or another seller for whom an ISV's application acts. */
export interface AccountOptions {
  /** Default: the first account's application. */
  appId?: string;
  /** Who gets the money. */
  sellerId: string;
  /** Set if the seller has authorised the application (ISV): requests for this account contain the token. */
  appAuthToken?: string;
  /** With a token: the seller's own application. Default: `appId`. */
  authAppId?: string;
  /** The application's own public key, PEM or base64; its private key stays with the shop. Default: a fresh pair. */
  merchantPublicKey?: string;
}

/** An application: its keys and, in certificate mode, its certificate. */
export interface App extends AppKeys {
  certificate?: { pem: string; sn: string };
}

/** An application with its seller, on whose behalf a request is made. */
export interface Account extends Payee {
  /** Requests for it contain this token; undefined: they contain none. */
  appAuthToken?: string | undefined;
  app: App;
}

/** An account as the control API and `/setup` list it. */
export type AccountView = Pick<Account, 'appId' | 'sellerId' | 'authAppId' | 'appAuthToken'>;

/** Every account of the sandbox, and Alipay's single key pair, which all applications trust. */
export class Accounts {
  /**
   * @param alipayPrivate the key with which Alipay signs; a different one after a renewal with a new key
   * @param openIds whether applications know buyers by `open_id`
   */
  constructor(
    readonly all: readonly [Account, ...Account[]],
    public alipayPrivate: KeyObject,
    private readonly openIds: boolean,
  ) {}

  get first(): Account {
    return this.all[0];
  }

  /** Whether a caller must say which account is meant. */
  get areSeveral(): boolean {
    return this.all.length > 1;
  }

  /** The accounts of an application; none if it is unknown. */
  ofApp(appId: string | undefined): Account[] {
    return this.all.filter((account) => account.appId === appId);
  }

  /**
   * The account for which a request is made. Without a token Alipay assumes the application's own; here an application
   * whose accounts all have tokens has no account of its own.
   */
  find({ app_id: appId, app_auth_token: token = '' }: Params): Account | undefined {
    return this.ofApp(appId).find(({ appAuthToken = '' }) => appAuthToken === token);
  }

  /** The first account of an application, of a seller, or of both together. */
  pick({
    appId,
    sellerId,
  }: {
    appId?: string | undefined;
    sellerId?: string | undefined;
  }): Account | undefined {
    return this.all.find(
      (account) =>
        (appId === undefined || account.appId === appId) &&
        (sellerId === undefined || account.sellerId === sellerId),
    );
  }

  /** Who signs for an order, and for whom. */
  merchantOf({ payee = this.first }: Pick<Order, 'payee'>): Merchant {
    const { appId, authAppId, sellerId } = payee;
    return { appId, authAppId, sellerId, alipayPrivate: this.alipayPrivate, openIds: this.openIds };
  }

  /** The accounts as lists show them. */
  views(): AccountView[] {
    return this.all.map(viewOfAccount);
  }
}

/** An account as lists show it. */
export function viewOfAccount({ appId, sellerId, authAppId, appAuthToken }: Account): AccountView {
  return { appId, sellerId, authAppId, ...(appAuthToken !== undefined && { appAuthToken }) };
}

/** The three files for an account's application in certificate mode. */
export function filesOf(
  { app }: Account,
  certificates: Certificates | undefined,
): CertificateFiles | undefined {
  if (certificates === undefined) return undefined;
  return { app: app.certificate?.pem ?? '', root: certificates.root, alipay: certificates.alipay };
}

/** What an order remembers about the account for which it was created. */
export function payeeOf({ appId, authAppId, sellerId }: Payee): Payee {
  return { appId, authAppId, sellerId };
}

/**
 * Creates the accounts. The keys of the first application are in the keys folder itself, those of each other one in a
 * subfolder named by its id.
 * @throws Error `SANDBOX_ACCOUNTS` if two accounts cannot be told apart, `SANDBOX_KEYS` if a key cannot be used
 */
export async function openAccounts(
  own: AccountOptions & { appId: string },
  more: readonly AccountOptions[],
  surroundings: {
    keys: SandboxKeys;
    certificates?: Certificates | undefined;
    keysDir?: string | undefined;
    days: number;
    openIds: boolean;
  },
): Promise<Accounts> {
  const { keys, certificates, keysDir, days, openIds } = surroundings;
  const apps = new Map<string, App>([
    [
      own.appId,
      {
        appPrivatePem: keys.appPrivatePem,
        appPublic: keys.appPublic,
        ...(certificates && { certificate: { pem: certificates.app, sn: certificates.appSn } }),
      },
    ],
  ]);
  const all: [Account, ...Account[]] = [accountOf(own, own.appId, apps.get(own.appId) as App)];
  for (const wanted of more) {
    const { appId = own.appId, sellerId } = wanted;
    for (const id of [appId, sellerId]) {
      if (!/^\d{1,32}$/.test(id)) throw new Error(`SANDBOX_ACCOUNTS: ${id} is not an id: it must be digits`);
    }
    let app = apps.get(appId);
    if (app === undefined) {
      const dir = keysDir === undefined ? undefined : join(keysDir, appId);
      app = await loadAppKeys(dir, wanted.merchantPublicKey);
      if (certificates) {
        const holder = { appId, sellerId, appPublic: spki(app.appPublic), days };
        const pem = loadAppCertificate(certificates, holder, dir);
        app = { ...app, certificate: { pem, sn: serialOf(pem) } };
      }
      apps.set(appId, app);
    } else if (wanted.merchantPublicKey !== undefined) {
      throw new Error(
        `SANDBOX_ACCOUNTS: give the public key of application ${appId} once, where it comes first`,
      );
    }
    const account = accountOf(wanted, appId, app);
    refuseTwin(account, all);
    all.push(account);
  }
  return new Accounts(all, keys.alipayPrivate, openIds);
}

function accountOf({ sellerId, appAuthToken, authAppId }: AccountOptions, appId: string, app: App): Account {
  return { appId, sellerId, authAppId: authAppId ?? appId, appAuthToken, app };
}

function refuseTwin({ appId, sellerId, appAuthToken }: Account, others: readonly Account[]): void {
  const twin = others.find(
    (other) => other.appId === appId && (other.sellerId === sellerId || other.appAuthToken === appAuthToken),
  );
  if (twin === undefined) return;
  throw new Error(
    `SANDBOX_ACCOUNTS: application ${appId} is given twice for ${
      twin.sellerId === sellerId ? `seller ${sellerId}` : `the token ${appAuthToken ?? '(none)'}`
    }: an application acts for several sellers by a token for each`,
  );
}
