import { acquireSlot } from '../../db/alipay-quota';
import type { Database } from '../../db/connect';
import type { GatewaySettings, ObserveCall } from './gateway';
import { AlipayGateway } from './gateway';

/**
 * Places are given out evenly, but busy processes take theirs late and together: with places for the whole quota of
 * 50/s, 59 calls fell into one second (measured, three workers on two cores). So a part of it is left free.
 */
const HEADROOM = 0.9;

/** The gateway with its quota, where there is one: `maxRps` calls per second of all processes together. */
export function openGateway(
  db: Database,
  { maxRps, ...settings }: GatewaySettings & { maxRps?: number | undefined },
  observe?: ObserveCall,
): AlipayGateway {
  if (maxRps === undefined) return new AlipayGateway(settings, { observe });
  const { appId } = settings;
  return new AlipayGateway(settings, {
    observe,
    takePlace: (maxWaitMs) => acquireSlot(db, { appId, perSecond: maxRps * HEADROOM, maxWaitMs }),
  });
}
