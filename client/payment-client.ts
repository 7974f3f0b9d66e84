import { Client, Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import type { NotificationBody } from '../activities/alipay/notification';
import { openGateway } from '../activities/alipay/open';
import { openDatabase } from '../db/connect';
import type { CorrectedMerchant, MerchantCorrection } from '../db/merchants';
import { correctMerchant } from '../db/merchants';
import type { ClockedOrder, Order } from '../db/orders';
import type { PaymentEvent } from '../db/payment-events';
import { findEvents } from '../db/payment-events';
import type { Payment } from '../db/payments';
import { listPayments, listReviews } from '../db/payments';
import type { Recovery } from '../db/recovery';
import { recoverByHand } from '../db/recovery';
import type { UnmatchedNotification, UnmatchedResolution } from '../db/unmatched-notifications';
import { listUnmatched, resolveUnmatched } from '../db/unmatched-notifications';
import { readConfig } from '../worker/config';
import { createLogger } from '../worker/log';
import { dataConverterWith } from '../worker/payload-codec';
import { readTemporalConfig } from '../worker/temporal-config';
import { clientTracing } from '../worker/tracing';
import type {
  CloseOrderInput,
  PaymentState,
  ResolveReview,
  StoredPaymentStatus,
} from '../workflows/messages';
import type { Checkout, CheckoutInput, OrderInput } from './checkout';
import { checkOut, registerOrder } from './checkout';
import type { ClientDependencies } from './client-dependencies';
import { callTemporal } from './client-dependencies';
import { explain } from './dependencies';
import { FollowUpControl } from './follow-up';
import {
  parseCloseInput,
  parseCorrection,
  parseDecision,
  parseOrderInput,
  parseRecovery,
  parseResolution,
} from './input';
import type { NotifyAnswer } from './notifications';
import { handleNotification } from './notifications';
import type { Observer } from './observer';
import { NO_OBSERVER, observed } from './observer';
import type { Health, ListedMerchant, PaymentRun } from './operations';
import {
  cancelOrder,
  checkNow,
  decide,
  healthOf,
  merchantsOf,
  requireOrder,
  requirePayment,
  runsOf,
  statusOf,
} from './operations';
import { SweepControl } from './sweep';

/** What can be done about the follow-up. */
export type FollowUps = Pick<FollowUpControl, 'run' | 'pause' | 'resume'>;

/** What can be done about the sweep. */
export type Sweeps = Pick<SweepControl, 'install' | 'run' | 'report' | 'pause' | 'resume'>;

export type { CorrectedMerchant, MerchantCorrection } from '../db/merchants';
export type { Recovery } from '../db/recovery';
export type { Order } from '../db/orders';
export type { PaymentEvent } from '../db/payment-events';
export type { Payment } from '../db/payments';
export type { NotifyAnswer } from './notifications';
export type { UnmatchedNotification, UnmatchedResolution } from '../db/unmatched-notifications';
export type { ScheduleState } from './schedules';
export type { InstalledSchedules, LastSweep } from './sweep';
export type { Checkout, CheckoutInput, OrderInput } from './checkout';
export type { PaymentSettings } from './client-dependencies';
export type { Health, ListedMerchant, PaymentRun } from './operations';
export { PaymentError } from '../workflows/errors';

export type PaymentClientDependencies = Omit<ClientDependencies, 'observer'> & {
  /** Who counts what is done. Default: nobody. */
  observer?: Observer;
};

/**
 * What checkout, the notify endpoint and operators call. It needs no worker in its process.
 *
 * Every method throws {@link PaymentError}: its `code` is one of the registry's, its `status` the HTTP status that
 * fits. DATABASE_UNAVAILABLE, TEMPORAL_UNAVAILABLE and ALIPAY_UNAVAILABLE can come from any of them, and repeating
 * the call is then safe.
 */
export class PaymentClient {
  /** The sweep's Schedule, a sweep by hand, and the last report. */
  readonly sweep: Sweeps;
  /** The follow-up's Schedule, and a follow-up by hand. */
  readonly followUp: FollowUps;
  readonly #deps: ClientDependencies;

  constructor(deps: PaymentClientDependencies) {
    this.#deps = { observer: NO_OBSERVER, ...deps };
    this.sweep = guarded(new SweepControl(deps.temporal, deps.settings.sweep));
    this.followUp = guarded(new FollowUpControl(deps.temporal));
  }

  /**
   * A client with the settings of the environment (see the README's table). Nothing is connected until the first
   * call, and a connection that is lost comes back by itself.
   *
   * @throws PaymentError CONFIG_INVALID that names every fault at once
   */
  static async connect(
    env: NodeJS.ProcessEnv = process.env,
    { log, observer }: { log?: Logger; observer?: Observer } = {},
  ): Promise<PaymentClient> {
    const config = readConfig(env, { needs: ['database', 'alipay', 'payments', 'sweep', 'payloads', 'log'] });
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
      alipay: openGateway(db, config.alipay),
      settings: { ...config.payments, sweep: config.sweep },
      log: log ?? createLogger({ name: 'client', env }),
      ...(observer && { observer }),
    });
  }

  /**
   * Registers an order, or finds it registered: the first registration wins.
   *
   * @throws PaymentError INVALID_INPUT, MERCHANT_DIFFERS, AMOUNT_DIFFERS
   */
  registerOrder(input: OrderInput): Promise<Order> {
    return this.#guard(async () => withoutClock(await registerOrder(this.#deps, parseOrderInput(input))));
  }

  /**
   * The buyer wants to pay: registers the order if that has not been done, opens its payment, starts the workflow
   * that will know what became of it, and answers where the buyer pays. Repeating it gives the same payment.
   *
   * @throws PaymentError INVALID_INPUT, MERCHANT_DIFFERS, AMOUNT_DIFFERS, ORDER_PAID, ORDER_CLOSED, ORDER_EXPIRED, ORDER_HELD,
   *   OUT_TRADE_NO_TAKEN, PAYMENT_SETTLED
   */
  async checkout(input: CheckoutInput): Promise<Checkout> {
    const { observer } = this.#deps;
    const opening = this.#guard(() => checkOut(this.#deps, input));
    const done = await observed(opening, (outcome, code) => observer.checkout(outcome, code));
    observer.checkout('opened');
    return done;
  }

  /**
   * Cancels an order for the shop, safely: Alipay is asked first and told to close the trade.
   *
   * @throws PaymentError INVALID_INPUT, ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD (the sweep closes it later)
   */
  closeOrder(input: CloseOrderInput): Promise<Order> {
    return this.#guard(async () => withoutClock(await cancelOrder(this.#deps, parseCloseInput(input))));
  }

  /** @throws PaymentError ORDER_UNKNOWN */
  order(orderId: string): Promise<Order> {
    return this.#guard(async () => withoutClock(await requireOrder(this.#deps, orderId)));
  }

  /** @throws PaymentError PAYMENT_UNKNOWN */
  payment(outTradeNo: string): Promise<Payment> {
    return this.#guard(() => requirePayment(this.#deps, outTradeNo));
  }

  /** Newest first. */
  payments(
    filter: { status?: StoredPaymentStatus; orderId?: string; limit?: number } = {},
  ): Promise<Payment[]> {
    return this.#guard(() => listPayments(this.#deps.db, filter));
  }

  /** Payments that wait for {@link resolveReview}, the longest waiting first. */
  reviews({ limit = 50 }: { limit?: number } = {}): Promise<Payment[]> {
    return this.#guard(() => listReviews(this.#deps.db, limit));
  }

  /**
   * Genuine notifications of payments that are not here, newest first: money without an order. `all` tells of those
   * too that somebody has dealt with.
   */
  unmatched({ limit = 50, all = false }: { limit?: number; all?: boolean } = {}): Promise<
    UnmatchedNotification[]
  > {
    return this.#guard(() => listUnmatched(this.#deps.db, { limit, all }));
  }

  /**
   * A person has dealt with an unmatched notification: it counts no longer. The row stays, with who and what was done.
   *
   * @throws PaymentError INVALID_INPUT, NOTIFICATION_UNKNOWN, NOTIFICATION_RESOLVED
   */
  resolveUnmatched(resolution: UnmatchedResolution): Promise<UnmatchedNotification> {
    return this.#guard(() => resolveUnmatched(this.#deps.db, parseResolution(resolution)));
  }

  /** Every merchant of this database, with the number of its open payments, and whether this client has it. */
  merchants(): Promise<ListedMerchant[]> {
    return this.#guard(() => merchantsOf(this.#deps));
  }

  /**
   * A person says that a merchant was registered with a wrong seller id: its orders and payments belong to the right one
   * from now on.
   *
   * @throws PaymentError INVALID_INPUT, NOT_FOUND
   */
  correctMerchant(correction: MerchantCorrection): Promise<CorrectedMerchant> {
    return this.#guard(() => correctMerchant(this.#deps.db, parseCorrection(correction)));
  }

  /**
   * After Temporal's store was restored from a backup of the time `since` (ISO 8601): planned checks are made at once, and
   * results told since are told again with their old ids. `dryRun` only counts.
   *
   * @throws PaymentError INVALID_INPUT
   */
  recover(input: { since: string; actor: string; dryRun?: boolean }): Promise<Recovery> {
    return this.#guard(async () => {
      const { since, actor, dryRun = false } = parseRecovery(input);
      return recoverByHand(this.#deps.db, { since, actor, dryRun });
    });
  }

  /**
   * The runs of a payment's workflow that Temporal still keeps, oldest first.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  runs(outTradeNo: string): Promise<PaymentRun[]> {
    return this.#guard(() => runsOf(this.#deps, outTradeNo));
  }

  /** What happened to a payment, oldest first. */
  events(outTradeNo: string): Promise<PaymentEvent[]> {
    return this.#guard(() => findEvents(this.#deps.db, outTradeNo));
  }

  /**
   * Where a payment stands: its workflow's own word, or the row's where no workflow can answer.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  status(outTradeNo: string): Promise<PaymentState> {
    return this.#guard(() => statusOf(this.#deps, outTradeNo));
  }

  /**
   * Asks Alipay about a payment at once; uses up no check. What it finds is recorded.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  checkNow(outTradeNo: string): Promise<PaymentState> {
    return this.#guard(() => checkNow(this.#deps, outTradeNo));
  }

  /**
   * Carries out a person's decision about a payment in review; Alipay is asked first.
   *
   * @throws PaymentError PAYMENT_UNKNOWN, REVIEW_REFUSED, INVALID_INPUT
   */
  resolveReview(outTradeNo: string, decision: ResolveReview): Promise<PaymentState> {
    return this.#guard(() => decide(this.#deps, outTradeNo, parseDecision(decision)));
  }

  /**
   * Takes a notification of Alipay: the raw form body, best as bytes, or its parsed fields (which cannot be verified where
   * Alipay sends GBK). Answer Alipay with exactly the word that comes back. A forged one is `fail`, never an error.
   */
  handleNotify(body: NotificationBody): Promise<NotifyAnswer> {
    const taking = this.#guard(() =>
      callTemporal(this.#deps.temporal, () => handleNotification(this.#deps, body)),
    );
    return observed(taking, (outcome, code) => this.#deps.observer.notification(outcome, code));
  }

  /** Whether the dependencies answer; `reason` says why the first that does not. Never throws. */
  health(): Promise<Health> {
    return healthOf(this.#deps);
  }

  async close(): Promise<void> {
    await this.#deps.db.destroy();
    await this.#deps.temporal.connection.close();
  }

  async #guard<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw explain(error);
    }
  }
}

/** The same object, whose methods explain what they throw. */
function guarded<T extends object>(target: T): T {
  return new Proxy(target, {
    get(of, name) {
      const value: unknown = Reflect.get(of, name, of);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        try {
          return await (value as (...all: unknown[]) => Promise<unknown>).apply(of, args);
        } catch (error) {
          throw explain(error);
        }
      };
    },
  });
}

function withoutClock(clocked: ClockedOrder): Order {
  const { expired, remainingMs, ...order } = clocked;
  return order;
}
