import type { Database } from '../connect';
import { toFen } from '../money';
import type { Payment } from '../payments';
import type { Refund } from '../refunds';
import { findRefundsOfPayment, isUnderWay } from '../refunds';
import { amountToRefund } from '../rules';
import { requirePayment } from './require';

/** A payment and its refunds, read with the order locked. Amounts are fen. */
export class RefundBooks {
  private constructor(
    readonly payment: Payment,
    readonly refunds: readonly Refund[],
  ) {}

  /** @throws PaymentError PAYMENT_UNKNOWN */
  static async read(trx: Database, outTradeNo: string): Promise<RefundBooks> {
    const payment = await requirePayment(trx, outTradeNo);
    return new RefundBooks(payment, await findRefundsOfPayment(trx, outTradeNo));
  }

  /** Those that were asked for here. */
  get own(): Refund[] {
    return this.refunds.filter(({ kind }) => kind !== 'portal');
  }

  get taken(): number {
    return toFen(amountToRefund(this.payment));
  }

  get done(): number {
    return sumOf(this.refunds.filter(({ status }) => status === 'DONE'));
  }

  /** What Alipay has reported, and no refund that is DONE explains. */
  get gap(): number {
    return Math.min(toFen(this.payment.refundSeen), this.taken) - this.done;
  }

  /** Whether Alipay may have made one that is not DONE here: it may be what Alipay reports. */
  get isInDoubt(): boolean {
    return this.refunds.some(
      (refund) => isUnderWay(refund) && (refund.kind === 'portal' || refund.askedAt !== null),
    );
  }

  /** What may still be asked for: not what is under way, nor what went back outside Alipay. */
  get left(): number {
    const spokenFor = this.refunds.filter((refund) => refund.status === 'DONE' || isUnderWay(refund));
    return this.taken - sumOf(spokenFor) - toFen(this.payment.outsideAmount ?? '0');
  }
}

/** The sum of refunds, fen; one whose amount Alipay has not named yet counts as 0. */
export const sumOf = (refunds: readonly Refund[]): number =>
  refunds.reduce((sum, { amount }) => sum + toFen(amount ?? '0'), 0);
