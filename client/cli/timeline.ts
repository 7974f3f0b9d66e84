import { redact } from '../../worker/log';
import type { PaymentState } from '../../workflows/messages';
import type { PaymentClient } from '../payment-client';
import { columns, distance, utc } from './screen';
import type { Paint } from './screen';

type PaymentEvent = Awaited<ReturnType<PaymentClient['events']>>[number];

/**
 * The story of a payment, oldest first: what was recorded, and what its workflow will do next.
 *
 * @param state undefined where the workflow could not be asked
 */
export function timeline(
  paint: Paint,
  events: readonly PaymentEvent[],
  state: PaymentState | undefined,
  now = new Date(),
): string {
  const rows = events.map(({ at, event, actor, detail }) => [
    paint('dim', utc(at)),
    paint('bold', event),
    actor,
    outline(event, detail),
  ]);
  if (state?.nextCheckAt) {
    rows.push([
      paint('dim', utc(state.nextCheckAt)),
      paint('cyan', 'next check'),
      'workflow',
      new Date(state.nextCheckAt) > now ? `in ${distance(state.nextCheckAt, now)}` : 'due',
    ]);
  }
  return rows.length === 0 ? 'nothing recorded yet' : columns(rows);
}

/** Alipay's bodies have some thirty fields; these decide. */
const EVIDENCE = ['trade_status', 'total_amount', 'refund_fee', 'code', 'sub_code', 'notify_id'];

/** One line of a detail: its plain values, none that is secret or tells who the buyer is. */
function outline(event: string, detail: Record<string, unknown>): string {
  const isEvidence = event === 'notified' || event === 'answered';
  return Object.entries(redact(detail))
    .filter(([key, value]) => isPlain(value) && (!isEvidence || EVIDENCE.includes(key)))
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(' ');
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
