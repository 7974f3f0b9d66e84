import { acquireSlot } from '../../db/alipay-quota';
import type { Database } from '../../db/connect';
import type { ObserveCall } from './caller';
import type { GatewaySettings } from './gateway';
import { AlipayGateway } from './gateway';

/**
 * Slots are given out evenly, but busy processes take theirs late and together: with slots for the whole quota of 50/s,
 * 59 calls fell into one second (measured, three workers on two cores). So a part of it is left free.
 */
const HEADROOM = 0.9;

/** Calls that can wait get at most this part of the quota. */
const BACKGROUND_SHARE = 0.5;

/** The gateway with its quota, where there is one: `maxRps` calls per second of all processes together. */
export function openGateway(
  db: Database,
  { maxRps, ...settings }: GatewaySettings & { maxRps?: number | undefined },
  observe?: ObserveCall,
): AlipayGateway {
  if (maxRps === undefined) return new AlipayGateway(settings, { observe });
  const { appId } = settings;
  const perSecond = maxRps * HEADROOM;
  const lines = {
    main: { appId, perSecond },
    background: { appId: `${appId}/background`, perSecond: perSecond * BACKGROUND_SHARE },
  };
  return new AlipayGateway(settings, {
    observe,
    acquireSlot: (line, maxWaitMs) => acquireSlot(db, { ...lines[line], maxWaitMs }),
  });
}
