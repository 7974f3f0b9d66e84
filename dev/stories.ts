import { pino } from 'pino';
import { PaymentClient } from '../client/payment-client';
import { connectControl } from '../sandbox/control-http';
import { readConfig } from '../worker/config';
import { startNarrator } from './narrator';
import type { Say } from './services';
import type { Settings } from './settings';
import { waitFor } from './wait-for';

export type Demo = Awaited<ReturnType<typeof openDemo>>;

/** Opens what the stories need. */
export async function openDemo({ ports, external, namespace }: Settings, env: NodeJS.ProcessEnv, say: Say) {
  const { checks, intervalMs } = readConfig(env, { needs: ['payments'] }).payments;
  const runs = `http://localhost:${ports.ui}/namespaces/${namespace}/workflows`;
  return {
    payments: await PaymentClient.connect(env, { log: pino({ level: 'silent' }) }),
    /** Acts as the buyer, and for Alipay. */
    buyer: connectControl(`http://127.0.0.1:${ports.sandbox}`),
    /** Where the Web UI shows a workflow. */
    linkOf: (workflowId: string) => (external.temporal ? `workflow ${workflowId}` : `${runs}/${workflowId}`),
    say,
    /** How many checks a payment gets, and the milliseconds between them. */
    checks,
    intervalMs,
  };
}

/** Time after the last check: a lost task returns after 10 s. */
const SLACK_SECONDS = 16;

/** How often to look at what has happened to a payment. */
const POLL_MS = 200;

const stories = ({ buyer, checks, intervalMs }: Demo) => [
  {
    title: 'A buyer pays, and the notification arrives',
    totalAmount: '12.30',
    buyer: (outTradeNo: string) => buyer.pay(outTradeNo),
    does: 'the buyer pays',
    ends: 'PAID',
  },
  {
    title: 'A buyer pays, the notification is lost, and the delay queue finds the payment',
    totalAmount: '45.60',
    buyer: (outTradeNo: string) => buyer.pay(outTradeNo, { notify: false }),
    does: 'the buyer pays, but the notification is lost',
    ends: 'PAID',
  },
  {
    title: `A buyer never pays: ${checks} checks, then the sweep closes order and trade`,
    totalAmount: '78.90',
    expiresIn: `${Math.ceil((checks * intervalMs) / 1000) + SLACK_SECONDS}s`,
    buyer: (outTradeNo: string) => buyer.scan(outTradeNo).then(() => buyer.leave(outTradeNo)),
    does: 'the buyer scans the code, which creates the trade at Alipay, and walks away',
    ends: 'CLOSED',
  },
];

/**
 * Plays the three stories, one after the other, and prints them as they happen. The buyer and Alipay are simulated.
 *
 * @throws Error if a story does not end as it should
 */
export async function playStories(demo: Demo): Promise<void> {
  const day = Date.now().toString(36);
  for (const [number, story] of stories(demo).entries()) {
    const letter = 'abc'[number] ?? '';
    demo.say(`\n(${letter}) ${story.title}`);
    await play(story, `demo-${day}-${letter}`, demo);
  }
}

async function play(story: ReturnType<typeof stories>[number], orderId: string, demo: Demo): Promise<void> {
  const { payments, buyer, linkOf, say, checks, intervalMs } = demo;
  const { totalAmount, expiresIn, ends } = story;
  const narrator = startNarrator(say, payments);
  const order = { orderId, subject: 'Longjing tea', totalAmount, ...(expiresIn && { expiresIn }) };
  const { outTradeNo, paymentUrl, workflowId } = await payments.checkout(order);
  say(`    ${linkOf(workflowId)}`);
  const limit = expiresIn ? `, which expires in ${expiresIn}` : '';
  narrator.tell(`checkout of order ${orderId}: ${totalAmount} yuan${limit}`);
  await buyer.open(paymentUrl);
  narrator.tell(story.does);
  await story.buyer(outTradeNo);

  const hasEnded = async (): Promise<boolean> =>
    (await narrator.tellEvents(outTradeNo)) && (await payments.order(orderId)).status === ends;
  await waitFor(hasEnded, {
    what: `order ${orderId} to be ${ends}`,
    timeoutMs: checks * intervalMs + 90_000,
    everyMs: POLL_MS,
  });
  const run = await payments.status(outTradeNo);
  const trade = (await buyer.trade(outTradeNo))?.status ?? 'no trade';
  const made = `${run.checks} ${run.checks === 1 ? 'check' : 'checks'}`;
  say(`    => order ${ends}, run ${run.status} after ${made}, at Alipay ${trade}`);
}

/** An order for the person at the keyboard, whose story is printed as it happens. */
export async function inviteTheBuyer({ payments, linkOf, say }: Demo): Promise<void> {
  const orderId = `yours-${Date.now().toString(36)}`;
  const order = { orderId, subject: 'A pot of tea', totalAmount: '8.88' };
  const { outTradeNo, paymentUrl, workflowId } = await payments.checkout(order);
  say(`Now you are the buyer. Order ${orderId}, 8.88 yuan (no real money). Pay it, or leave, in a browser:`);
  say(`    ${paymentUrl}`);
  say(`    ${linkOf(workflowId)}`);
  const narrator = startNarrator(say, payments);
  const follow = (): Promise<boolean> => narrator.tellEvents(outTradeNo).then(() => false);
  void waitFor(follow, { what: 'the buyer', timeoutMs: Infinity, everyMs: POLL_MS });
}
