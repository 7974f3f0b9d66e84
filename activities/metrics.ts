import type { MetricMeter } from '@temporalio/common';
import { noopMetricMeter } from '@temporalio/common';
import type { ObserveCall } from './alipay/caller';
import type { Recorded } from '../workflows/messages';
import type { StoredPaymentStatus } from '../workflows/messages';

/** What activities count. Names and labels are documented in docs/observability.md. */
export interface Metrics {
  settled(status: StoredPaymentStatus, howMany?: number): void;
  gatewayCall: ObserveCall;
}

/** Counts what was recorded, where it changed anything; passes it on. */
export function counted(metrics: Metrics, recorded: Recorded): Recorded {
  if (recorded.changed) metrics.settled(recorded.status);
  return recorded;
}

/** Counts on the SDK's own meter, so that one endpoint serves Temporal's metrics and ours. */
export function createMetrics(meter: MetricMeter = noopMetricMeter): Metrics {
  const settled = meter.createCounter(
    'durable_alipay_payments_settled',
    undefined,
    'Payments by the status they took',
  );
  const calls = meter.createCounter(
    'durable_alipay_gateway_calls',
    undefined,
    'Calls of Alipay, by outcome and code',
  );
  const latency = meter.createHistogram(
    'durable_alipay_gateway_latency',
    'int',
    'ms',
    'Time of one call of Alipay',
  );
  return {
    settled: (status, howMany = 1) => settled.add(howMany, { status }),
    gatewayCall: ({ method, outcome, code, ms }) => {
      calls.add(1, { method, outcome, code });
      if (outcome !== 'down' && outcome !== 'no-quota') latency.record(ms, { method });
    },
  };
}
