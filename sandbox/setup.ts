import { createPrivateKey } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { CertificateFiles } from './certificates';
import type { SandboxKeys } from './keys';
import { SNIPPETS, type SnippetFacts } from './snippets';

/** The same key in the forms that clients ask for. */
export interface KeyForms {
  /** PEM, `BEGIN RSA PRIVATE KEY`: alipay-sdk for Node, gopay, python-alipay-sdk. */
  pkcs1: string;
  /** PEM, `BEGIN PRIVATE KEY`. */
  pkcs8: string;
  /** Base64 without the frame, for Python's and PHP's official SDKs. */
  barePkcs1: string;
  /** Base64 without the frame, for Java. */
  barePkcs8: string;
}

/** How one client is told to use this sandbox. */
export interface Snippet {
  id: string;
  language: string;
  client: string;
  install: string;
  code: string;
}

/** What an application is told to use this sandbox. */
export interface Setup {
  gateway: string;
  /** The origin alone, for clients that ask for the v3 endpoint or a server URL. */
  url: string;
  appId: string;
  sellerId: string;
  signType: 'RSA2';
  /** Absent where the application keeps its own private key. */
  appPrivateKey?: KeyForms;
  /** Alipay's key, by which answers and notifications are verified. */
  alipayPublicKey: { pem: string; bare: string };
  /** In certificate mode. */
  certificates?: CertificateFiles;
  appAuthToken?: string;
  snippets: Snippet[];
}

/** What a setup is made of. */
interface Facts {
  address: string;
  appId: string;
  sellerId: string;
  keys: SandboxKeys;
  certificates?: CertificateFiles | undefined;
  appAuthToken?: string | undefined;
}

/** Base64 without the PEM's frame. */
const bare = (pem: string): string => pem.replace(/-----[A-Z ]+-----|\s/g, '');

/** Puts together what an application is told. */
export function setupOf({ address, appId, sellerId, keys, certificates, appAuthToken }: Facts): Setup {
  const own = keys.appPrivatePem === '' ? undefined : formsOf(keys.appPrivatePem);
  const alipayPublicKey = { pem: keys.alipayPublicPem, bare: bare(keys.alipayPublicPem) };
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
    ...(certificates && {
      certificates: { app: certificates.app, root: certificates.root, alipay: certificates.alipay },
    }),
    ...(appAuthToken !== undefined && { appAuthToken }),
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
 * `GET /setup`: for a person as text, as JSON for a program that asks for it (`Accept`, or `/setup.json`). `GET /setup/<id>`
 * is one snippet alone, to be saved and run.
 */
export function serveSetup(server: FastifyInstance, setup: () => Setup): void {
  server.get('/setup', (request, reply) =>
    request.headers.accept?.includes('application/json')
      ? reply.send(setup())
      : reply.type('text/plain; charset=utf-8').send(setupText(setup())),
  );
  server.get('/setup/json', () => setup());
  server.get<{ Params: { id: string } }>('/setup/:id', (request, reply) => {
    const { snippets } = setup();
    const found = snippets.find(({ id }) => id === request.params.id);
    if (found !== undefined) return reply.type('text/plain; charset=utf-8').send(found.code);
    const known = snippets.map(({ id }) => id).join(', ');
    return reply.code(404).send({ code: 'UNKNOWN_SNIPPET', message: `there is: ${known}` });
  });
}

/** A setup as a person reads it. */
export function setupText(setup: Setup): string {
  const { gateway, appId, sellerId, appPrivateKey, alipayPublicKey, certificates, snippets } = setup;
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
  const blocks = [
    ['Gateway', gateway],
    ['App id', appId],
    ['Seller id (PID)', sellerId],
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
