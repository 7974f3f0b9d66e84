import type { Client } from '@temporalio/client';
import type { Database } from '../../db/connect';
import type { confirmPayment } from '../../workflows';
import type { SandboxControl } from '../control';
import { Narrator } from './narrator';
import type { Say } from './services';
import type { Checkout, Shop } from './shop';
import { waitFor } from './wait-for';

/** Everybody who has a part in the stories. */
export interface World {
  shop: Shop;
  /** The buyer's hand, and Alipay's side of things. */
  buyer: SandboxControl;
  /** Only looked into, to tell what happens. */
  database: Database;
  temporal: Client;
  /** Where the Web UI shows a workflow. */
  linkOf: (workflowId: string) => string;
  say: Say;
  /** How many checks a payment gets, and milliseconds between them. */
  checks: number;
  intervalMs: number;
}

interface Story {
  letter: string;
  title: string;
  subject: string;
  totalAmount: string;
  /** How long the order may stay unpaid. */
  expiresInSeconds?: number;
  /** What the buyer does, and how the story says it. */
  buyer: (buyer: SandboxControl, outTradeNo: string) => Promise<unknown>;
  does: string;
  /** How its order must end. */
  ends: string;
}

/**
 * Beyond its last check, so that even a worker that is killed on the way (a task then comes back after 10 s) makes all
 * checks before the order expires.
 */
const SLACK_SECONDS = 16;

function stories({ checks, intervalMs }: World): Story[] {
  return [
    {
      letter: 'a',
      title: 'A buyer pays, and the notification arrives',
      subject: 'Longjing tea',
      totalAmount: '12.30',
      buyer: (buyer, outTradeNo) => buyer.pay(outTradeNo),
      does: 'the buyer pays',
      ends: 'PAID',
    },
    {
      letter: 'b',
      title: 'A buyer pays, the notification is lost, and the delay queue finds the payment',
      subject: 'Oolong tea',
      totalAmount: '45.60',
      buyer: (buyer, outTradeNo) => buyer.pay(outTradeNo, { notify: false }),
      does: 'the buyer pays, and nothing tells us so: the notification is lost',
      ends: 'PAID',
    },
    {
      letter: 'c',
      title: `A buyer never pays: ${checks} checks, then the sweep closes order and trade`,
      subject: 'Puer tea',
      totalAmount: '78.90',
      expiresInSeconds: Math.ceil((checks * intervalMs) / 1000) + SLACK_SECONDS,
      buyer: async (buyer, outTradeNo) => {
        await buyer.scan(outTradeNo);
        await buyer.leave(outTradeNo);
      },
      does: 'the buyer scans the code, so that the trade exists at Alipay, and walks away',
      ends: 'CLOSED',
    },
  ];
}

/**
 * Plays the three stories, one after the other, and tells them as they happen. Nothing in them is staged but the
 * buyer: what is told was read from the application's tables, its HTTP API and Temporal.
 *
 * @throws Error when a story does not end as it must
 */
export async function playStories(world: World): Promise<void> {
  const day = Date.now().toString(36);
  for (const story of stories(world)) await play(story, `demo-${day}-${story.letter}`, world);
}

async function play(story: Story, orderId: string, world: World): Promise<void> {
  const { shop, buyer, database, temporal, linkOf, say } = world;
  const { subject, totalAmount, expiresInSeconds } = story;
  const expiresIn = expiresInSeconds && `${expiresInSeconds}s`;
  say('');
  say(`(${story.letter}) ${story.title}`);
  const narrator = new Narrator(say);
  const checkout = await shop.checkout({
    orderId,
    subject,
    totalAmount,
    ...(expiresIn && { expiresIn }),
  });
  const { outTradeNo, workflowId } = checkout;
  say(`    ${linkOf(workflowId)}`);
  narrator.tell(
    `checkout of order ${orderId}: ${totalAmount} yuan${expiresIn ? `, to be paid within ${expiresIn}` : ''}`,
  );

  const following = narrator.follow(database, outTradeNo);
  try {
    await buyer.open(checkout.paymentUrl);
    narrator.tell(story.does);
    await story.buyer(buyer, outTradeNo);
    await untilEnded(story, checkout, narrator, world);
  } finally {
    narrator.end();
    await following;
  }
  const run = await temporal.workflow.result<typeof confirmPayment>(workflowId);
  const trade = await buyer.trade(outTradeNo);
  say(
    `    => order ${await shop.orderStatus(orderId)}, run ${run.status} after ${run.checks} checks, at Alipay ${trade?.status ?? 'no trade'}`,
  );
}

async function untilEnded(
  { ends }: Story,
  { orderId, outTradeNo, workflowId }: Checkout,
  narrator: Narrator,
  { shop, database, temporal, checks, intervalMs }: World,
): Promise<void> {
  const timeoutMs = (checks + 1) * intervalMs + 60_000;
  const run = await waitFor(
    async () => {
      const { status } = await temporal.workflow.getHandle(workflowId).describe();
      return status.name === 'COMPLETED' && temporal.workflow.result<typeof confirmPayment>(workflowId);
    },
    { what: `workflow ${workflowId} to end`, timeoutMs, everyMs: 200 },
  );
  if (run.status === 'UNCONFIRMED') {
    await narrator.catchUp(database, outTradeNo);
    narrator.tell('the run ends UNCONFIRMED; once the order has expired, the sweep is the net');
  }
  await waitFor(async () => (await shop.orderStatus(orderId)) === ends, {
    what: `order ${orderId} to be ${ends}`,
    timeoutMs,
    everyMs: 200,
  });
}
