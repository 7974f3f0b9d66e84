import ms from 'ms';
import type { Found } from './examination';
import { Fault } from './examination';

/** Beyond this a person should know. Alipay does not publish how much difference it tolerates. */
const WARN_MS = 5_000;

/** Beyond this orders would expire at the wrong time, and requests would be refused. */
const FAIL_MS = 60_000;

/**
 * Compares this machine's clock with another.
 *
 * @param whose like `Postgres'`
 * @throws Fault if they are more than a minute apart
 */
export function compareClocks(whose: string, theirs: Date, ours: number): Found {
  const offMs = ours - theirs.getTime();
  const says =
    Math.abs(offMs) < 1_000
      ? `this machine's clock agrees with ${whose}`
      : `this machine's clock is ${ms(Math.abs(offMs))} ${offMs > 0 ? 'ahead of' : 'behind'} ${whose}`;
  const advice = 'Sync both clocks with NTP (timedatectl set-ntp true).';
  if (Math.abs(offMs) > FAIL_MS) throw new Fault(says, advice);
  return { says, ...(Math.abs(offMs) > WARN_MS && { advice }) };
}
