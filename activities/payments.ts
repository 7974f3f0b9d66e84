import type { Logger } from 'pino';
import type { AlipayQueueActivities, PaymentsQueueActivities } from '../workflows/messages';
import { noteAnswer, noteCheck } from '../db/checks';
import type { Database } from '../db/connect';
import { storeEvidence } from '../db/evidence';
import type { EvidenceFault } from '../db/ledger';
import { readRecorded, recordEvidence, requirePayment, unknownPayment } from '../db/ledger';
import { tookMoney } from '../db/rules';
import { CERTIFICATE_UNKNOWN } from './alipay/answer';
import { AlipayError } from './alipay/errors';
import type { QueryAnswer } from './alipay/gateway';
import type { ActivityDependencies } from './dependencies';
import { readEvidence } from './evidence';
import { tellOrder } from './orders';
import { startRefunds } from './refund-workflow';

/** What the handout calls `checkAlipayPayment`. */
export function createQueryActivities({
  db,
  alipay,
  log,
}: ActivityDependencies): Pick<AlipayQueueActivities, 'queryAlipay'> {
  return {
    async queryAlipay({ outTradeNo, check, nextCheckInMs }) {
      const payment = await requirePayment(db, outTradeNo);
      if (tookMoney(payment)) return { answer: 'paid' };
      const gateway = alipay.of(payment);
      // A query that uses up no check leaves the plan of the next checks unchanged.
      const made = { check, nextCheckInMs: check > 0 ? nextCheckInMs : undefined };
      let asked: QueryAnswer;
      try {
        asked = await gateway.query(outTradeNo);
      } catch (error) {
        if (!wasAsked(error)) throw error;
        await noteCheck(db, outTradeNo, made);
        if (!(error instanceof AlipayError) || error.kind !== 'unknown') throw error;
        if (error.code === CERTIFICATE_UNKNOWN)
          log.error({ outTradeNo, code: error.code, alert: true }, error.message);
        if (error.untrusted) logUntrusted(log, outTradeNo, error);
        return { answer: 'unknown' };
      }
      const { answer } = asked;
      if (isEvidence(asked)) await storeAnswer(db, outTradeNo, check, asked, made.nextCheckInMs);
      else await noteAnswer(db, outTradeNo, answer, made);
      return { answer };
    },
  };
}

/** Logs each one, so the log shows whether it is all answers (a wrong key) or a few (an attack). */
function logUntrusted(
  log: Logger,
  outTradeNo: string,
  { method, code, subCode, message }: AlipayError,
): void {
  log.error(
    { outTradeNo, method, alipayCode: subCode ?? code, code: 'ANSWER_UNTRUSTED', alert: true },
    `${message}: Alipay's public key is wrong here, or somebody is forging responses. Run: durable-alipay doctor`,
  );
}

/** False only if it is certain that nothing was asked: no connection, an open circuit, or a used-up quota. */
export const wasAsked = (error: unknown): boolean =>
  !(error instanceof AlipayError) || (error.kind !== 'down' && error.kind !== 'no-quota');

export const isEvidence = ({ answer }: QueryAnswer): boolean => answer === 'paid' || answer === 'closed';

/** Which question brought an answer: the number of a check, 0 for one that uses up none, or who else asked. */
export type AskedBy = number | 'slow-check' | 'sweep' | 'follow-up' | 'bill';

/** Its name in metrics. */
function pathOf(askedBy: AskedBy): string {
  if (typeof askedBy === 'string') return askedBy;
  return askedBy > 0 ? `check-${askedBy}` : 'check-now';
}

/**
 * Stores the whole answer to a query that proves something (paid, closed), before anything is concluded from it. If
 * `askedBy` is the number of a check, that check counts as made. Returns the evidence's id.
 *
 * @throws PaymentError PAYMENT_UNKNOWN
 */
export async function storeAnswer(
  db: Database,
  outTradeNo: string,
  askedBy: AskedBy,
  { signed, tradeStatus, totalAmount }: QueryAnswer,
  nextCheckInMs?: number | null,
): Promise<string> {
  const stored = await storeEvidence(db, {
    outTradeNo,
    kind: 'answer',
    signed,
    isNews: true,
    says: { tradeStatus: tradeStatus ?? '', totalAmount: totalAmount ?? undefined },
    check: { check: typeof askedBy === 'number' ? askedBy : 0, nextCheckInMs },
    askedBy: pathOf(askedBy),
  });
  if (!stored) throw unknownPayment(outTradeNo);
  return stored.id;
}

/** The writes that follow from what Alipay says. */
export function createRecordActivities(
  deps: ActivityDependencies,
): Pick<PaymentsQueueActivities, 'recordAndTell' | 'readPayment' | 'planCheck'> {
  const { db, metrics, latePaymentPolicy: policy, refundBrakeFen: brakeFen } = deps;
  return {
    async recordAndTell({ outTradeNo }) {
      const { recorded, moves, refunds, faults } = await recordEvidence(db, outTradeNo, {
        read: readEvidence,
        policy,
        brakeFen,
      });
      for (const status of moves) metrics.settled(status);
      for (const fault of faults) logFault(deps, outTradeNo, fault);
      await startRefunds(deps, refunds);
      if (!recorded.undelivered) return recorded;
      return { ...recorded, undelivered: !(await tellOrder(deps, recorded.orderId)) };
    },

    readPayment: ({ outTradeNo }) => readRecorded(db, outTradeNo),

    async planCheck({ outTradeNo, inMs }) {
      await noteCheck(db, outTradeNo, { check: 0, nextCheckInMs: inMs });
      return readRecorded(db, outTradeNo);
    },
  };
}

/** Evidence that nobody understands is money that nobody has looked at. */
function logFault(
  { log }: ActivityDependencies,
  outTradeNo: string,
  { evidenceId, error }: EvidenceFault,
): void {
  const { name, code } = error as { name?: string; code?: unknown };
  log.error(
    { code: 'EVIDENCE_NOT_RECORDED', alert: true, outTradeNo, evidenceId, cause: code ?? name },
    'evidence cannot be recorded; it stays unrecorded, and is tried again',
  );
}
