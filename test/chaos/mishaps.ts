import { FAULT_MODES } from '../../sandbox';
import type { FaultMode, JournalEntry, NotifierFaults, SandboxControl } from '../../sandbox';

/** The shares of gateway calls that are struck, and of notifications that never arrive. */
export interface Mishaps {
  struckCalls: number;
  lostNotifications: number;
}

const WHEN = ['before', 'after'] as const;

/** A share of all calls, whatever their method, is struck: by each fault equally often, before or after its effect. */
export async function strikeCalls(
  alipay: SandboxControl,
  struck: number,
  modes: readonly FaultMode[] = FAULT_MODES,
): Promise<void> {
  const faults = modes.flatMap((mode) => WHEN.map((when) => ({ mode, when })));
  const share = struck / faults.length;
  for (const [place, { mode, when }] of faults.entries()) {
    // The first rule that fires decides: the later ones see only the calls that are left.
    await alipay.fault({ mode, when, probability: share / (1 - place * share) });
  }
}

const DISORDER = { repeat: 0.2, reorder: 0.2, delayMs: 300 };

/** Notifications are lost for good, repeated, reordered, delayed, and preceded by forged ones. */
export function breakNotifications(
  alipay: SandboxControl,
  { lost, forged }: { lost: number; forged?: NotifierFaults['forge'] },
): Promise<void> {
  return alipay.notifier({ ...DISORDER, drop: lost, ...(forged && { forge: forged }) });
}

/** From now on a notification may fail to arrive many times, but not forever: Alipay repeats it. */
export function loseDeliveriesOnly(alipay: SandboxControl, { lostNotifications }: Mishaps): Promise<void> {
  return alipay.notifier({ ...DISORDER, dropAttempt: lostNotifications });
}

/** Ends the storm. */
export async function letThingsGoRight(alipay: SandboxControl): Promise<void> {
  await alipay.clearFaults();
  await alipay.notifier({});
  await alipay.down(false);
  await alipay.latency(0);
}

/** What went wrong, counted on the wire. */
export class WireTally {
  calls = 0;
  struck = 0;
  modes = new Set<string>();
  notifications = 0;
  lost = 0;

  add(journal: readonly JournalEntry[]): void {
    for (const entry of journal) {
      if (entry.kind === 'call') {
        this.calls += 1;
        if (entry.fault) {
          this.struck += 1;
          this.modes.add(`${entry.method} ${entry.fault.mode} ${entry.fault.when}`);
        }
      }
      if (entry.kind === 'notification') {
        this.notifications += 1;
        if (entry.fault === 'drop' || entry.fault === 'drop-attempt') this.lost += 1;
      }
    }
  }
}
