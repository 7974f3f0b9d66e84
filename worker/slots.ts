import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, TunerHolder } from '@temporalio/worker';
import type { Circuit } from '../activities/alipay/breaker';

/** How often an open circuit is polled, ms: it does not report when it closes. */
const LOOK_MS = 500;

/** The pause between two tasks taken while the circuit is open, ms, if the circuit names no time for its probe. */
const PAUSE_MS = 5_000;

interface Slot extends SlotPermit {
  /** Whether it has received a task. */
  used: boolean;
}

/**
 * Slots for activities that call the gateway. While the circuit is closed, all of them; while it is open, one at a
 * time, for a probe, and one task per pause of the circuit. Otherwise a worker whose calls fail at once would ask for
 * its next task sooner than a healthy one, and take most of the queue (measured: 200 calls took 11.6 s instead of 2.7).
 *
 * Slots that wait for a task when the circuit opens (one per poll) cannot be withdrawn: each takes one more task.
 */
export function slotsBehind(circuit: Circuit, slots: number): CustomSlotSupplier<ActivitySlotInfo> {
  const out = new Set<Slot>();
  /** Each one is called with the slot for which it waits. */
  const requests = new Set<(slot: Slot) => void>();
  let takenWhileOpenAt = Number.NEGATIVE_INFINITY;
  let looking: NodeJS.Timeout | undefined;

  const mayProbe = (): boolean => {
    const now = performance.now();
    return (
      circuit.probeAt !== undefined &&
      now >= circuit.probeAt &&
      now >= takenWhileOpenAt + PAUSE_MS &&
      // A slot that waits for a task will get the next one: that is the probe.
      [...out].every(({ used }) => used)
    );
  };

  const take = (): Slot | undefined => {
    if (out.size >= slots || (circuit.isOpen && !mayProbe())) return undefined;
    const slot: Slot = { used: false };
    out.add(slot);
    return slot;
  };

  const serve = (): void => {
    clearTimeout(looking);
    for (const grant of requests) {
      const slot = take();
      if (slot === undefined) break;
      requests.delete(grant);
      grant(slot);
    }
    if (requests.size > 0 && circuit.isOpen) looking = setTimeout(serve, LOOK_MS).unref();
  };

  return {
    type: 'custom',
    reserveSlot: (_context, signal) =>
      new Promise((resolve, reject) => {
        // The SDK withdraws its request when the worker shuts down, and recognises the rejection by its own reason.
        const giveBack = (): void => {
          requests.delete(grant);
          serve();
          reject(signal.reason as Error);
        };
        const grant = (slot: Slot): void => {
          signal.removeEventListener('abort', giveBack);
          resolve(slot);
        };
        if (signal.aborted) {
          reject(signal.reason as Error);
          return;
        }
        signal.addEventListener('abort', giveBack, { once: true });
        requests.add(grant);
        serve();
      }),
    tryReserveSlot: () => take() ?? null,
    markSlotUsed: ({ permit }) => {
      (permit as Slot).used = true;
      if (circuit.isOpen) takenWhileOpenAt = performance.now();
    },
    releaseSlot: ({ permit }) => {
      out.delete(permit as Slot);
      serve();
    },
  };
}

/** {@link slotsBehind} for a worker's activities; the SDK's defaults for everything else. */
export function tunerBehind(circuit: Circuit, slots: number): TunerHolder {
  return {
    activityTaskSlotSupplier: slotsBehind(circuit, slots),
    workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 40 },
    localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 100 },
    nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 100 },
  };
}
