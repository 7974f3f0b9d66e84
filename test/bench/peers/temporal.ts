import type { Service } from '../../../dev/services';
import { versionOf } from '../report';
import { THE_TEA } from '../row';
import type { Rig } from '../rig';
import type { Contender } from './contender';

/** More lines than any worker's log has here. */
const ALL_LINES = 1_000_000;

/** durable-alipay itself, unchanged. */
export function openApplication(rig: Rig): Contender {
  const started: Service[] = [];
  return {
    name: 'durable-alipay',
    version: `Temporal SDK ${versionOf('@temporalio/worker')}`,
    db: rig.db,
    http: rig.server,
    server: rig.temporalServer,
    checkOut: (orderId) => rig.payments.checkout({ orderId, ...THE_TEA }),
    async startWorker() {
      const worker = await rig.startWorker();
      started.push(worker);
      return worker;
    },
    // The order service logs this, whether a second signal came or the same one was acted on twice.
    toldAgain() {
      const logs = started.map((worker) => worker.tail(ALL_LINES));
      const repeats = logs.flatMap((log) =>
        log.split('\n').filter((line) => line.includes('"repeated":true')),
      );
      return Promise.resolve(repeats.length);
    },
    close: () => Promise.resolve(),
  };
}
