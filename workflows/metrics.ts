import { metricMeter } from '@temporalio/workflow';
import type { Answer, SweepReport } from './messages';

// What only workflows know. The SDK skips replays, so nothing counts twice. Documented in docs/observability.md.

/** How long after its due time a check was made, ms: the delay that a queue of timers or too few workers cause. */
export function measureLateness(ms: number): void {
  metricMeter.createHistogram('durable_alipay_check_lateness', 'int', 'ms').record(Math.max(0, ms));
}

/** A check was made. */
export function countCheck(answer: Answer): void {
  metricMeter.createCounter('durable_alipay_checks').add(1, { answer });
}

/** A run gave up asking: from now on slow checks and the sweep take over. */
export function countUnconfirmed(): void {
  metricMeter.createCounter('durable_alipay_payments_unconfirmed').add(1);
}

/** What one sweep did, and when it ended. */
export function measureSweep(report: SweepReport, endedAt: number): void {
  const orders = metricMeter.createCounter('durable_alipay_sweep_orders');
  for (const outcome of ['closed', 'rescued', 'held', 'failed'] as const) {
    orders.add(report[outcome], { outcome });
  }
  setEnd('sweep', endedAt);
  metricMeter.createGauge('durable_alipay_sweep_gateway_down').set(report.gatewayDown ? 1 : 0);
}

/** When one follow-up ended. */
export function measureFollowUp(endedAt: number): void {
  setEnd('follow_up', endedAt);
}

function setEnd(of: 'sweep' | 'follow_up', endedAt: number): void {
  metricMeter.createGauge(`durable_alipay_${of}_last_end_seconds`).set(Math.floor(endedAt / 1000));
}
