import { waitFor } from '../../../dev/wait-for';
import { orderWorkflowId, paymentWorkflowId } from '../../../workflows/messages';
import type { Finding, Row } from '../row';
import { THE_TEA } from '../row';
import { untilDone } from '../shop';
import { verify } from '../verify';
import type { Rig } from '../rig';

interface Cost {
  transitions: number;
  events: number;
}

interface Shape {
  what: string;
  atMost: number;
  /** Makes one payment go this way. */
  live(rig: Rig, payment: { orderId: string; outTradeNo: string }): Promise<unknown>;
}

const payUnnoticed = ({ alipay }: Rig, outTradeNo: string) => alipay.pay(outTradeNo, { notify: false });

const SHAPES: readonly Shape[] = [
  {
    what: 'notified before the first check',
    atMost: 6,
    async live({ payments, alipay }, { outTradeNo }) {
      await waitFor(async () => (await payments.status(outTradeNo)).nextCheckAt !== null, {
        what: 'the run to sleep',
      });
      await alipay.pay(outTradeNo);
    },
  },
  { what: 'paid at check 1', atMost: 10, live: (rig, { outTradeNo }) => payUnnoticed(rig, outTradeNo) },
  {
    what: 'paid at check 3',
    atMost: 24,
    async live(rig, { outTradeNo }) {
      await waitFor(async () => (await rig.payments.payment(outTradeNo)).checks === 2, {
        what: 'two checks',
      });
      await payUnnoticed(rig, outTradeNo);
    },
  },
  { what: 'unpaid after 3', atMost: 24, live: () => Promise.resolve() },
  {
    what: 'paid at check 1 by the second ask',
    atMost: 10 + 8,
    async live(rig, { outTradeNo }) {
      await rig.alipay.fault({
        method: 'alipay.trade.query',
        mode: 'http-500',
        when: 'before',
        times: 1,
        outTradeNo,
      });
      await payUnnoticed(rig, outTradeNo);
    },
  },
];

const SAMPLES = 3;

export const cost: Row = {
  name: 'cost',
  summary: 'state transitions and history events of one payment, by what becomes of it',
  async run(bench) {
    // Checks 3 s apart leave time to act between them.
    const rig = await bench.open({ server: true, env: { PAYMENT_CHECK_INTERVAL: '3s' } });
    const progress = bench.progress('cost: payments', SHAPES.length * SAMPLES);
    const lived = await Promise.all(
      SHAPES.map(async (shape, number) => {
        const orderIds = Array.from({ length: SAMPLES }, (_, sample) => `cost-${number}-${sample}`);
        return Promise.all(
          orderIds.map(async (orderId) => {
            const outTradeNo = await live(rig, shape, orderId);
            progress.advance();
            return { orderId, outTradeNo };
          }),
        );
      }),
    );
    progress.end();
    await verify(rig, { paid: (SHAPES.length - 1) * SAMPLES, unpaid: SAMPLES });

    const findings: Finding[] = [];
    for (const [number, { what, atMost }] of SHAPES.entries()) {
      const ids = (lived[number] ?? []).map(({ outTradeNo }) => paymentWorkflowId(outTradeNo));
      findings.push(finding(`transitions: ${what}`, atMost, await costsOf(rig, ids)));
    }
    const paid = (lived[1] ?? []).map(({ orderId }) => orderWorkflowId(orderId));
    findings.push(finding('transitions: its order workflow', 3, await costsOf(rig, paid)));
    return findings;
  },
};

async function live(rig: Rig, shape: Shape, orderId: string): Promise<string> {
  const { outTradeNo, paymentUrl } = await rig.payments.checkout({ orderId, ...THE_TEA });
  await rig.alipay.open(paymentUrl);
  await shape.live(rig, { orderId, outTradeNo });
  await untilDone(rig, outTradeNo);
  return outTradeNo;
}

function costsOf({ temporal }: Rig, workflowIds: string[]): Promise<Cost[]> {
  return Promise.all(
    workflowIds.map(async (id) => {
      const { raw, historyLength } = await temporal.workflow.getHandle(id).describe();
      return {
        transitions: Number(raw.workflowExecutionInfo?.stateTransitionCount),
        events: historyLength,
      };
    }),
  );
}

function finding(what: string, atMost: number, costs: Cost[]): Finding {
  const most = Math.max(...costs.map(({ transitions }) => transitions));
  const events = Math.max(...costs.map((each) => each.events));
  return {
    what,
    figure: `${most} (${events} events)`,
    target: `≤ ${atMost}`,
    met: most <= atMost,
    detail: { costs },
  };
}
