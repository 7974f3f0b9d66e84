import type { ActivitySlotInfo, CustomSlotSupplier, SlotPermit, TunerHolder } from '@temporalio/worker';
import type { Circuit } from '../activities/alipay/breaker';

/** While the circuit is open, this is how often it is looked at: it tells nobody when it closes. */
const LOOK_MS = 500;

/** How long after a task that was taken while the circuit is open the next one is taken, where the circuit says nothing. */
const PAUSE_MS = 5_000;

interface Slot extends SlotPermit {
  /** Whether a task has come for it. */
  used: boolean;
}

interface Request {
  grant: (slot: Slot) => void;
}

/**
 * Slots for activities that call the gateway: so many while the circuit is closed. While it is open, one at a time for a
 * probe, and one task in each of the circuit's pauses. A worker whose calls fail at once would otherwise ask for the next
 * task sooner than those whose calls succeed, and take most of the queue.
 *
 * The slots that wait for a task when the circuit opens (one for each poll) cannot be taken back: each draws one more task.
 */
export function slotsBehind(circuit: Circuit, slots: number): CustomSlotSupplier<ActivitySlotInfo> {
  const out = new Set<Slot>();
  const requests = new Set<Request>();
  let takenWhileOpenAt = Number.NEGATIVE_INFINITY;
  let looking: NodeJS.Timeout | undefined;

  const mayProbe = (): boolean => {
    const now = Date.now();
    return (
      circuit.probeAt !== undefined &&
      now >= circuit.probeAt &&
      now >= takenWhileOpenAt + PAUSE_MS &&
      // One that waits for a task will draw the next one: it is the probe.
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
    for (const request of requests) {
      const slot = take();
      if (slot === undefined) break;
      requests.delete(request);
      request.grant(slot);
    }
    if (requests.size > 0 && circuit.isOpen) looking = setTimeout(serve, LOOK_MS).unref();
  };

  return {
    type: 'custom',
    reserveSlot: (_context, signal) =>
      new Promise((resolve, reject) => {
        // The SDK takes its request back when the worker shuts down, and knows the answer by its own reason.
        const giveBack = (): void => {
          requests.delete(request);
          serve();
          reject(signal.reason as Error);
        };
        const request: Request = {
          grant: (slot) => {
            signal.removeEventListener('abort', giveBack);
            resolve(slot);
          },
        };
        if (signal.aborted) {
          reject(signal.reason as Error);
          return;
        }
        signal.addEventListener('abort', giveBack, { once: true });
        requests.add(request);
        serve();
      }),
    tryReserveSlot: () => take() ?? null,
    markSlotUsed: ({ permit }) => {
      (permit as Slot).used = true;
      if (circuit.isOpen) takenWhileOpenAt = Date.now();
    },
    releaseSlot: ({ permit }) => {
      out.delete(permit as Slot);
      serve();
    },
  };
}

/** {@link slotsBehind} for a worker's activities; for all else, what the SDK gives by default. */
export function tunerBehind(circuit: Circuit, slots: number): TunerHolder {
  return {
    activityTaskSlotSupplier: slotsBehind(circuit, slots),
    workflowTaskSlotSupplier: { type: 'fixed-size', numSlots: 40 },
    localActivityTaskSlotSupplier: { type: 'fixed-size', numSlots: 100 },
    nexusTaskSlotSupplier: { type: 'fixed-size', numSlots: 100 },
  };
}
