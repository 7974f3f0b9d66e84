import { Argument, Option } from 'commander';
import type { Pause } from '../index';
import { pauseInWords } from '../pauses';
import type { Answer, CliGroup, WhoAndWhy } from './command';
import { WHO_AND_WHY, answer } from './command';
import type { Paint } from './screen';
import { tableOf, when } from './screen';

const MERCHANT = new Argument('<merchant>', 'its name (`default`, or as in MERCHANTS_FILE) or its id');

const OF_MERCHANT = new Option('--merchant <merchant>', 'only those of this merchant, by its name or id');

type RefundOptions = WhoAndWhy & { merchant?: string };

const pauseTable = tableOf<Pause>(
  {
    PAUSED: (pause, paint) => paint('yellow', pauseInWords(pause)),
    SINCE: ({ since }) => when(since),
    BY: ({ actor }) => actor,
    REASON: ({ reason }) => reason,
  },
  'nothing is paused',
);

/** An existing pause stays unchanged, so the answer must not suggest that the new actor and reason were recorded. */
function paused(pause: Pause, { actor, reason }: WhoAndWhy): Answer {
  const isAsSaid = pause.actor === actor.trim() && pause.reason === reason.trim();
  const note = isAsSaid ? '' : '\n\nIt was already paused; its time, actor and reason are unchanged.';
  return answer(pause, (paint, shown) => pauseTable(paint, shown) + note);
}

const resumed = (paint: Paint, pause: Pause): string =>
  `${paint('bold', pauseInWords(pause))}: resumed. Paused by ${pause.actor} since ${when(pause.since)}: ${pause.reason}`;

export const PAUSE: CliGroup = {
  name: 'pause',
  summary: 'in an emergency, stop refunds or a merchant; list what is paused',
  description:
    'A pause applies to every process and survives restarts, until someone resumes it. `doctor` and an alert remind you.',
  commands: [
    {
      name: 'refunds',
      summary: 'send no refund for now, no matter who asks',
      description:
        'No more refunds are sent to Alipay. Refunds under way and new ones wait; nothing fails, and no attempt is used ' +
        'up. A refund that was already sent is still proven.',
      options: [OF_MERCHANT, ...WHO_AND_WHY],
      examples: [
        'pause refunds --reason "a bug in the shop"',
        'pause refunds --merchant teahouse --reason "its account is being checked" --json',
      ],
      act: async ({ payments }, options: RefundOptions) =>
        paused(await payments.pauses.pause({ what: 'refunds', ...options }), options),
    },
    {
      name: 'merchant',
      summary: 'stop checkouts and closes for a merchant',
      description:
        'A checkout is refused (MERCHANT_PAUSED), and expired orders stay open. Checks and notifications continue, so a ' +
        'payment on an open page is found. Refunds continue too: pause them separately.',
      arguments: [MERCHANT],
      options: WHO_AND_WHY,
      examples: ['pause merchant default --reason "wrong prices"'],
      act: async ({ payments }, merchant: string, options: WhoAndWhy) =>
        paused(await payments.pauses.pause({ what: 'merchant', merchant, ...options }), options),
    },
    {
      name: 'list',
      summary: 'what is paused, who paused it, and why',
      examples: ['pause list', 'pause list --json | jq length'],
      act: async ({ payments }) => answer(await payments.pauses.list(), pauseTable),
    },
  ],
};

export const RESUME: CliGroup = {
  name: 'resume',
  summary: 'end a pause of refunds or of a merchant',
  commands: [
    {
      name: 'refunds',
      summary: 'let refunds continue',
      description:
        'Waiting refunds continue within a minute, those that were already sent within ten. With --merchant it ends the pause ' +
        'of one merchant; without it, the pause of all.',
      options: [OF_MERCHANT, ...WHO_AND_WHY],
      examples: [
        'resume refunds --reason "the bug is fixed"',
        'resume refunds --merchant teahouse --reason "checked"',
      ],
      act: async ({ payments }, options: RefundOptions) =>
        answer(await payments.pauses.resume({ what: 'refunds', ...options }), resumed),
    },
    {
      name: 'merchant',
      summary: 'let a merchant sell again',
      description:
        'Checkouts work again at once. Orders that expired meanwhile are closed within a few minutes.',
      arguments: [MERCHANT],
      options: WHO_AND_WHY,
      examples: ['resume merchant default --reason "prices are right"'],
      act: async ({ payments }, merchant: string, options: WhoAndWhy) =>
        answer(await payments.pauses.resume({ what: 'merchant', merchant, ...options }), resumed),
    },
  ],
};
