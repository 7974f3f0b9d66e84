import type { AlipaySdk } from 'alipay-sdk';
import { toBeijing } from './beijing';

/** One call of a method of Alipay's, before it is signed. */
export interface AlipayRequest {
  /** `alipay.trade.query` … */
  method: string;
  outTradeNo: string;
  bizContent: Record<string, string>;
  /** Common parameters such as `notify_url`. */
  common?: Record<string, string>;
}

/**
 * Signs a request and returns the whole form. The timestamp is given, because alipay-sdk would take the process' own
 * time zone.
 */
export function signedForm(
  sdk: AlipaySdk,
  { method, bizContent, common = {} }: Pick<AlipayRequest, 'method' | 'bizContent' | 'common'>,
): URLSearchParams {
  return new URLSearchParams(
    sdk.sdkExecute(method, { ...common, timestamp: toBeijing(new Date()), bizContent }),
  );
}

/** Where and what to post: `biz_content` in the body, all else in the query, as Alipay's own SDKs for Node and Java do. */
export function signedPost(sdk: AlipaySdk, request: AlipayRequest): { url: URL; form: string } {
  const form = signedForm(sdk, request);
  const body = new URLSearchParams({ biz_content: form.get('biz_content') ?? '' });
  form.delete('biz_content');
  const url = new URL(sdk.config.gateway);
  url.search = form.toString();
  return { url, form: body.toString() };
}
