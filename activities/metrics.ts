import type { MetricMeter } from '@temporalio/common';
import { noopMetricMeter } from '@temporalio/common';
import type { ObserveMerchantCall } from './alipay/gateway';
import type { StoredPaymentStatus } from '../workflows/messages';

/** What activities count. Names and labels are documented in docs/observability.md. */
export interface Metrics {
  settled(status: StoredPaymentStatus, howMany?: number): void;
  /** A refund that the shop asked for was refused, with Alipay's code or ours. */
  refundRefused(code: string): void;
  gatewayCall: ObserveMerchantCall;
  /** A post to the order service is over: `taken`, or the error code. */
  webhook(post: { outcome: string; ms: number }): void;
  /** The order service was first told of a payment: what found the payment, and how long after it was paid. */
  told(payment: { path: string; seconds: number }): void;
}

/** A histogram of seconds; see `worker/telemetry.ts` for its buckets. */
export const PAID_TO_TOLD = 'durable_alipay_paid_to_told';

/** Counts on the SDK's own meter, so that one endpoint serves Temporal's metrics and ours. */
export function createMetrics(meter: MetricMeter = noopMetricMeter): Metrics {
  const counter = (name: string, description: string) =>
    meter.createCounter(`durable_alipay_${name}`, undefined, description);
  const histogramMs = (name: string, description: string) =>
    meter.createHistogram(`durable_alipay_${name}`, 'int', 'ms', description);
  const settled = counter('payments_settled', 'Payments by the status they took');
  const refused = counter('refunds_refused', 'Refunds requested by the shop that were refused, by code');
  const calls = counter('gateway_calls', 'Calls to Alipay, by outcome and code');
  const latency = histogramMs('gateway_latency', 'Time of one call to Alipay');
  const posts = counter('webhook_posts', 'Results posted to the order service, by outcome');
  const postLatency = histogramMs('webhook_latency', 'Time that the order service took for a result');
  const told = meter.createHistogram(
    PAID_TO_TOLD,
    'float',
    'seconds',
    'Time from a payment until the order service knows of it, by what found the payment',
  );
  return {
    settled: (status, howMany = 1) => settled.add(howMany, { status }),
    refundRefused: (code) => refused.add(1, { code }),
    gatewayCall: ({ merchant, method, outcome, code, ms }) => {
      calls.add(1, { merchant, method, outcome, code });
      if (outcome !== 'down' && outcome !== 'no-quota') latency.record(ms, { merchant, method });
    },
    webhook: ({ outcome, ms }) => {
      posts.add(1, { outcome });
      postLatency.record(ms);
    },
    told: ({ path, seconds }) => told.record(seconds, { path }),
  };
}
