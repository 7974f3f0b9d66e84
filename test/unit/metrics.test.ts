import { expect, it } from '@jest/globals';
import type { MetricMeter } from '@temporalio/common';
import { createMetrics } from '../../activities/metrics';

/** A meter that records what it is told, as `name: value`. */
function counting() {
  const told: string[] = [];
  const instrument = (name: string) => {
    const note = (value: number): void => void told.push(`${name.replace('durable_alipay_', '')}: ${value}`);
    return { add: note, record: note };
  };
  const meter = { createCounter: instrument, createHistogram: instrument } as unknown as MetricMeter;
  return { metrics: createMetrics(meter), told };
}

const CALL = { merchant: 'default', method: 'alipay.trade.query', code: '', ms: 80 };

it.each(['answered', 'unknown', 'refused', 'misconfigured'] as const)(
  'the time of a call counts where it was %s',
  (outcome) => {
    const { metrics, told } = counting();
    metrics.gatewayCall({ ...CALL, outcome });
    expect(told).toEqual(['gateway_calls: 1', 'gateway_latency: 80']);
  },
);

it.each(['down', 'no-quota'] as const)('a call that was not made, %s, has no time', (outcome) => {
  const { metrics, told } = counting();
  metrics.gatewayCall({ ...CALL, outcome, ms: 0 });
  expect(told).toEqual(['gateway_calls: 1']);
});

it('payments that settle together count together', () => {
  const { metrics, told } = counting();
  metrics.settled('PAID');
  metrics.settled('CLOSED', 3);
  expect(told).toEqual(['payments_settled: 1', 'payments_settled: 3']);
});
