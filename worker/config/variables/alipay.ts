import { leavesNamesToAlipay } from '../../../activities/alipay/return';
import { parseAlipayCertificate, parseAppCertificate, parseRootCertificates } from '../../certificates';
import { parsePrivateKey, parsePublicKey } from '../../keys';
import { parseMerchantsFile } from '../merchants';
import { duration, file, files, httpUrl, key, positiveNumber, urlForAlipay, word } from '../kinds';
import type { Variable } from './variable';

/** Certificate mode: all three, instead of Alipay's public key. */
export const CERTIFICATES = [
  'ALIPAY_APP_CERT_FILE',
  'ALIPAY_ROOT_CERT_FILE',
  'ALIPAY_PUBLIC_CERT_FILE',
] as const;

/** How to reach Alipay, and in whose name. */
export const ALIPAY = {
  ALIPAY_GATEWAY: {
    group: 'alipay',
    field: 'gateway',
    example: 'https://openapi.alipay.com/gateway.do',
    meaning: "Alipay's gateway",
    kind: httpUrl,
  },
  ALIPAY_APP_ID: {
    group: 'alipay',
    field: 'appId',
    example: '2021000000000000',
    meaning: 'application id at Alipay',
    kind: word(32),
  },
  ALIPAY_PRIVATE_KEY: {
    group: 'alipay',
    field: 'privateKey',
    secret: true,
    orFile: true,
    example: "your application's RSA2 private key",
    meaning: "the application's private key: PEM or bare base64, PKCS1 or PKCS8; or ALIPAY_PRIVATE_KEY_FILE",
    // PKCS1 PEM, as alipay-sdk expects it.
    kind: key((value) => parsePrivateKey(value).pkcs1),
  },
  ALIPAY_PUBLIC_KEY: {
    group: 'alipay',
    field: 'publicKey',
    secret: true,
    orFile: true,
    example: "Alipay's public key (支付宝公钥) as the open platform shows it",
    meaning:
      "Alipay's public key: PEM or bare base64; or ALIPAY_PUBLIC_KEY_FILE; in certificate mode the next three instead",
    unless: CERTIFICATES,
    kind: key(parsePublicKey).optional(),
  },
  ALIPAY_APP_CERT_FILE: {
    group: 'alipay',
    field: 'appCert',
    example: '/etc/shop/appCertPublicKey_2021000000000000.crt',
    meaning: "certificate mode: the application's certificate",
    kind: file(parseAppCertificate).optional(),
  },
  ALIPAY_ROOT_CERT_FILE: {
    group: 'alipay',
    field: 'rootCert',
    example: '/etc/shop/alipayRootCert.crt',
    meaning: "certificate mode: Alipay's root certificates",
    kind: file(parseRootCertificates).optional(),
  },
  ALIPAY_PUBLIC_CERT_FILE: {
    group: 'alipay',
    field: 'alipayCerts',
    example: '/etc/shop/alipayCertPublicKey_RSA2.crt',
    meaning: "certificate mode: Alipay's certificate; old and new, comma-separated, during renewal",
    kind: files(parseAlipayCertificate).optional(),
  },
  ALIPAY_SELLER_ID: {
    group: 'alipay',
    field: 'sellerId',
    example: '2088000000000000',
    meaning: 'account that receives the money; notifications for any other are refused',
    kind: word(28),
  },
  ALIPAY_APP_AUTH_TOKEN: {
    group: 'alipay',
    field: 'appAuthToken',
    secret: true,
    orFile: true,
    example: 'the token that the merchant’s authorisation gave (app_auth_token)',
    meaning: 'app_auth_token of the merchant that an ISV acts for; or ALIPAY_APP_AUTH_TOKEN_FILE',
    kind: word(128).optional(),
  },
  ALIPAY_NOTIFY_URL: {
    group: 'alipay',
    field: 'notifyUrl',
    example: 'https://shop.example/alipay/notify',
    meaning: 'public address of POST /alipay/notify',
    kind: urlForAlipay,
  },
  ALIPAY_RETURN_URL: {
    group: 'alipay',
    field: 'returnUrl',
    example: 'https://shop.example/thanks',
    meaning: 'where the cashier sends the buyer',
    kind: urlForAlipay
      .refine(leavesNamesToAlipay, 'must have no parameter of a name that Alipay adds')
      .optional(),
  },
  ALIPAY_TIMEOUT: {
    group: 'alipay',
    field: 'timeoutMs',
    default: '5s',
    meaning: 'hard deadline of one call, at most 20s',
    kind: duration('50ms', '20s'),
  },
  ALIPAY_MAX_RPS: {
    group: 'alipay',
    field: 'maxRps',
    example: '50',
    meaning: 'calls per second across all processes; unset: no quota',
    kind: positiveNumber.optional(),
  },
  MERCHANTS_FILE: {
    group: 'merchants',
    field: 'entries',
    example: '/etc/shop/merchants.yaml',
    meaning: 'more merchants, in YAML',
    kind: file(parseMerchantsFile).optional(),
  },
} as const satisfies Record<string, Variable>;
