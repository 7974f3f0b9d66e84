import { createApp } from '../../../client/http-app';
import { notifyRoute } from '../../../client/http-notify';
import { createLogger } from '../../../worker/log';
import type { Means } from './open-work';
import type { Genuine } from './work';
import { verified } from './work';

const BODY_LIMIT = 64 * 1024;

/** Receives notifications over HTTP with the application's own route, limits and log, in a peer's worker process. */
export async function hearNotifications(
  { alipay, http }: Means,
  take: (notification: Genuine) => Promise<unknown>,
): Promise<void> {
  const app = createApp({ log: createLogger({ name: 'server' }), bodyLimit: BODY_LIMIT });
  await app.register((scope) =>
    notifyRoute(
      scope,
      {
        async handleNotify(body) {
          const genuine = verified(alipay, body);
          if (genuine) await take(genuine);
          return genuine ? 'success' : 'fail';
        },
      },
      {},
    ),
  );
  await app.listen(http);
}
