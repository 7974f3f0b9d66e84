import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { NOTIFICATION_FAULTS } from '../activities/alipay/notification';
import type { Observer } from './observer';

/** What the HTTP server counts. Names and labels are documented in docs/observability.md. */
export interface ServerMetrics extends Observer {
  readonly registry: Registry;
  /** A request has arrived. */
  began(): void;
  /** It got its response, or its client has gone (status 499). `route` is the template, never the path. */
  ended(request: { method: string; route: string; status: number; ms: number }): void;
}

/** Finer than the worker's at the fast end: most responses take a few milliseconds. */
const BUCKETS_MS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 60_000];

/** Counts in its own registry. `merchants`: their names. */
export function createServerMetrics(merchants: readonly string[]): ServerMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'durable_alipay_http_requests_total',
    help: 'Requests by route and status',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const latency = new Histogram({
    name: 'durable_alipay_http_latency_ms',
    help: 'Time from request to response',
    labelNames: ['method', 'route'],
    buckets: BUCKETS_MS,
    registers,
  });
  const inFlight = new Gauge({
    name: 'durable_alipay_http_in_flight',
    help: 'Requests in progress',
    registers,
  });
  const notifications = new Counter({
    name: 'durable_alipay_notifications_total',
    help: 'Notifications from Alipay, by merchant, outcome and code',
    labelNames: ['merchant', 'outcome', 'code'],
    registers,
  });
  const checkouts = new Counter({
    name: 'durable_alipay_checkouts_total',
    help: 'Checkouts by outcome and code',
    labelNames: ['outcome', 'code'],
    registers,
  });
  for (const merchant of ['', ...merchants]) beginAtZero(notifications, merchant);
  return {
    registry,
    began: () => inFlight.inc(),
    ended: ({ method, route, status, ms }) => {
      inFlight.dec();
      requests.inc({ method, route, status });
      latency.observe({ method, route }, ms);
    },
    notification: (outcome, { code = '', merchant = '' } = {}) =>
      notifications.inc({ merchant, outcome, code }),
    checkout: (outcome, code = '') => checkouts.inc({ outcome, code }),
  };
}

/** Prometheus' increase() misses the first value of a series, and an alert must see the first forgery. */
function beginAtZero(notifications: Counter<'merchant' | 'outcome' | 'code'>, merchant: string): void {
  for (const outcome of ['taken', 'repeated', 'unmatched', 'other'])
    notifications.inc({ merchant, outcome, code: '' }, 0);
  for (const code of NOTIFICATION_FAULTS) notifications.inc({ merchant, outcome: 'refused', code }, 0);
}
