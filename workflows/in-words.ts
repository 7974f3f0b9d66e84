import type {
  AuditReport,
  DiscrepancyKind,
  FollowUpKind,
  FollowUpReport,
  KindReport,
  PaymentState,
  Reconciliation,
  RefundState,
  SweepReport,
} from './messages';
import { FOLLOW_UP_KINDS, isInReview } from './messages';

// What a person reads in the Web UI (tab User Metadata, Current Details) and in `temporal workflow metadata`: in plain
// words, as Markdown, the current state, what comes next and when. Not part of any history, so it may change freely.

/** What a run of `confirmPayment` shows besides its state. */
export interface PaymentFacts extends PaymentState {
  checksAllowed: number;
  /** Null if nobody needs to decide. */
  reviewReason: string | null;
  /** Whether the order service has not been told yet. */
  undelivered: boolean;
  /** Whether the last check could not be made because Alipay cannot be asked. */
  postponed: boolean;
  /** ISO 8601, or null if this run does not know it. */
  expiresAt: string | null;
  /** Whether this run closes the order then; otherwise the sweep does. */
  closesOrder: boolean;
}

/** A payment's state, in words. */
export function paymentInWords(facts: PaymentFacts): string {
  const { status, checks, checksAllowed, lastAnswer, undelivered } = facts;
  const made = checksAllowed > 0 ? `, ${checks} of ${checksAllowed} checks made` : '';
  return paragraphs(
    `**${isInReview(facts) ? 'REVIEW' : status}**${made}.`,
    lastAnswer && `Alipay's last answer: *${lastAnswer}*.`,
    undelivered && 'The order service is told now; if that fails, by the follow-up.',
    ...whatNext(facts),
  );
}

function whatNext(facts: PaymentFacts): (string | false)[] {
  if (isInReview(facts)) return whatToDecide(facts);
  switch (facts.status) {
    case 'UNPAID':
      return whenUnpaid(facts);
    case 'UNCONFIRMED':
      return [
        `Not paid so far, and this run makes no more checks. When the order expires${at(facts.expiresAt)}, the sweep asks Alipay again before it closes the order.`,
        'A notification or a new checkout before that starts a new run.',
      ];
    case 'REFUNDING':
      return [
        'A run of `refundPayment` is refunding the money: it ends when Alipay proves or refuses the refund.',
      ];
    case 'REFUNDED':
      return ['The money has been refunded. Nothing is left to do here.'];
    case 'CLOSED':
      return ['It can no longer be paid, and no money came. Nothing is left to do here.'];
    default:
      return ['Nothing is left to do here.'];
  }
}

function whenUnpaid({ nextCheckAt, postponed, expiresAt, closesOrder }: PaymentFacts): (string | false)[] {
  if (nextCheckAt !== null) {
    return [
      postponed && '**Alipay cannot be asked at present.** The check is postponed, not used up.',
      `Next check at ${nextCheckAt}, unless a notification comes first.`,
    ];
  }
  return [closesOrder && `The order is closed${at(expiresAt)} if it stays unpaid.`];
}

const at = (time: string | null): string => (time === null ? '' : ` at ${time}`);

/** Keyed by the first word of a row's `review_reason`; one of Alipay's codes may follow it. */
const REASONS: Readonly<Record<string, string>> = {
  AMOUNT_DIFFERS: "Alipay took a different amount than the order's.",
  LATE_PAYMENT: 'It was paid after the order was closed or its price changed.',
  DUPLICATE_PAYMENT: 'Another payment had already paid the order.',
  BILL_DIFFERS: 'The daily bill has a different amount.',
  NOT_IN_BILL: 'The daily bill does not list it.',
  CLOSED_AFTER_PAYMENT: 'Alipay closed the trade after money had moved.',
  REFUND_REFUSED: 'Alipay refuses the refund.',
  REFUND_STOPPED: 'A person stopped its refund.',
  REFUND_BRAKE: 'It came too late or twice, and refunding it would exceed the REFUND_BRAKE limit per hour.',
  REFUND_NOT_PROVEN: 'Alipay was asked for the refund, but does not confirm it.',
};

/** Why a payment is in review; empty if the row was written by hand. */
export const reasonInWords = (reviewReason: string): string =>
  REASONS[reviewReason.replace(/ .*/s, '')] ?? '';

function whatToDecide({ reviewReason }: PaymentFacts): string[] {
  const reason = reviewReason ?? 'no reason given';
  return [
    `**A person must decide:** ${reasonInWords(reason)} (\`${reason}\`)`,
    'To decide: More Actions, Send an Update, `resolveReview`, with the data',
    '`{"to": "PAID", "actor": "your name", "reason": "why"}`',
    `- \`PAID\`: keep the money
- \`REFUNDING\`: refund it
- \`REFUNDED\`: it was refunded; if Alipay no longer refunds it, add \`"outside": {"reference": "how"}\`
- \`CLOSED\`: no money came`,
    'Alipay is asked first, and a decision that contradicts it is refused.',
  ];
}

/** A refund's state, in words. */
export function refundInWords({ outTradeNo, outRequestNo, status, amount }: RefundState): string {
  const what = amount === null ? 'The money' : `${amount} yuan of it`;
  return paragraphs(`**${status}**: payment \`${outTradeNo}\`.`, ...refundNext(status, what, outRequestNo));
}

function refundNext(status: RefundState['status'], what: string, outRequestNo: string): string[] {
  switch (status) {
    case 'REQUESTED':
      return [
        'Alipay is asked until it proves the refund or refuses it; its pending activity shows the last answer and the next try.',
      ];
    case 'DONE':
      return [`${what} has been refunded. Nothing is left to do here.`];
    case 'REFUSED':
      return ['Alipay did not make it and is not asked again. Its row says why.'];
    case 'REVIEW':
      return [
        `**A person must decide:** Alipay was asked, but does not confirm the refund \`${outRequestNo}\`.`,
        'Look it up in the merchant portal. To decide: More Actions, Send an Update, `resolveRefund`, with the data',
        '`{"to": "DONE", "actor": "your name", "reason": "why"}`',
        '- `DONE`: it was made\n- `REFUSED`: it was not, and will not be',
        'Alipay is asked first, and a decision that contradicts it is refused.',
      ];
  }
}

/** What an audit has found. */
export function auditInWords({ orders, violations, byCheck, yuan }: AuditReport): string {
  const looked = `${orders === null ? 'All orders' : `${orders} orders that had moved`} were looked at.`;
  if (violations === 0) return paragraphs('**The books agree.**', looked);
  const found = Object.entries(byCheck).map(([name, count]) => `- \`${name}\`: ${count}`);
  return paragraphs(
    `**The books contradict themselves in ${violations} places**, ${yuan} yuan unexplained.`,
    found.join('\n'),
    looked,
    'Each with its order, payment and what to do: `durable-alipay audit`.',
  );
}

/** What a sweep has done so far, or in all. */
export function sweepInWords(report: SweepReport, { over }: { over: boolean }): string {
  const { scanned, closed, rescued, held, failed } = report;
  return paragraphs(
    `**${over ? 'Done' : 'Running'}**, ${report.seconds} s.`,
    report.dryRun && '**Dry run:** nothing is changed; this is what a sweep would do.',
    `${scanned} expired orders looked at: **${closed} closed**, ${rescued} rescued, ${held} held, ${failed} failed.`,
    report.gatewayDown && '**Gateway down:** nothing more is asked; the next sweep tries again.',
    report.next && 'More are left: the next tick goes on from here.',
    named('Rescued (paid after all)', report.rescuedIds, rescued),
    named('Held (still payable, or a person decides)', report.heldIds, held),
    named('Failed (the log says why; the next sweep tries again)', report.failedIds, failed),
  );
}

const KINDS_IN_WORDS: Readonly<Record<FollowUpKind, string>> = {
  undelivered: 'orders told again, after failing for a minute',
  unrecorded: 'payments woken for evidence that is not recorded',
  slowChecks: 'slow checks of payments still open',
  unwatched: 'payments given a new run, whose checks nobody made',
  unattended: 'payments in REVIEW or REFUNDING given a new run, or told to read their row',
  leftovers: 'payments of settled orders closed',
  rechecks: 'payments asked about once more, a day after they were closed',
  refunds: 'stalled refunds given a run',
};

/** What a follow-up has done so far, or in all; a kind that is not in the report yet is still at work. */
export function followUpInWords(report: Partial<FollowUpReport>): string {
  const isOver = FOLLOW_UP_KINDS.every((kind) => kind in report);
  return paragraphs(
    `**${isOver ? 'Done' : 'Running'}**: what the tables showed to be due.`,
    FOLLOW_UP_KINDS.map((kind) => `- ${KINDS_IN_WORDS[kind]}: ${kindInWords(report[kind])}`).join('\n'),
  );
}

function kindInWords(kind: KindReport | null | undefined): string {
  if (kind === undefined) return 'at work';
  if (kind === null) return '**failed as a whole** (the log says why; the next follow-up tries again)';
  const { done, failed, left } = kind;
  return [`**${done}**`, failed > 0 && `${failed} failed`, left && 'more are due'].filter(Boolean).join(', ');
}

/** What each kind of discrepancy means, for a person. */
export const DISCREPANCIES_IN_WORDS: Readonly<Record<DiscrepancyKind, string>> = {
  'payment-unrecorded': 'paid at Alipay, unpaid here',
  'payment-late': 'paid at Alipay, closed here',
  'payment-unknown': 'paid at Alipay, not known here',
  'payment-differs': 'paid here with another amount',
  'payment-absent': 'paid here, in no bill',
  'payment-doubled': 'payment that is in the bill twice',
  'refund-unrecorded': 'refunded at Alipay, not here',
  'refund-unknown': 'refund of a payment that is not known here',
  'refund-differs': 'refunded here with another amount',
  'refund-absent': 'refunded here, in no bill',
  'refund-doubled': 'refund that is in the bill twice',
  'not-understood': 'line that is neither a payment nor a refund',
};

/** What a reconciliation is doing, or what came of it. */
export function reconciliationInWords({ status, because, report }: Reconciliation, doing?: string): string {
  const found = Object.entries(report?.discrepancies ?? {}) as [
    DiscrepancyKind,
    { repaired: number; open: number },
  ][];
  return paragraphs(
    `**${doing ?? status}**${because === null ? '' : `: ${because}`}`,
    report &&
      `Matched: **${report.matched.payments.count}** payments (${report.matched.payments.amount} yuan) and ` +
        `**${report.matched.refunds.count}** refunds (${report.matched.refunds.amount} yuan).`,
    found
      .map(
        ([kind, { repaired, open }]) =>
          `- ${DISCREPANCIES_IN_WORDS[kind]}: **${open} open**, ${repaired} repaired`,
      )
      .join('\n'),
  );
}

function named(what: string, ids: string[], count: number): string {
  if (ids.length === 0) return '';
  const more = count > ids.length ? ` and ${count - ids.length} more` : '';
  return `${what}: ${ids.map((id) => `\`${id}\``).join(' ')}${more}`;
}

/** Measured: the Web UI (2.42.1) makes the text box one line too short. This is the line that it cuts off. */
const LAST_LINE = '\u00a0';

const paragraphs = (...lines: (string | false | null | undefined)[]): string =>
  [...lines.filter(Boolean), LAST_LINE].join('\n\n');
