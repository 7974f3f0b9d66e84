import { setImmediate as settled } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { SlotPermit } from '@temporalio/worker';
import type { Circuit } from '../../activities/alipay/breaker';
import { slotsBehind } from '../../worker/slots';

const SLOTS = 3;

const context = {
  slotType: 'activity',
  taskQueue: 'alipay',
  workerIdentity: 'a test',
  workerBuildId: '',
  isSticky: false,
} as const;
const slotInfo = { type: 'activity', activityType: 'queryAlipay' } as const;

let circuit: { -readonly [K in keyof Circuit]: Circuit[K] };
let supplier: ReturnType<typeof slotsBehind>;
let given: SlotPermit[];

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] });
  circuit = { isOpen: false, probeAt: undefined };
  supplier = slotsBehind(circuit, SLOTS);
  given = [];
});
afterEach(() => {
  jest.useRealTimers();
});

/** Asks for a slot as the SDK does before each poll. */
function reserve(controller = new AbortController()): Promise<SlotPermit> {
  const reserved = supplier.reserveSlot(context, controller.signal);
  reserved.then((permit) => given.push(permit)).catch(() => undefined);
  return reserved;
}

/** The SDK asks again each time it has got a slot. */
async function keepAsking(): Promise<void> {
  const ask = (): void => void reserve().then(ask, () => undefined);
  ask();
  await settled();
}

async function pass(milliseconds: number): Promise<void> {
  // Step by step, so that what is due in between happens in between.
  for (let passed = 0; passed < milliseconds; passed += 100) {
    jest.advanceTimersByTime(100);
    await settled();
  }
}

const open = (pauseMs: number): void =>
  void Object.assign(circuit, { isOpen: true, probeAt: performance.now() + pauseMs });
const close = (): void => void Object.assign(circuit, { isOpen: false, probeAt: undefined });

/** A task arrives for a slot. */
const use = (permit: SlotPermit | undefined): void =>
  supplier.markSlotUsed({ slotInfo, permit: permit ?? {} });

async function release(permit: SlotPermit | undefined): Promise<void> {
  supplier.releaseSlot({ slotInfo, permit: permit ?? {} });
  await settled();
}

describe('while the circuit is closed', () => {
  it('there are as many slots as there are, and one more when one is released', async () => {
    await keepAsking();
    expect(given).toHaveLength(SLOTS);
    use(given[0]);
    await pass(60_000);
    expect(given).toHaveLength(SLOTS);
    await release(given[0]);
    expect(given).toHaveLength(SLOTS + 1);
  });

  it('a slot is had at once, or not at all, where nobody may wait', () => {
    const permits = [1, 2, 3, 4].map(() => supplier.tryReserveSlot(context));
    expect(permits.map((permit) => permit !== null)).toEqual([true, true, true, false]);
  });
});

describe('while the circuit is open', () => {
  it('no slot is given until a probe may be made, and then one', async () => {
    open(10_000);
    await keepAsking();
    await pass(9_900);
    expect(given).toEqual([]);
    await pass(700);
    expect(given).toHaveLength(1);
    await pass(60_000);
    expect(given).toHaveLength(1);
  });

  it('a probe that fails is followed by another after the next pause, and by no other task in between', async () => {
    open(10_000);
    await keepAsking();
    for (const probe of [1, 2, 3]) {
      await pass(10_600);
      expect(given).toHaveLength(probe);
      use(given.at(-1));
      circuit.probeAt = undefined;
      await pass(3_000);
      open(10_000);
      await release(given.at(-1));
      expect(given).toHaveLength(probe);
    }
  });

  it('a probe that succeeds gives all slots, also while its task still runs', async () => {
    open(0);
    await keepAsking();
    expect(given).toHaveLength(1);
    use(given[0]);
    close();
    await pass(600);
    expect(given).toHaveLength(SLOTS);
  });

  it('a probe that no task came for is made again at once: it has drawn nothing', async () => {
    open(0);
    await keepAsking();
    await release(given[0]);
    expect(given).toHaveLength(2);
    await release(given[1]);
    expect(given).toHaveLength(3);
  });

  it('a probe whose task did not call the gateway is followed by another one only after a pause', async () => {
    open(0);
    await keepAsking();
    use(given[0]);
    await release(given[0]);
    await pass(4_000);
    expect(given).toHaveLength(1);
    await pass(2_000);
    expect(given).toHaveLength(2);
  });

  it('a slot that was given before it opened, and waits for a task, is the probe', async () => {
    await reserve();
    open(0);
    await keepAsking();
    await pass(30_000);
    expect(given).toHaveLength(1);
  });

  it('tasks that were taken before it opened keep no probe from being made', async () => {
    use(await reserve());
    open(0);
    await keepAsking();
    expect(given).toHaveLength(2);
  });

  it('a clock that is set back delays no probe', async () => {
    open(0);
    await keepAsking();
    use(given[0]);
    jest.setSystemTime(Date.now() - 8 * 3_600_000);
    await release(given[0]);
    await pass(6_000);
    expect(given).toHaveLength(2);
  });

  it('nothing is had at once', () => {
    open(10_000);
    expect(supplier.tryReserveSlot(context)).toBeNull();
  });
});

describe('a worker that shuts down', () => {
  it('gets its request back with the reason of the abort, and nobody keeps the slot', async () => {
    open(10_000);
    const controller = new AbortController();
    const reserved = reserve(controller);
    controller.abort('Request Cancelled');
    await expect(reserved).rejects.toBe('Request Cancelled');
    close();
    await keepAsking();
    expect(given).toHaveLength(SLOTS);
  });

  it('gets it back at once where it was aborted before it was made', async () => {
    const controller = new AbortController();
    controller.abort('Request Cancelled');
    await expect(reserve(controller)).rejects.toBe('Request Cancelled');
  });

  it('leaves no timer behind', async () => {
    open(10_000);
    const controller = new AbortController();
    const reserved = reserve(controller);
    expect(jest.getTimerCount()).toBe(1);
    controller.abort('Request Cancelled');
    await expect(reserved).rejects.toBe('Request Cancelled');
    expect(jest.getTimerCount()).toBe(0);
  });
});
