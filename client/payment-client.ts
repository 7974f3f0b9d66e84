import { Client, Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import type { NotificationBody } from '../activities/alipay/notification';
import { openGateways } from '../activities/alipay/open';
import { soon } from '../activities/temporal-calls';
import { openDatabase } from '../db/connect';
import { requirePayment } from '../db/ledger';
import type { CorrectedMerchant, MerchantCorrection } from '../db/merchants';
import { correctMerchant } from '../db/merchants';
import type { MessageDecision, OrderMessage } from '../db/order-messages';
import { listUndelivered } from '../db/order-messages';
import type { Order } from '../db/orders';
import type { PaymentEvent } from '../db/payment-events';
import { findEvents } from '../db/payment-events';
import type { Payment } from '../db/payments';
import { listPayments, listReviews } from '../db/payments';
import type { Recovery } from '../db/recovery';
import type { RefundFilter } from '../db/refunds';
import type { UnmatchedNotification, UnmatchedResolution } from '../db/unmatched-notifications';
import { listUnmatched, resolveUnmatched } from '../db/unmatched-notifications';
import { readConfig } from '../worker/config';
import { createLogger } from '../worker/log';
import { dataConverterWith } from '../worker/payload-codec';
import { readTemporalConfig } from '../worker/temporal-config';
import { clientTracing } from '../worker/tracing';
import type { PaymentState, ResolveRefund, ResolveReview, StoredPaymentStatus } from '../workflows/messages';
import type { Audits } from './audits';
import { auditsOf } from './audits';
import type { Checkout, CheckoutInput, OrderInput } from './checkout';
import { checkOut, registerOrder } from './checkout';
import type { ClientDependencies } from './dependencies';
import { explained } from './dependencies';
import type { FollowUps } from './follow-up';
import { followUpsOf } from './follow-up';
import {
  parseCloseInput,
  parseCorrection,
  parseDecision,
  parseFilter,
  parseOrderId,
  parseOrderInput,
  parseOutTradeNo,
  parseRefundId,
  parseResolution,
} from './input';
import type { NotifyAnswer } from './notifications';
import { handleNotification } from './notifications';
import type { Observer } from './observer';
import { NO_OBSERVER, observed } from './observer';
import type { CancelInput, Health, ListedMerchant, PaymentRun, ReturnedPayment } from './operations';
import {
  cancelOrder,
  checkNow,
  decide,
  healthOf,
  merchantsOf,
  orderOf,
  runsOf,
  statusOf,
  verifyReturn,
} from './operations';
import type { Pauses } from './pauses';
import { pausesOf } from './pauses';
import type { Reconciliations } from './reconciliations';
import { reconciliationsOf } from './reconciliations';
import { recoverRestored } from './recovery';
import type { RefundInput, RefundView } from './refunds';
import { askForRefund, refundOf, refundsOf, settleRefund } from './refunds';
import type { Resending } from './results';
import { resend, resultsOf, skip } from './results';
import type { ListDecided, ListDecision } from './review-lists';
import { decideList } from './review-lists';
import type { Sweeps } from './sweep';
import { sweepsOf } from './sweep';

/** What a {@link PaymentClient} needs; {@link PaymentClient.connect} takes it from the environment. */
type PaymentClientDependencies = Omit<ClientDependencies, 'observer'> & {
  /** Counts what the client does. Default: nothing is counted. */
  observer?: Observer;
};

/**
 * What checkout, the notify endpoint and operators call. It needs no worker in its process.
 *
 * Every method throws {@link PaymentError}: its `code` is in the registry, its `status` the HTTP status that fits.
 * DATABASE_UNAVAILABLE, TEMPORAL_UNAVAILABLE and ALIPAY_UNAVAILABLE can come from any of them, and then the call can
 * safely be repeated; INVALID_INPUT from any that takes input or an id.
 */
export class PaymentClient {
  /** The sweep's Schedule, a sweep started by hand, and the last report. */
  readonly sweep: Sweeps;
  /** The follow-up's Schedule, and a follow-up started by hand. */
  readonly followUp: FollowUps;
  /** Alipay's daily bills against the tables. */
  readonly reconcile: Reconciliations;
  /** Audits of the books and of their evidence. */
  readonly audit: Audits;
  /** Switches for a bad day. */
  readonly pauses: Pauses;
  readonly #deps: ClientDependencies;

  constructor({ observer = NO_OBSERVER, ...deps }: PaymentClientDependencies) {
    this.#deps = { observer, ...deps };
    this.sweep = sweepsOf(deps);
    this.followUp = followUpsOf(deps);
    this.reconcile = reconciliationsOf(deps);
    this.audit = auditsOf(deps);
    this.pauses = pausesOf(deps);
  }

  /**
   * A client with the settings of the environment (docs/settings.md). It connects at the first call, and reconnects by
   * itself.
   *
   * @throws PaymentError CONFIG_INVALID that names every fault at once
   */
  static async connect(
    env: NodeJS.ProcessEnv = process.env,
    { log, observer }: { log?: Logger; observer?: Observer } = {},
  ): Promise<PaymentClient> {
    const config = readConfig(env, {
      needs: ['database', 'merchants', 'proxy', 'payments', 'sweep', 'payloads', 'log'],
    });
    const { connectionOptions, namespace } = readTemporalConfig(env);
    const db = openDatabase(config.database);
    return new PaymentClient({
      temporal: new Client({
        connection: Connection.lazy(connectionOptions),
        dataConverter: dataConverterWith(config.payloads.keys),
        ...(namespace !== undefined && { namespace }),
        ...(await clientTracing()),
      }),
      db,
      alipay: openGateways(db, config.merchants),
      settings: { ...config.payments, sweep: config.sweep },
      log: log ?? createLogger({ name: 'client', env }),
      observer,
    });
  }

  /**
   * Registers an order, or finds it already registered: the first registration wins.
   *
   * @throws PaymentError INVALID_INPUT, MERCHANT_DIFFERS, AMOUNT_DIFFERS
   */
  registerOrder(input: OrderInput): Promise<Order> {
    return explained(() => registerOrder(this.#deps, parseOrderInput(input)));
  }

  /**
   * Starts a payment: registers the order if necessary, opens its payment, starts the workflow that finds out how it
   * ends, and returns where the buyer pays. Repeating the call returns the same payment.
   *
   * @throws PaymentError INVALID_INPUT, MERCHANT_DIFFERS, AMOUNT_DIFFERS, ORDER_PAID, ORDER_CLOSED, ORDER_EXPIRED,
   *   ORDER_HELD, OUT_TRADE_NO_TAKEN, PAYMENT_SETTLED, MERCHANT_PAUSED
   */
  async checkout(input: CheckoutInput): Promise<Checkout> {
    const { observer } = this.#deps;
    const opening = explained(() => checkOut(this.#deps, input));
    const done = await observed(opening, (outcome, code) => observer.checkout(outcome, code));
    observer.checkout('opened');
    return done;
  }

  /**
   * Cancels an order for the shop, safely: Alipay is asked first and told to close the trade.
   *
   * @throws PaymentError INVALID_INPUT, ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD (the sweep closes it later),
   *   ALIPAY_UNAVAILABLE (it is still open; trying again is safe)
   */
  closeOrder(input: CancelInput): Promise<Order> {
    return explained(() => cancelOrder(this.#deps, parseCloseInput(input)));
  }

  /**
   * Refunds some or all of what was paid for an order. REQUESTED becomes DONE once Alipay has proven it, and the order
   * service is told. It is not told of REFUSED: use {@link refundStatus}. Repeating the call returns the same refund.
   *
   * @throws PaymentError INVALID_INPUT, ORDER_UNKNOWN, ORDER_NOT_PAID, ORDER_HELD, MERCHANT_DIFFERS, REFUND_DIFFERS,
   *   REFUND_TOO_LARGE
   */
  refund(input: RefundInput): Promise<RefundView> {
    return explained(() => askForRefund(this.#deps, input));
  }

  /**
   * The state of a refund.
   *
   * @throws PaymentError REFUND_UNKNOWN
   */
  refundStatus(refundId: string): Promise<RefundView> {
    return explained(() => refundOf(this.#deps, parseRefundId(refundId)));
  }

  /** All refunds, including those made in the merchant portal; newest first. */
  refunds(filter: RefundFilter = {}): Promise<RefundView[]> {
    return explained(() => refundsOf(this.#deps, parseFilter(filter)));
  }

  /**
   * Carries out a person's decision about a refund in review; Alipay is asked first.
   *
   * @throws PaymentError REFUND_UNKNOWN, REVIEW_REFUSED, INVALID_INPUT
   */
  resolveRefund(refundId: string, decision: ResolveRefund): Promise<RefundView> {
    return explained(() => settleRefund(this.#deps, parseRefundId(refundId), decision));
  }

  /**
   * An order's row.
   *
   * @throws PaymentError ORDER_UNKNOWN
   */
  order(orderId: string): Promise<Order> {
    return explained(() => orderOf(this.#deps, parseOrderId(orderId)));
  }

  /**
   * A payment's row.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  payment(outTradeNo: string): Promise<Payment> {
    return explained(() => requirePayment(this.#deps.db, parseOutTradeNo(outTradeNo)));
  }

  /** The rows of payments, newest first; 50 by default. */
  payments(
    filter: { status?: StoredPaymentStatus; orderId?: string; limit?: number } = {},
  ): Promise<Payment[]> {
    return explained(() => listPayments(this.#deps.db, parseFilter(filter)));
  }

  /** Payments that wait for {@link resolveReview}, the longest waiting first. */
  reviews({ limit = 50 }: { limit?: number } = {}): Promise<Payment[]> {
    return explained(() => listReviews(this.#deps.db, limit));
  }

  /**
   * Genuine notifications of payments that are not here, newest first: money without an order. `all` includes those
   * that a person has dealt with.
   */
  unmatched({ limit = 50, all = false }: { limit?: number; all?: boolean } = {}): Promise<
    UnmatchedNotification[]
  > {
    return explained(() => listUnmatched(this.#deps.db, { limit, all }));
  }

  /**
   * Marks an unmatched notification as dealt with by a person. The row stays and records who resolved it and how.
   *
   * @throws PaymentError INVALID_INPUT, NOTIFICATION_UNKNOWN, NOTIFICATION_RESOLVED
   */
  resolveUnmatched(resolution: UnmatchedResolution): Promise<UnmatchedNotification> {
    return explained(() => resolveUnmatched(this.#deps.db, parseResolution(resolution)));
  }

  /** Every merchant of this database, with the number of its open payments and whether this client has it. */
  merchants(): Promise<ListedMerchant[]> {
    return explained(() => merchantsOf(this.#deps));
  }

  /**
   * Corrects a merchant that was registered with a wrong seller id: from now on its orders and payments belong to the
   * right one.
   *
   * @throws PaymentError INVALID_INPUT, NOT_FOUND
   */
  correctMerchant(correction: MerchantCorrection): Promise<CorrectedMerchant> {
    return explained(() => correctMerchant(this.#deps.db, parseCorrection(correction)));
  }

  /**
   * Recovers after Temporal's store was restored from a backup made at `since` (ISO 8601): makes planned checks at
   * once, sends results told since then again with their old ids, and ends reviews decided since. `dryRun` only counts.
   *
   * @throws PaymentError INVALID_INPUT
   */
  recover(input: { since: string; actor: string; dryRun?: boolean }): Promise<Recovery> {
    return explained(() => recoverRestored(this.#deps, input));
  }

  /**
   * The runs of a payment's workflow that Temporal still keeps, oldest first.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  runs(outTradeNo: string): Promise<PaymentRun[]> {
    return explained(() => runsOf(this.#deps, parseOutTradeNo(outTradeNo)));
  }

  /** What happened to a payment, oldest first. */
  events(outTradeNo: string): Promise<PaymentEvent[]> {
    return explained(() => findEvents(this.#deps.db, parseOutTradeNo(outTradeNo)));
  }

  /**
   * A payment's state: its row's and, if it is open and its workflow responds, what the workflow knows of the checks.
   * UNCONFIRMED: the row is UNPAID, and its checks are over.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  status(outTradeNo: string): Promise<PaymentState> {
    return explained(() => statusOf(this.#deps, parseOutTradeNo(outTradeNo)));
  }

  /**
   * Asks Alipay about a payment at once, without using up a check. What it finds is recorded.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  checkNow(outTradeNo: string): Promise<PaymentState> {
    return explained(() => checkNow(this.#deps, parseOutTradeNo(outTradeNo)));
  }

  /**
   * For a buyer who returns from the cashier: verifies that Alipay signed the URL, then asks Alipay like
   * {@link checkNow}; without a worker it fails after 8 seconds. The URL proves nothing: anybody may open it again.
   *
   * @param url the URL that was opened, its path and query, or only the query; unchanged
   * @throws PaymentError RETURN_FORGED, PAYMENT_UNKNOWN
   */
  verifyReturn(url: string): Promise<ReturnedPayment> {
    return explained(() => verifyReturn(this.#deps, url));
  }

  /**
   * Carries out a person's decision about a payment in review; Alipay is asked first.
   *
   * @throws PaymentError PAYMENT_UNKNOWN, REVIEW_REFUSED, INVALID_INPUT
   */
  resolveReview(outTradeNo: string, decision: ResolveReview): Promise<PaymentState> {
    return explained(() => decide(this.#deps, parseOutTradeNo(outTradeNo), parseDecision(decision)));
  }

  /**
   * Carries out one decision about all payments in review for the same reason, each by the rules of
   * {@link resolveReview}. With `dryRun` it only lists them.
   *
   * @throws PaymentError INVALID_INPUT, NOT_FOUND if there is no such merchant
   */
  resolveReviews(decision: ListDecision): Promise<ListDecided> {
    return explained(() => decideList(this.#deps, decision));
  }

  /**
   * Takes a notification from Alipay: the raw form body, ideally as bytes, or its parsed fields (not verifiable if
   * Alipay sends GBK). Send Alipay exactly the word that this returns. A forgery is `fail`, never an error.
   */
  handleNotify(body: NotificationBody): Promise<NotifyAnswer> {
    const taking = explained(() => soon(this.#deps.temporal, () => handleNotification(this.#deps, body)));
    return observed(taking, (outcome, code) => this.#deps.observer.notification(outcome, { code }));
  }

  /**
   * The results of an order, told or yet to be told, in the order of telling.
   *
   * @throws PaymentError ORDER_UNKNOWN
   */
  results(orderId: string): Promise<OrderMessage[]> {
    return explained(() => resultsOf(this.#deps.db, parseOrderId(orderId)));
  }

  /** The results of all orders that the order service has not taken, the longest waiting first. */
  undelivered({ limit = 50 }: { limit?: number } = {}): Promise<OrderMessage[]> {
    return explained(() => listUndelivered(this.#deps.db, limit));
  }

  /**
   * Makes the next follow-up resend an order's results with their old ids; a skipped one only by its `messageId`.
   *
   * @throws PaymentError INVALID_INPUT, ORDER_UNKNOWN, NOT_FOUND
   */
  resendResults(input: Resending): Promise<OrderMessage[]> {
    return explained(() => resend(this.#deps.db, input));
  }

  /**
   * Skips an undelivered result, so that later ones of its order are told. Refused within a minute after it was sent:
   * the order service may still act on it.
   *
   * @throws PaymentError INVALID_INPUT, ORDER_UNKNOWN, NOT_FOUND, RESULT_TOLD, ORDER_SERVICE_BUSY
   */
  skipResult(decision: MessageDecision): Promise<OrderMessage> {
    return explained(() => skip(this.#deps.db, decision));
  }

  /** Whether Postgres is up and migrated and Temporal has our namespace; `reason`: the first failure. Never throws. */
  health(): Promise<Health> {
    return healthOf(this.#deps);
  }

  /** Closes the connections to Postgres and Temporal. */
  async close(): Promise<void> {
    await this.#deps.db.destroy();
    await this.#deps.temporal.connection.close();
  }
}
