import { beijingTime } from './beijing';
import type { EntryRules } from './early';
import type { Refusal } from './refusal';
import { SignatureDoctor } from './signature-doctor';
import type { ResponseNode, WireRequest } from './wire';

/**
 * What kind of thing was wrong with a request.
 *
 * Before it was read: `too-large`. In its head: `missing`, `invalid` (an impossible value), `other` (an application,
 * certificate or token that is not this sandbox's), `clock`. In its content: `not-json`, `invalid`, `refused`
 * (well-formed, but the trade's state forbids it). In its signature, if the key is right: `changed` (a parameter was
 * changed after signing), `unsigned` (the signed text leaves out a parameter), `encoding` (a value was signed in
 * another form), `empty` (empty parameters were signed as well), `order` (not sorted by name), `charset`, `sign-type`,
 * `plus` (the `+` of the signature arrived as spaces), `altered` (another text was signed, and which cannot be told).
 * `key`: signed with another key (`got` is the application that owns it, if that is another one of this sandbox), or no
 * signature at all.
 */
export type FlawKind =
  | 'too-large'
  | 'missing'
  | 'invalid'
  | 'other'
  | 'clock'
  | 'not-json'
  | 'refused'
  | 'changed'
  | 'unsigned'
  | 'encoding'
  | 'empty'
  | 'order'
  | 'charset'
  | 'sign-type'
  | 'plus'
  | 'altered'
  | 'key';

/** What was wrong with a request: for the person at the editor, never on the wire. */
export interface Flaw {
  kind: FlawKind;
  /** The parameter; inside `biz_content` its path, like `biz_content.total_amount`. */
  field?: string;
  expected?: string;
  got?: string;
}

const FIELD_OF: Record<string, string> = {
  'missing-method': 'method',
  'invalid-method': 'method',
  'missing-app-id': 'app_id',
  'invalid-app-id': 'app_id',
  'missing-signature': 'sign',
  'missing-signature-type': 'sign_type',
  'invalid-signature-type': 'sign_type',
  'invalid-charset': 'charset',
  'missing-timestamp': 'timestamp',
  'invalid-timestamp': 'timestamp',
  'missing-version': 'version',
  'invalid-version': 'version',
  'missing-biz-content': 'biz_content',
  'missing-app-cert-sn': 'app_cert_sn',
  'app-cert-not-exist': 'app_cert_sn',
  'missing-alipay-root-cert-sn': 'alipay_root_cert_sn',
  'invalid-alipay-root-cert-sn': 'alipay_root_cert_sn',
  'invalid-app-auth-token': 'app_auth_token',
};

/** Finds what was wrong with requests that the gateway refuses before it reads their content. */
export class Flaws {
  /** Keyed by application. */
  readonly #doctors: Map<string, SignatureDoctor>;

  constructor(private readonly rules: EntryRules) {
    this.#doctors = new Map(
      rules.accounts.all.map(({ appId, app }) => [appId, new SignatureDoctor(app.appPublic)]),
    );
  }

  /** Remembers a genuine request: a later one with the same signature and other parameters was tampered with. */
  remember(request: WireRequest): void {
    this.#doctors.get(request.params['app_id'] ?? '')?.remember(request);
  }

  /** The flaw that an early error's node reports. */
  of(request: WireRequest, { sub_code: subCode = '' }: ResponseNode): Flaw {
    const name = subCode.slice(subCode.indexOf('.') + 1);
    if (name === 'invalid-signature') return this.#examine(request);
    if (name === 'invalid-parameter') return { kind: 'not-json', field: 'biz_content' };
    const field = FIELD_OF[name];
    if (field === undefined) return { kind: 'refused' };
    if (name.startsWith('missing')) return { kind: 'missing', field };
    return { field, got: request.params[field] ?? '', ...this.#wanted(field, request) };
  }

  #examine(request: WireRequest): Flaw {
    const { app_id: appId = '' } = request.params;
    const flaw = this.#doctors.get(appId)?.examine(request) ?? { kind: 'key', field: 'sign' };
    if (flaw.kind !== 'key') return flaw;
    const [signer] = [...this.#doctors].find(([, doctor]) => doctor.isSigner(request)) ?? [];
    return signer === undefined ? flaw : { ...flaw, expected: appId, got: signer };
  }

  #wanted(field: string, { params }: WireRequest): Pick<Flaw, 'kind' | 'expected'> {
    const { accounts, certificates, now } = this.rules;
    const ofApp = accounts.ofApp(params['app_id']);
    switch (field) {
      case 'app_id':
        return { kind: 'other', expected: listed(accounts.all.map(({ appId }) => appId)) };
      case 'app_auth_token':
        return { kind: 'other', expected: listed(ofApp.map(({ appAuthToken = '' }) => appAuthToken)) };
      case 'app_cert_sn':
        return { kind: 'other', expected: ofApp[0]?.app.certificate?.sn ?? '' };
      case 'alipay_root_cert_sn':
        return { kind: 'other', expected: certificates?.rootSn };
      case 'timestamp':
        return {
          kind: /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(params['timestamp'] ?? '') ? 'clock' : 'invalid',
          expected: beijingTime(now()),
        };
      case 'sign_type':
        return { kind: 'invalid', expected: 'RSA2' };
      case 'charset':
        return { kind: 'invalid', expected: 'utf-8, gbk, gb2312, gb18030' };
      case 'version':
        return { kind: 'invalid', expected: '1.0' };
      default:
        return { kind: 'invalid' };
    }
  }
}

const listed = (values: readonly string[]): string =>
  [...new Set(values)].filter((value) => value !== '').join(', ');

/** The flaw that a refusal of a request's content reports. */
export function flawOfRefusal({ code, detail }: Refusal): Flaw {
  const field = /^[a-z_]+$/.exec(detail ?? '')?.[0];
  return field === undefined || code !== 'ACQ.INVALID_PARAMETER'
    ? { kind: 'refused', ...(detail !== undefined && { got: detail }) }
    : { kind: 'invalid', field: `biz_content.${field}` };
}
