import type { Span } from '@opentelemetry/api';
import { SpanKind } from '@opentelemetry/api';
import type { AlipaySdk } from 'alipay-sdk';
import { OUT_TRADE_NO_ATTRIBUTE, inSpan } from '../spans';
import type { AlipayErrorKind } from './errors';
import { AlipayError } from './errors';
import type { AnswerNode, WireCall } from './wire';
import { callAlipay } from './wire';

/**
 * {@link callAlipay} within a span that tells method, payment, outcome and codes: never what was sent or answered.
 *
 * @throws AlipayError unknown, misconfigured
 */
export function tracedCall(sdk: AlipaySdk, call: WireCall): Promise<AnswerNode> {
  const attributes = { [OUT_TRADE_NO_ATTRIBUTE]: call.outTradeNo, 'http.request.method': 'POST' };
  return inSpan(call.method, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    try {
      const node = await callAlipay(sdk, call, (status) =>
        span.setAttribute('http.response.status_code', status),
      );
      noteOutcome(span, 'answered', node['code'], node['sub_code']);
      return node;
    } catch (error) {
      if (error instanceof AlipayError) noteOutcome(span, error.kind, error.code, error.subCode);
      throw error;
    }
  });
}

function noteOutcome(
  span: Span,
  outcome: 'answered' | AlipayErrorKind,
  code: string | undefined,
  subCode: string | undefined,
): void {
  span.setAttribute('alipay.outcome', outcome);
  if (code !== undefined) span.setAttribute('alipay.code', code);
  if (subCode !== undefined) span.setAttribute('alipay.sub_code', subCode);
}
