import { constants, createHash, publicDecrypt, type KeyObject } from 'node:crypto';
import type { Flaw } from './flaw';
import { encodeText, isUtf8, signContent, unescapeHtml, type Params, type WireRequest } from './wire';

const SEEN_MAX = 200;
/** Longer requests are neither remembered nor examined closely: that limits the cost of one false call. */
const TEXT_MAX = 16_384;
const CHANGES_MAX = 3;

/** DER in front of the digest in an RSA signature (RFC 8017, 9.2). */
const DIGESTS = {
  RSA2: { hash: 'sha256', head: '3031300d060960864801650304020105000420' },
  RSA: { hash: 'sha1', head: '3021300906052b0e03021a05000414' },
} as const;

interface Signed {
  type: keyof typeof DIGESTS;
  digest: Buffer;
}

/**
 * Finds out why a signature does not hold. The public key opens an RSA signature and reveals the digest of what was
 * signed. This distinguishes a wrong key from a changed text; likely mistakes are tried until one gives that digest.
 */
export class SignatureDoctor {
  readonly #seen = new Map<string, Params>();

  constructor(private readonly appPublic: KeyObject) {}

  /** Remembers a genuine request for comparison with a changed copy. The oldest are forgotten. */
  remember({ params, signedBytes }: WireRequest): void {
    const { sign = '' } = params;
    if (signedBytes.length > TEXT_MAX || this.#seen.has(sign)) return;
    this.#seen.set(sign, params);
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > SEEN_MAX && oldest !== undefined) this.#seen.delete(oldest);
  }

  /** Whether this application's key made the signature, whatever was signed. */
  isSigner({ params: { sign = '' } }: WireRequest): boolean {
    return this.#open(sign.replaceAll(' ', '+')) !== undefined;
  }

  /** Finds what is wrong with a signature that does not hold. */
  examine(request: WireRequest): Flaw {
    const { params, signedBytes } = request;
    const { sign = '' } = params;
    const plain = sign.replaceAll(' ', '+');
    const signed = this.#open(plain);
    if (signed === undefined) return { kind: 'key', field: 'sign' };
    const original = this.#seen.get(plain);
    if (original !== undefined) return changes(original, params);
    if (signedBytes.length > TEXT_MAX) return { kind: 'altered' };
    const fits = (bytes: Buffer | string, type = signed.type): boolean =>
      createHash(DIGESTS[type].hash).update(bytes).digest().equals(signed.digest);
    if (fits(signedBytes)) {
      return plain === sign
        ? { kind: 'sign-type', field: 'sign_type', expected: signed.type, got: params['sign_type'] ?? '' }
        : { kind: 'plus', field: 'sign' };
    }
    return (
      mistakes(params).find(({ text, charset }) => fits(encodeText(text, charset)))?.flaw ?? altered(params)
    );
  }

  #open(sign: string): Signed | undefined {
    let block: string;
    try {
      block = publicDecrypt(
        { key: this.appPublic, padding: constants.RSA_PKCS1_PADDING },
        Buffer.from(sign, 'base64'),
      ).toString('hex');
    } catch {
      return undefined;
    }
    for (const type of ['RSA2', 'RSA'] as const) {
      const { head } = DIGESTS[type];
      if (block.startsWith(head)) return { type, digest: Buffer.from(block.slice(head.length), 'hex') };
    }
    return undefined;
  }
}

function altered(params: Params): Flaw {
  return { kind: 'altered', got: signContent(params, ['sign']) };
}

interface Mistake {
  text: string;
  charset: string | undefined;
  flaw: Flaw;
}

/** The texts that clients sign by mistake, most likely first. */
function mistakes(params: Params): Mistake[] {
  const { charset } = params;
  const names = Object.keys(params).filter((name) => name !== 'sign');
  const found: Mistake[] = [];
  const add = (text: string, flaw: Flaw, as = charset) => found.push({ text, charset: as, flaw });

  add(
    signContent(params, ['sign']),
    { kind: 'charset', field: 'charset', got: charset ?? 'utf-8' },
    isUtf8(charset) ? 'gbk' : 'utf-8',
  );
  for (const name of names) {
    add(signContent(params, ['sign', name]), { kind: 'unsigned', field: name, got: params[name] });
  }
  for (const name of names) {
    for (const value of forms(params[name] ?? '')) {
      add(signContent({ ...params, [name]: value }, ['sign']), {
        kind: 'encoding',
        field: name,
        expected: value,
        got: params[name],
      });
    }
  }
  const escaped = Object.fromEntries(names.map((name) => [name, encodeURIComponent(params[name] ?? '')]));
  add(signContent(escaped, []), { kind: 'encoding' });
  const joined = (of: string[]) => of.map((name) => `${name}=${params[name] ?? ''}`).join('&');
  const empty = names.find((name) => params[name] === '');
  if (empty !== undefined) add(joined([...names].sort()), { kind: 'empty', field: empty });
  add(joined(names.filter((name) => params[name] !== '')), { kind: 'order' });
  return found;
}

/** Other forms of a value that a client may have signed. */
function forms(value: string): string[] {
  const others = [
    encodeURIComponent(value),
    encodeURIComponent(value).replaceAll('%20', '+'),
    unescapeHtml(value),
    value.replaceAll(' ', '+'),
    value.replaceAll('\r\n', '\n'),
    value.trim(),
    ...tidied(value),
    ...decoded(value),
  ];
  return [...new Set(others)].filter((other) => other !== value);
}

function decoded(value: string): string[] {
  try {
    return [decodeURIComponent(value)];
  } catch {
    return [];
  }
}

function tidied(value: string): string[] {
  if (!/^\s*[{[]/.test(value)) return [];
  try {
    const parsed: unknown = JSON.parse(value);
    const compact = JSON.stringify(parsed);
    return [compact, compact.replaceAll('/', '\\/'), compact.replaceAll('":', '": ').replaceAll(',"', ', "')];
  } catch {
    return [];
  }
}

/** Which parameters of a signed request were changed, with the values before and after. */
function changes(original: Params, changed: Params): Flaw {
  const [before, after] = [flatten(original), flatten(changed)];
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (field) => before[field] !== after[field] && field !== 'sign',
  );
  const said = (of: Params) => {
    const values = fields.slice(0, CHANGES_MAX).map((field) => of[field] ?? '');
    return values.join(', ');
  };
  return {
    kind: 'changed',
    field: fields.slice(0, CHANGES_MAX).join(', '),
    expected: said(before),
    got: said(after),
  };
}

/** Parameters, with the fields of the content next to them; the content itself only if it is not a JSON object. */
function flatten({ biz_content: content, ...params }: Params): Params {
  const fields = new Map(Object.entries(params));
  try {
    const parsed: unknown = JSON.parse(content ?? '');
    for (const [name, value] of Object.entries(parsed as object)) {
      fields.set(`biz_content.${name}`, typeof value === 'string' ? value : JSON.stringify(value));
    }
  } catch {
    if (content !== undefined) fields.set('biz_content', content);
  }
  return Object.fromEntries(fields);
}
