import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { row } from '../../../db/connect';
import { waitFor } from '../../../dev/wait-for';
import { cpuSeconds, lowerWeight } from '../cpu';
import { onlyWorker } from '../meter';
import { inLanes } from '../pace';
import type { Row } from '../row';
import { checkOutAndPay } from '../shop';
import { verify } from '../verify';
import type { Rig } from '../rig';

export const SENDERS = 32;

const WARM_UP = 100;

export const notify: Row = {
  name: 'notify',
  summary: 'a burst of notifications through HTTP: answered, verified, and recorded by running payments',
  async run(bench) {
    const count = bench.quick ? 500 : 5_000;
    const rig = await bench.open({ server: true, env: { PAYMENT_CHECK_INTERVAL: '4h' } });
    // As deploy/compose.yml starts it: what was acknowledged is owed, and may be recorded later.
    lowerWeight(onlyWorker(rig).pid);
    const progress = bench.progress(
      'notify: payments, their notifications, their answers',
      2 * (WARM_UP + count),
    );
    const bodies = await signedBodies(rig, WARM_UP + count, () => progress.advance());
    await send(rig, bodies.slice(0, WARM_UP), () => progress.advance());
    await allPaid(rig, WARM_UP);

    const before = cpuOf(rig);
    const startedAt = performance.now();
    const later = await send(rig, bodies.slice(WARM_UP), () => progress.advance());
    const answered = (performance.now() - startedAt) / 1000;
    await allPaid(rig, WARM_UP + count);
    const recorded = (performance.now() - startedAt) / 1000;
    const after = cpuOf(rig);
    progress.end();
    await verify(rig, { paid: WARM_UP + count });
    const cpu = Object.entries(after).map(([part, seconds]) => {
      const spent = seconds - before[part as keyof typeof before];
      return [part, (1000 * spent) / count] as const;
    });
    return [
      {
        what: `burst of ${count} notifications`,
        figure:
          `${(count / answered).toFixed(0)} /s answered "success", ${later} told to come later; all PAID, ` +
          `${(count / recorded).toFixed(0)} /s; CPU ms each: ` +
          cpu.map(([part, ms]) => `${part} ${ms.toFixed(1)}`).join(', '),
        target: '≥ 200 /s',
        met: count / answered >= 200,
        detail: {
          count,
          senders: SENDERS,
          later,
          secondsToAnswer: answered,
          secondsToRecord: recorded,
          cpu: Object.fromEntries(cpu),
        },
      },
    ];
  },
};

/** CPU seconds so far; the bench's own are those of the senders. */
export function cpuOf({ server, workers, temporalServer, postgres }: Rig) {
  const ofPid = (pid: number | undefined): number => (pid === undefined ? 0 : cpuSeconds(pid));
  const { user, system } = process.cpuUsage();
  return {
    server: ofPid(server?.pid),
    worker: ofPid(workers[0]?.pid),
    temporal: ofPid(temporalServer.pid),
    postgres: ofPid(postgres.pid),
    senders: (user + system) / 1e6,
  };
}

/** Signed by the sandbox beforehand, caught, and sent later: so the sandbox's CPU is not measured. */
export async function signedBodies(
  rig: Rig,
  count: number,
  tick: () => void,
  prefix = 'order',
): Promise<string[]> {
  const bodies: string[] = [];
  const catcher = createServer((request, response) => {
    void text(request).then((body) => {
      bodies.push(body);
      response.end('success');
    });
  });
  await new Promise<void>((resolve) => catcher.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(catcher.address() as AddressInfo).port}/`;
  try {
    await inLanes(count, 8, async (index) => {
      const { outTradeNo } = await checkOutAndPay(rig, `${prefix}-${index}`);
      await rig.alipay.notify(outTradeNo, {}, url);
      tick();
    });
  } finally {
    catcher.closeAllConnections();
    catcher.close();
  }
  return bodies;
}

/** @returns how many responses told it to come back later, as Alipay would */
export async function send({ notifyUrl }: Rig, bodies: string[], tick: () => void): Promise<number> {
  let later = 0;
  await inLanes(bodies.length, SENDERS, async (index) => {
    while (!(await isTaken(notifyUrl, bodies[index] ?? ''))) {
      later += 1;
      await sleep(100);
    }
    tick();
  });
  return later;
}

async function isTaken(url: string, body: string): Promise<boolean> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body,
  });
  const answer = await response.text();
  if (answer === 'success') return true;
  // More than the endpoint accepts from one address, or a dependency was too slow.
  if (response.status === 429 || response.status === 503) return false;
  throw new Error(`A genuine notification was answered ${response.status} ${answer}`);
}

async function allPaid({ db }: Rig, count: number): Promise<void> {
  const paid = `SELECT count(*)::int AS paid FROM payments WHERE status = 'PAID'`;
  await waitFor(async () => (await row<{ paid: number }>(db, paid))?.paid === count, {
    what: `${count} payments to be PAID`,
    timeoutMs: 600_000,
    everyMs: 20,
  });
}
