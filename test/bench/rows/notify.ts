import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { row } from '../../../db/connect';
import { waitFor } from '../../../dev/wait-for';
import { cpuSeconds } from '../cpu';
import { inLanes } from '../pace';
import type { Row } from '../row';
import { checkOutAndPay } from '../shop';
import { verify } from '../verify';
import type { Rig } from '../rig';

export const SENDERS = 32;

export const notify: Row = {
  name: 'notify',
  summary: 'notifications per second through HTTP, verified, and recorded by running payments',
  async run(bench) {
    const count = bench.quick ? 200 : 600;
    const warmUp = Math.round(count / 5);
    const rig = await bench.open({ server: true, env: { PAYMENT_CHECK_INTERVAL: '1h' } });
    const progress = bench.progress(
      'notify: payments, their notifications, their answers',
      2 * (warmUp + count),
    );
    const bodies = await signedBodies(rig, warmUp + count, () => progress.advance());
    await send(rig, bodies.slice(0, warmUp), () => progress.advance());
    await allPaid(rig, warmUp);

    const before = cpuOf(rig);
    const startedAt = performance.now();
    await send(rig, bodies.slice(warmUp), () => progress.advance());
    const answered = (performance.now() - startedAt) / 1000;
    await allPaid(rig, warmUp + count);
    const recorded = (performance.now() - startedAt) / 1000;
    const after = cpuOf(rig);
    progress.end();
    await verify(rig, { paid: warmUp + count });
    const cpu = Object.entries(after).map(([part, seconds]) => {
      const spent = seconds - before[part as keyof typeof before];
      return [part, (1000 * spent) / count] as const;
    });
    return [
      {
        what: 'notifications verified and recorded',
        figure:
          `${(count / recorded).toFixed(0)} /s PAID in Postgres (${(count / answered).toFixed(0)} /s answered "success"); CPU ms each: ` +
          cpu.map(([part, ms]) => `${part} ${ms.toFixed(1)}`).join(', '),
        target: '≥ 150 /s',
        met: count / recorded >= 150,
        detail: {
          count,
          senders: SENDERS,
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

/** Signed by the sandbox beforehand, caught, and sent later: its share of the CPU is not measured. */
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

export async function send({ notifyUrl }: Rig, bodies: string[], tick: () => void): Promise<void> {
  await inLanes(bodies.length, SENDERS, async (index) => {
    await sendOne(notifyUrl, bodies[index] ?? '');
    tick();
  });
}

async function sendOne(url: string, body: string): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body,
  });
  const answer = await response.text();
  // More than the endpoint takes from one address; Alipay would come again too.
  if (response.status === 429) {
    await sleep(100);
    await sendOne(url, body);
  } else if (answer !== 'success') throw new Error(`A genuine notification was answered ${answer}`);
}

async function allPaid({ db }: Rig, count: number): Promise<void> {
  const paid = `SELECT count(*)::int AS paid FROM payments WHERE status = 'PAID'`;
  await waitFor(async () => (await row<{ paid: number }>(db, paid))?.paid === count, {
    what: `${count} payments to be PAID`,
    timeoutMs: 120_000,
    everyMs: 20,
  });
}
