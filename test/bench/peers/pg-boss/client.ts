import { versionOf } from '../../report';
import type { Rig } from '../../rig';
import type { Contender } from '../contender';
import { openPeer } from '../peer';
import { checkOut, connectionOf } from '../work';
import { createBoss, sendCheck } from './queues';
import { PACKAGED } from '../../package';

/** The work on pg-boss: one delayed job per check. */
export function openPgBoss(rig: Rig): Promise<Contender> {
  const peer = {
    name: 'pg-boss',
    version: `pg-boss ${versionOf('pg-boss')}`,
    file: PACKAGED.pgBossWorker,
  };
  return openPeer(rig, peer, async ({ db, alipay, databaseUrl, intervalMs }) => {
    const boss = createBoss(databaseUrl, { worker: false });
    await boss.start();
    return {
      checkOut: (orderId) =>
        checkOut({ db, alipay }, orderId, async (trx, { outTradeNo, createdAt }) => {
          const dueAt = new Date(createdAt.getTime() + intervalMs);
          await sendCheck(boss, await connectionOf(trx), { outTradeNo, check: 1 }, dueAt);
        }),
      close: () => boss.stop({ graceful: false, wait: true }),
    };
  });
}
