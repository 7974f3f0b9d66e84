import { redact } from '../../worker/log';
import type { PaymentState } from '../../workflows/messages';
import type { PaymentEvent, PaymentRun } from '../index';
import { columns, until, utc } from './screen';
import type { Paint } from './screen';

/** What is known about a payment's past and about what comes next. */
interface PaymentHistory {
  events: readonly PaymentEvent[];
  /** Absent if Temporal could not be asked. */
  runs?: readonly PaymentRun[];
  state?: PaymentState;
}

interface Moment {
  at: Date;
  what: string;
  who: string;
  detail: string;
}

/** The history of a payment, oldest first: what was recorded, how its workflow ran, and what it will do next. */
export function timeline(paint: Paint, { events, runs = [], state }: PaymentHistory): string {
  const past = [...events.map(recorded), ...runs.flatMap(ran)]
    // The sort is stable: events recorded in the same millisecond keep their order.
    .sort((a, b) => a.at.getTime() - b.at.getTime())
    .map((moment) => line(paint, moment));
  const next = state?.nextCheckAt ? [nextCheck(paint, new Date(state.nextCheckAt))] : [];
  const lines = [...past, ...next];
  return lines.length === 0 ? 'nothing recorded yet' : columns(lines);
}

function line(paint: Paint, { at, what, who, detail }: Moment): string[] {
  return [paint('dim', utc(at)), paint('bold', what), who, detail];
}

function nextCheck(paint: Paint, at: Date): string[] {
  return [paint('dim', utc(at)), paint('cyan', 'next check'), 'workflow', until(at)];
}

function recorded({ at, event, actor, detail }: PaymentEvent): Moment {
  return { at: new Date(at), what: event, who: actor, detail: outline(event, detail) };
}

function ran({ runId, status, startedAt, endedAt }: PaymentRun): Moment[] {
  const run = { who: 'temporal', detail: `run ${runId.slice(0, 8)}` };
  const start = { ...run, at: startedAt, what: 'workflow started' };
  return endedAt ? [start, { ...run, at: endedAt, what: `workflow ${status.toLowerCase()}` }] : [start];
}

/** The details that describe the evidence of an event. */
const EVIDENCE = ['evidence', 'trade_status', 'total_amount', 'refund_fee', 'refund_amount'];

/** The details of an event on one line: the plain values, without secrets or buyers' data. */
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
