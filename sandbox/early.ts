import { readBeijingTime } from './beijing';
import type { Accounts } from './accounts';
import type { Certificates } from './certificates';
import { isServerMethod } from './methods';
import {
  escapeHtml,
  isKnownCharset,
  isSignType,
  nodeName,
  requestIsGenuine,
  signContent,
  type ResponseNode,
  type WireRequest,
} from './wire';

/** The methods whose request comes through a browser, or an app's phone, and whose answer is the cashier page. */
export const PAGE_METHODS: Record<string, 'page' | 'wap' | 'app'> = {
  'alipay.trade.page.pay': 'page',
  'alipay.trade.wap.pay': 'wap',
  'alipay.trade.app.pay': 'app',
};

/** Whether it is named like Alipay's methods: it may be one that the sandbox does not emulate. */
export function isAlipays(method: string): boolean {
  return /^(alipay|ant|antmerchant|datadigital|koubei|mybank|zhima|zoloz)(\.[a-z0-9]+){2,}$/.test(method);
}

/** A request refused before its business content is read. Most of Alipay's answers to these are unsigned. */
export interface EarlyError {
  name: string;
  node: ResponseNode;
  signed: boolean;
}

/** What a request is checked against. */
export interface EntryRules {
  accounts: Accounts;
  /** Of applications in certificate mode; undefined: they are in key mode. */
  certificates?: Certificates | undefined;
  now: () => number;
  /** How far `timestamp` may be from the current Beijing time, ms; undefined: not checked. */
  maxClockSkewMs?: number;
}

/** Checks what every request must have, in Alipay's order: the application before the signature. */
export function checkEntry(request: WireRequest, rules: EntryRules): EarlyError | undefined {
  const { params } = request;
  const { method = '' } = params;
  const known = isServerMethod(method) || method in PAGE_METHODS || isAlipays(method);
  const refuse = (node: ResponseNode, signed = false): EarlyError => ({
    name: known ? nodeName(method) : 'error_response',
    node,
    signed,
  });
  if (method === '') return refuse(missing('isv.missing-method', '缺少方法名参数'));
  if (!known) return refuse(invalid('isv.invalid-method', '不存在的方法名'));
  const flaw = flawOf(request, rules);
  if (flaw !== undefined) return refuse(flaw);
  const account = rules.accounts.find(params);
  if (account === undefined || !requestIsGenuine(request, account.app.appPublic))
    return refuse(badSignature(request), true);
  return undefined;
}

function flawOf(request: WireRequest, rules: EntryRules): ResponseNode | undefined {
  return flawOfHead(request, rules) ?? flawOfCertificates(request, rules) ?? flawOfToken(request, rules);
}

/** Alipay gives the same answer to a token that it never issued and to one that was withdrawn. */
function flawOfToken({ params }: WireRequest, { accounts }: EntryRules): ResponseNode | undefined {
  if (accounts.find(params) !== undefined) return undefined;
  return {
    code: '20001',
    msg: 'Insufficient Token Permissions',
    sub_code: 'aop.invalid-app-auth-token',
    sub_msg: '无效的应用授权令牌',
  };
}

/** Alipay, "公钥证书" error codes. An application has one mode: its certificates are required, or it has none. */
function flawOfCertificates(
  { params }: WireRequest,
  { accounts, certificates }: EntryRules,
): ResponseNode | undefined {
  const { app_cert_sn: appSn = '', alipay_root_cert_sn: rootSn = '' } = params;
  if (certificates === undefined)
    return appSn === '' ? undefined : invalid('isv.app-cert-not-exist', '应用公钥证书不存在');
  if (appSn === '') return missing('isv.missing-app-cert-sn', '缺少应用公钥证书SN参数');
  if (rootSn === '') return missing('isv.missing-alipay-root-cert-sn', '缺少支付宝根证书SN参数');
  if (appSn !== accounts.ofApp(params['app_id'])[0]?.app.certificate?.sn)
    return invalid('isv.app-cert-not-exist', '应用公钥证书不存在');
  if (rootSn !== certificates.rootSn)
    return invalid('isv.invalid-alipay-root-cert-sn', '支付宝根证书SN参数无效');
  return undefined;
}

function flawOfHead({ params }: WireRequest, rules: EntryRules): ResponseNode | undefined {
  const { app_id: appId = '', sign = '', sign_type: signType = '', timestamp = '', version = '' } = params;
  if (appId === '') return missing('isv.missing-app-id', '缺少AppID参数');
  if (rules.accounts.ofApp(appId).length === 0) return invalid('isv.invalid-app-id', '无效的AppID参数');
  if (sign === '') return missing('isv.missing-signature', '缺少签名参数');
  if (signType === '') return missing('isv.missing-signature-type', '缺少签名类型参数');
  if (!isSignType(signType)) return invalid('isv.invalid-signature-type', '无效的签名类型');
  if (!isKnownCharset(params['charset'] ?? 'utf-8')) return invalid('isv.invalid-charset', '字符集错误');
  if (timestamp === '') return missing('isv.missing-timestamp', '缺少时间戳参数');
  if (!isTimely(timestamp, rules)) return invalid('isv.invalid-timestamp', '非法的时间戳参数');
  if (version === '') return missing('isv.missing-version', '缺少版本参数');
  if (version !== '1.0') return invalid('isv.invalid-version', '版本参数无效');
  return undefined;
}

function isTimely(timestamp: string, { now, maxClockSkewMs }: EntryRules): boolean {
  const at = readBeijingTime(timestamp);
  if (at === undefined) return false;
  return maxClockSkewMs === undefined || Math.abs(at - now()) <= maxClockSkewMs;
}

function badSignature({ params }: WireRequest): ResponseNode {
  const words = '验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：';
  return invalid('isv.invalid-signature', words + escapeHtml(signContent(params, ['sign'])));
}

/** The node for a request in which something is missing: 40001. */
export function missing(subCode: string, subMsg: string): ResponseNode {
  return { code: '40001', msg: 'Missing Required Arguments', sub_code: subCode, sub_msg: subMsg };
}

/** The node for a request in which something is wrong: 40002. */
export function invalid(subCode: string, subMsg: string): ResponseNode {
  return { code: '40002', msg: 'Invalid Arguments', sub_code: subCode, sub_msg: subMsg };
}
