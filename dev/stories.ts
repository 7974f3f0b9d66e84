import type { PaymentClient } from '../client/payment-client';
import type { SandboxControl } from '../sandbox/control';
import { Narrator } from './narrator';
import type { Say } from './services';
import { waitFor } from './wait-for';

/** What the stories need. */
export interface Demo {
  payments: PaymentClient;
  /** The buyer's hand, and Alipay's side of things. */
  buyer: SandboxControl;
  /** Where the Web UI shows a workflow. */
  linkOf: (workflowId: string) => string;
  say: Say;
  /** How many checks a payment gets, and milliseconds between them. */
  checks: number;
  intervalMs: number;
}

interface Story {
  title: string;
  totalAmount: string;
  /** How long the order may stay unpaid. */
  expiresIn?: string;
  /** What the buyer does, and how the story says it. */
  buyer: (outTradeNo: string) => Promise<unknown>;
  does: string;
  /** How its order must end. */
  ends: 'PAID' | 'CLOSED';
}

/** Time after the last check: a lost task comes back after 10 s. */
const SLACK_SECONDS = 16;

const stories = ({ buyer, checks, intervalMs }: Demo): Story[] => [
  {
    title: 'A buyer pays, and the notification arrives',
    totalAmount: '12.30',
    buyer: (outTradeNo) => buyer.pay(outTradeNo),
    does: 'the buyer pays',
    ends: 'PAID',
  },
  {
    title: 'A buyer pays, the notification is lost, and the delay queue finds the payment',
    totalAmount: '45.60',
    buyer: (outTradeNo) => buyer.pay(outTradeNo, { notify: false }),
    does: 'the buyer pays, and nothing tells us so: the notification is lost',
    ends: 'PAID',
  },
  {
    title: `A buyer never pays: ${checks} checks, then the sweep closes order and trade`,
    totalAmount: '78.90',
    expiresIn: `${Math.ceil((checks * intervalMs) / 1000) + SLACK_SECONDS}s`,
    buyer: (outTradeNo) => buyer.scan(outTradeNo).then(() => buyer.leave(outTradeNo)),
    does: 'the buyer scans the code, so that the trade exists at Alipay, and walks away',
    ends: 'CLOSED',
  },
];

/**
 * Plays the three stories, one after the other, and prints them as they happen. Only the buyer is simulated.
 *
 * @throws Error when a story does not end as it must
 */
export async function playStories(world: Demo): Promise<void> {
  const day = Date.now().toString(36);
  for (const [number, story] of stories(world).entries()) await play(story, 'abc'[number] ?? '', day, world);
}

async function play(story: Story, letter: string, day: string, world: Demo): Promise<void> {
  const { payments, buyer, linkOf, say, checks, intervalMs } = world;
  const { title, totalAmount, expiresIn, ends } = story;
  const orderId = `demo-${day}-${letter}`;
  say(`\n(${letter}) ${title}`);
  const narrator = new Narrator(say, payments);
  const order = { orderId, subject: 'Longjing tea', totalAmount, ...(expiresIn && { expiresIn }) };
  const { outTradeNo, paymentUrl, workflowId } = await payments.checkout(order);
  say(`    ${linkOf(workflowId)}`);
  const limit = expiresIn ? `, to be paid within ${expiresIn}` : '';
  narrator.tell(`checkout of order ${orderId}: ${totalAmount} yuan${limit}`);
  const following = narrator.follow(outTradeNo);
  await buyer.open(paymentUrl);
  narrator.tell(story.does);
  await story.buyer(outTradeNo);

  await waitFor(async () => (await payments.order(orderId)).status === ends, {
    what: `order ${orderId} to be ${ends}`,
    timeoutMs: checks * intervalMs + 90_000,
    everyMs: 200,
  });
  narrator.end();
  await following;
  const run = await payments.status(outTradeNo);
  const trade = (await buyer.trade(outTradeNo))?.status ?? 'no trade';
  const made = `${run.checks} ${run.checks === 1 ? 'check' : 'checks'}`;
  say(`    => order ${ends}, run ${run.status} after ${made}, at Alipay ${trade}`);
}
