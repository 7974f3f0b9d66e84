import { acquireSlot } from '../../db/alipay-quota';
import type { Database } from '../../db/connect';
import type { GatewaySettings, ObserveMerchantCall } from './gateway';
import { AlipayGateway } from './gateway';
import { AlipayGateways } from './gateways';

/**
 * Slots are given out evenly, but busy processes use theirs late and together: with slots for the whole quota of 50/s,
 * 59 calls fell into one second (measured, three workers on two cores). So part of it is left free.
 */
const HEADROOM = 0.9;

/** Calls that can wait get at most this part of the quota. */
const BACKGROUND_SHARE = 0.5;

type LimitedSettings = GatewaySettings & { maxRps?: number | undefined };

/** The gateways of all merchants, the environment's own first. */
export function openGateways(
  db: Database,
  [own, ...others]: readonly [own: LimitedSettings, ...LimitedSettings[]],
  observe?: ObserveMerchantCall,
): AlipayGateways {
  const open = (settings: LimitedSettings): AlipayGateway => openGateway(db, settings, observe);
  return new AlipayGateways([open(own), ...others.map(open)]);
}

/** The gateway with its quota, if there is one: `maxRps` calls per second for the app, across all processes. */
export function openGateway(
  db: Database,
  { maxRps, ...settings }: LimitedSettings,
  observe?: ObserveMerchantCall,
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
