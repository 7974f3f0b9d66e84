import { bulkhead } from 'cockatiel';
import type { Payment } from '../db/payments';
import { listReviews } from '../db/payments';
import { judgeRow } from '../db/review-rules';
import { toFen, toYuan } from '../db/money';
import type { ErrorCode } from '../workflows/errors';
import { PaymentError } from '../workflows/errors';
import type { ReviewOutcome, WhoAndWhy } from '../workflows/messages';
import type { ClientDependencies } from './dependencies';
import { explain } from './dependencies';
import { parseListDecision } from './input';
import { decide } from './operations';
import { merchantIdOf } from './pauses';

/** One decision about all payments that are in review for the same reason. */
export interface ListDecision extends WhoAndWhy {
  /** Their reason, as `review list` shows it; Alipay's code at its end may be left out. */
  because: string;
  /** Only those of this merchant, by its name or id. */
  merchant?: string;
  to: Exclude<ReviewOutcome, 'REVIEW'>;
  /** How many at most, the longest waiting first; refused ones do not count. Default: 1000. */
  limit?: number;
  /** Only lists the payments and says which rows do not permit the decision; Alipay is not asked. */
  dryRun?: boolean;
}

/** What happened to one payment. `permitted`: in a dry run, judging by its row. */
export interface ListedDecision {
  outTradeNo: string;
  orderId: string;
  /** Yuan; what Alipay took. */
  amount: string;
  outcome: 'decided' | 'permitted' | 'refused' | 'failed' | 'not tried';
  code: ErrorCode | null;
  /** Why it was refused or failed. */
  why: string | null;
}

export interface ListDecided {
  dryRun: boolean;
  /** How many were decided, or would be. */
  done: number;
  refused: number;
  /** Failed, or not tried because a dependency does not respond: run it again. */
  failed: number;
  /** Yuan; the sum of those that are done. */
  amount: string;
  /** There are more than the limit. */
  hasMore: boolean;
  payments: ListedDecision[];
}

/** Each decision asks Alipay several times, and buyers' queries need room, too. */
const AT_ONCE = 5;

export async function decideList(deps: ClientDependencies, input: ListDecision): Promise<ListDecided> {
  const { because, merchant, limit = 1_000, dryRun = false, ...decision } = parseListDecision(input);
  const filter = {
    because,
    ...(merchant !== undefined && { merchant: await merchantIdOf(deps, merchant) }),
  };
  const payments: ListedDecision[] = [];
  let isDown = false;
  const decideOne = async (payment: Payment): Promise<ListedDecision> => {
    if (isDown) return asListed(payment, 'not tried');
    const verdict = judgeRow(payment, decision);
    if (verdict.kind === 'refused') return asListed(payment, 'refused', 'REVIEW_REFUSED', verdict.because);
    if (dryRun) return asListed(payment, 'permitted');
    try {
      await decide(deps, payment.outTradeNo, { ...decision, because });
      return asListed(payment, 'decided');
    } catch (error) {
      const known = explain(error);
      if (!(known instanceof PaymentError)) {
        deps.log.error({ err: error, outTradeNo: payment.outTradeNo }, 'a decision failed');
        return asListed(payment, 'failed', 'INTERNAL', 'unexpected error; see the log');
      }
      isDown ||= known.code === 'TEMPORAL_UNAVAILABLE' || known.code === 'DATABASE_UNAVAILABLE';
      const outcome = known.code === 'REVIEW_REFUSED' ? 'refused' : 'failed';
      return asListed(payment, outcome, known.code, known.message);
    }
  };
  const isRefused = ({ outcome }: ListedDecision): boolean => outcome === 'refused';
  // Refused ones stay in review, first in the list: if they used up places, nothing behind them would ever be decided.
  const places = (): number => limit - payments.filter((one) => !isRefused(one)).length;
  const lanes = bulkhead(AT_ONCE, Infinity);
  let hasMore = true;
  while (hasMore && places() > 0) {
    const except = payments.map(({ outTradeNo }) => outTradeNo);
    const found = await listReviews(deps.db, places() + 1, { ...filter, except });
    hasMore = found.length > places();
    const page = found.slice(0, places());
    payments.push(...(await Promise.all(page.map((payment) => lanes.execute(() => decideOne(payment))))));
  }
  const done = payments.filter(({ outcome }) => outcome === 'decided' || outcome === 'permitted');
  const refused = payments.filter(isRefused).length;
  return {
    dryRun,
    done: done.length,
    refused,
    failed: payments.length - done.length - refused,
    amount: toYuan(done.reduce((sum, { amount }) => sum + toFen(amount), 0)),
    hasMore,
    payments,
  };
}

const asListed = (
  { outTradeNo, orderId, paidAmount, totalAmount }: Payment,
  outcome: ListedDecision['outcome'],
  code: ErrorCode | null = null,
  why: string | null = null,
): ListedDecision => ({ outTradeNo, orderId, amount: paidAmount ?? totalAmount, outcome, code, why });
