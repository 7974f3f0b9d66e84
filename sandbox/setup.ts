import { createPrivateKey } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { filesOf, type Account, type Accounts, type AccountView } from './accounts';
import type { CertificateFiles, Certificates } from './certificates';
import { SNIPPETS, type SnippetFacts } from './snippets';

/** One key in the formats that clients require. */
export interface KeyForms {
  /** PEM, `BEGIN RSA PRIVATE KEY`: alipay-sdk for Node, gopay, python-alipay-sdk. */
  pkcs1: string;
  /** PEM, `BEGIN PRIVATE KEY`. */
  pkcs8: string;
  /** Base64 without the PEM header, for Python's and PHP's official SDKs. */
  barePkcs1: string;
  /** Base64 without the PEM header, for Java. */
  barePkcs8: string;
}

/** How to set up one client for this sandbox. */
export interface Snippet {
  id: string;
  language: string;
  client: string;
  install: string;
  code: string;
}

/** What to set in an application to use this sandbox. */
export interface Setup {
  gateway: string;
  /** Only the origin, for clients that ask for the v3 endpoint or a server URL. */
  url: string;
  appId: string;
  sellerId: string;
  signType: 'RSA2';
  /** Absent if the application keeps its own private key. */
  appPrivateKey?: KeyForms;
  /** Alipay's key, with which answers and notifications are verified. */
  alipayPublicKey: { pem: string; bare: string };
  /** Only in certificate mode. */
  certificates?: CertificateFiles;
  appAuthToken?: string;
  /** All accounts, if there are several: `/setup?app=…&seller=…` shows that of another. */
  accounts?: AccountView[];
  snippets: Snippet[];
}

/** The setup of the first account of an application, of a seller, or of both; undefined if there is none. */
export type SetupOf = (which?: {
  appId?: string | undefined;
  sellerId?: string | undefined;
}) => Setup | undefined;

/** What a setup is made from. */
interface Facts {
  address: string;
  account: Account;
  accounts: Accounts;
  alipayPublicPem: string;
  certificates?: Certificates | undefined;
}

/** Base64 without the PEM header. */
const bare = (pem: string): string => pem.replace(/-----[A-Z ]+-----|\s/g, '');

/** Assembles the setup of an application. */
export function setupOf({ address, account, accounts, alipayPublicPem, certificates }: Facts): Setup {
  const { appId, sellerId, appAuthToken, app } = account;
  const own = app.appPrivatePem === '' ? undefined : formsOf(app.appPrivatePem);
  const alipayPublicKey = { pem: alipayPublicPem, bare: bare(alipayPublicPem) };
  const files = filesOf(account, certificates);
  const gateway = `${address}/gateway.do`;
  const yours = 'YOUR-OWN-PRIVATE-KEY';
  const facts: SnippetFacts = {
    gateway,
    url: address,
    appId,
    pkcs1: own?.barePkcs1 ?? yours,
    pkcs8: own?.barePkcs8 ?? yours,
    alipayKey: alipayPublicKey.bare,
  };
  return {
    ...{ gateway, url: address, appId, sellerId, signType: 'RSA2', alipayPublicKey },
    ...(own && { appPrivateKey: own }),
    ...(files && { certificates: files }),
    ...(appAuthToken !== undefined && { appAuthToken }),
    ...(accounts.areSeveral && { accounts: accounts.views() }),
    snippets: SNIPPETS.map(({ code, ...about }) => ({ ...about, code: code(facts) })),
  };
}

function formsOf(privatePem: string): KeyForms {
  const key = createPrivateKey(privatePem);
  const [pkcs1, pkcs8] = (['pkcs1', 'pkcs8'] as const).map((type) =>
    key.export({ type, format: 'pem' }).toString(),
  ) as [string, string];
  return { pkcs1, pkcs8, barePkcs1: bare(pkcs1), barePkcs8: bare(pkcs8) };
}

/**
 * `GET /setup`: text for a person, JSON for a program that asks for it (`Accept`, or `/setup/json`). `GET /setup/<id>`
 * is only one snippet, to be saved and run. `?app=` and `?seller=` choose an account other than the first.
 */
export function serveSetup(server: FastifyInstance, setupFor: SetupOf): void {
  type Asked = FastifyRequest<{ Querystring: { app?: string; seller?: string } }>;
  const show = (request: Asked, reply: FastifyReply, act: (setup: Setup) => FastifyReply): FastifyReply => {
    const { app: appId, seller: sellerId } = request.query;
    const setup = setupFor({ appId, sellerId });
    if (setup !== undefined) return act(setup);
    return reply
      .code(404)
      .send({ code: 'UNKNOWN_ACCOUNT', message: 'GET /control/accounts lists the accounts' });
  };
  server.get('/setup', (request: Asked, reply) =>
    show(request, reply, (setup) =>
      request.headers.accept?.includes('application/json')
        ? reply.send(setup)
        : reply.type('text/plain; charset=utf-8').send(setupText(setup)),
    ),
  );
  server.get('/setup/json', (request: Asked, reply) => show(request, reply, (setup) => reply.send(setup)));
  server.get('/setup/:id', (request: Asked, reply) =>
    show(request, reply, ({ snippets }) => {
      const { id: wanted } = request.params as { id: string };
      const found = snippets.find(({ id }) => id === wanted);
      if (found !== undefined) return reply.type('text/plain; charset=utf-8').send(found.code);
      const known = snippets.map(({ id }) => id).join(', ');
      return reply.code(404).send({ code: 'UNKNOWN_SNIPPET', message: `known snippets: ${known}` });
    }),
  );
}

/** A setup as text for a person. */
export function setupText(setup: Setup): string {
  const { gateway, appId, sellerId, appPrivateKey, alipayPublicKey, certificates, snippets } = setup;
  const { appAuthToken, accounts = [] } = setup;
  const keys = appPrivateKey
    ? [
        ['Your private key, PKCS1 (Node, Go, Python)', appPrivateKey.pkcs1],
        ['Your private key, PKCS8', appPrivateKey.pkcs8],
        ['Your private key, PKCS1 without header (PHP, Python official)', appPrivateKey.barePkcs1],
        ['Your private key, PKCS8 without header (Java)', appPrivateKey.barePkcs8],
      ]
    : [['Your private key', 'is your own: the sandbox knows its public half']];
  const files = certificates
    ? [
        ['appCertPublicKey.crt', certificates.app],
        ['alipayRootCert.crt', certificates.root],
        ['alipayCertPublicKey_RSA2.crt', certificates.alipay],
      ]
    : [];
  const others = accounts.map(
    (account) =>
      `/setup?app=${account.appId}&seller=${account.sellerId}${account.appAuthToken === undefined ? '' : ' (ISV)'}`,
  );
  const blocks = [
    ...(others.length === 0 ? [] : [['All accounts; below is one of them', others.join('\n')]]),
    ['Gateway', gateway],
    ['App id', appId],
    ['Seller id (PID)', sellerId],
    ...(appAuthToken === undefined ? [] : [['app_auth_token of each request', appAuthToken]]),
    ...keys,
    ["Alipay's public key", alipayPublicKey.pem],
    ["Alipay's public key without header", alipayPublicKey.bare],
    ...files,
    ...snippets.map(({ language, client, install, code }) => [
      `${language}: ${client}`,
      `${install}\n\n${code}`,
    ]),
  ];
  return blocks.map(([title = '', text = '']) => `== ${title}\n${text.trim()}\n`).join('\n');
}
