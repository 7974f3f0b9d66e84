import type { Client } from '@temporalio/client';
import ms from 'ms';
import { PaymentError } from '../../workflows/errors';
import {
  AUDIT_SCHEDULE_ID,
  FOLLOW_UP_SCHEDULE_ID,
  RECONCILE_SCHEDULE_ID,
  SWEEP_SCHEDULE_ID,
} from '../../workflows/messages';
import type { ScheduleState } from '../schedules';
import { readSchedule } from '../schedules';
import type { LastSweep } from '../sweep';
import { reportSweep } from '../sweep';
import type { Found } from './examination';
import { Fault } from './examination';

/** A worker may be too busy to answer a query about a sweep that has just begun. */
const SILENT_MS = 60_000;

/** Whether the Schedules are installed and running; passes on the client that reads them. */
export async function testSchedules(temporal: Client): Promise<Found<Client>> {
  const { scheduleId, nextTimes } = await testSchedule(temporal, 'sweep', SWEEP_SCHEDULE_ID);
  const followUp = await testSchedule(temporal, 'follow-up', FOLLOW_UP_SCHEDULE_ID);
  const next = nextTimes[0]?.toISOString() ?? 'no time';
  const reconcile = await testSchedule(temporal, 'reconcile', RECONCILE_SCHEDULE_ID);
  const audit = await testSchedule(temporal, 'audit', AUDIT_SCHEDULE_ID);
  const others = `${followUp.scheduleId}, ${reconcile.scheduleId} and ${audit.scheduleId}`;
  return { says: `${scheduleId} is installed, next at ${next}; ${others} too`, value: temporal };
}

/** What it means that one is paused. */
const PAUSED = {
  sweep: 'nothing is swept',
  'follow-up': 'nothing lost is found',
  reconcile: 'no bill is compared',
  audit: 'nobody checks the books against their rules',
} as const;

async function testSchedule(temporal: Client, name: keyof typeof PAUSED, id: string): Promise<ScheduleState> {
  const schedule = await orUndefined(() => readable(() => readSchedule(temporal, id)));
  if (!schedule) {
    throw new Fault(`the Schedule ${id} is not installed`, 'Run: durable-alipay sweep install');
  }
  const { scheduleId, paused, note } = schedule;
  if (!paused) return schedule;
  throw new Fault(
    `${scheduleId} is paused${note ? ` (${note})` : ''}: ${PAUSED[name]}`,
    name === 'audit'
      ? `Run: temporal schedule toggle --schedule-id ${id} --unpause --reason "…"`
      : `Run: durable-alipay ${name} resume --reason "…"`,
  );
}

/** What the last sweep reports, if one has run. */
export async function testLastSweep(temporal: Client): Promise<Found> {
  const last = await readable(() => orUndefined(() => reportSweep(temporal)));
  return last ? judgeSweep(last) : { says: 'none has run yet' };
}

/**
 * What the last sweep says about the shop's health.
 *
 * @throws Fault if it failed
 */
export function judgeSweep({ workflowId, startedAt, status, report, failure }: LastSweep): Found {
  if (failure !== null) {
    throw new Fault(
      `${workflowId} is ${status}: ${failure}`,
      `Look at its history: temporal workflow show --workflow-id ${workflowId}`,
    );
  }
  const ageMs = Date.now() - Date.parse(startedAt);
  if (status === 'RUNNING' && report === null && ageMs > SILENT_MS) {
    return {
      says: `${workflowId} has been RUNNING for ${ms(ageMs)}, and no worker reports its progress`,
      advice: `If workers run, look at its history: temporal workflow show --workflow-id ${workflowId}`,
    };
  }
  if (report?.gatewayDown) {
    return {
      says: `${workflowId} found the gateway down`,
      advice: 'The next sweep probes it again; see the checks of the gateway below.',
    };
  }
  if (report && report.failed > 0) {
    return {
      says: `${workflowId} failed on ${report.failed} orders: ${report.failedIds.join(' ')}`,
      advice: "Look for these orders in the worker's log; the next sweep tries them again.",
    };
  }
  return { says: `${workflowId} is ${status}` };
}

/** @throws Fault if PAYLOAD_KEYS differs from that of the workers */
async function readable<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof PaymentError) || !error.code.startsWith('PAYLOAD_')) throw error;
    throw new Fault(error.message, 'Set PAYLOAD_KEYS here to all keys of the workers.', { cause: error });
  }
}

/** Returns undefined for what Temporal does not have. */
async function orUndefined<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof PaymentError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
