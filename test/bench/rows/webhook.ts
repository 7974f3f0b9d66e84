import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { row } from '../../../db/connect';
import { waitFor } from '../../../dev/wait-for';
import type { Bench, Row } from '../row';
import { median } from '../statistics';
import type { Rig } from '../rig';
import { cpuOf, send, signedBodies } from './notify';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

/** Of the application and its servers; not of the senders, in whose process the receiver is too. */
const PARTS = ['server', 'worker', 'temporal', 'postgres'] as const;

export const webhook: Row = {
  name: 'webhook',
  summary: 'CPU of a notified payment, its result posted, against one whose order service is a workflow',
  async run(bench) {
    const count = bench.quick ? 150 : 400;
    const heard = new Set<string>();
    const receiver = createServer((request, response) => {
      void json(request).then((result) => {
        heard.add((result as { messageId: string }).messageId);
        response.writeHead(204).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const { port } = receiver.address() as AddressInfo;
    try {
      const posting = {
        ORDER_SERVICE_URL: `http://127.0.0.1:${port}/`,
        ORDER_SERVICE_SECRET: SECRET,
      };
      const cpu = { workflow: [] as number[], webhook: [] as number[] };
      // One rig after the other: two at once would measure each other.
      for (const side of ['workflow', 'webhook'] as const) {
        const rig = await openRig(bench, side === 'webhook' ? posting : {});
        // The first round is for warming up.
        for (let round = 0; round <= bench.pairs; round += 1) {
          const spent = await cpuOfEach(bench, rig, { count, round, side });
          if (round > 0) cpu[side].push(spent);
        }
      }
      const ratio = median(cpu.webhook) / median(cpu.workflow);
      if (heard.size !== count * (bench.pairs + 1)) throw new Error(`${heard.size} results were posted`);
      return [
        {
          what: 'CPU of a notified payment by webhook, of that by order workflow',
          figure: `${ratio.toFixed(2)} (${median(cpu.webhook).toFixed(1)} against ${median(cpu.workflow).toFixed(1)} ms)`,
          target: '≤ 0.7',
          met: ratio <= 0.7,
          detail: { count, cpu },
        },
      ];
    } finally {
      receiver.closeAllConnections();
      receiver.close();
    }
  },
};

const openRig = (bench: Bench, env: Record<string, string> = {}): Promise<Rig> =>
  bench.open({ server: true, env: { PAYMENT_CHECK_INTERVAL: '1h', ...env } });

/** CPU ms of one notified payment, from the notification until its result is acted on. */
async function cpuOfEach(
  bench: Bench,
  rig: Rig,
  { count, round, side }: { count: number; round: number; side: 'workflow' | 'webhook' },
): Promise<number> {
  const progress = bench.progress(`webhook: ${side}, round ${round}`, 2 * count);
  const bodies = await signedBodies(rig, count, () => progress.advance(), `round${round}`);
  const before = cpuOf(rig);
  await send(rig, bodies, () => progress.advance());
  // The order workflow notes what it acts on; a webhook has been acted on once it is told.
  const acted =
    side === 'workflow'
      ? `SELECT count(*)::int AS acted FROM order_log`
      : `SELECT count(*)::int AS acted FROM order_messages WHERE told_at IS NOT NULL`;
  await waitFor(async () => (await row<{ acted: number }>(rig.db, acted))?.acted === count * (round + 1), {
    what: 'all results to be acted on',
    timeoutMs: 240_000,
    everyMs: 50,
  });
  const after = cpuOf(rig);
  progress.end();
  return (1_000 * PARTS.reduce((sum, part) => sum + after[part] - before[part], 0)) / count;
}
