import { takePlace } from '../../db/alipay-quota';
import type { Database } from '../../db/connect';
import type { GatewaySettings, ObserveCall } from './gateway';
import { AlipayGateway } from './gateway';

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
    takePlace: (maxWaitMs) => takePlace(db, { appId, perSecond: maxRps, maxWaitMs }),
  });
}
