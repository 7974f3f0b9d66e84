import { randomBytes } from 'node:crypto';
import {
  Client,
  Connection,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import type { Logger } from 'pino';
import { toBeijing } from '../activities/alipay/beijing';
import { AlipayError } from '../activities/alipay/errors';
import type { AlipayGateway } from '../activities/alipay/gateway';
import type { NotificationBody } from '../activities/alipay/notification';
import { openGateway } from '../activities/alipay/open';
import { ORDER_ID_ATTRIBUTE, OUT_TRADE_NO_ATTRIBUTE, inSpan } from '../activities/spans';
import { updatePayment, watchPayment } from '../activities/payment-workflow';
import type { Database } from '../db/connect';
import { openDatabase, row } from '../db/connect';
import { openPayment, registerOrder, unknownOrder, unknownPayment } from '../db/ledger';
import type { CorrectedMerchant, MerchantCorrection, MerchantWithOpen } from '../db/merchants';
import { correctMerchant, listMerchants, merchantId } from '../db/merchants';
import type { ClockedOrder, Order } from '../db/orders';
import { findOrder } from '../db/orders';
import type { PaymentEvent } from '../db/payment-events';
import { findEvents } from '../db/payment-events';
import type { Payment } from '../db/payments';
import { findPayment, listPayments, listReviews } from '../db/payments';
import type { Recovery } from '../db/recovery';
import { recoverByHand } from '../db/recovery';
import type { UnmatchedNotification, UnmatchedResolution } from '../db/unmatched-notifications';
import { listUnmatched, resolveUnmatched } from '../db/unmatched-notifications';
import { readConfig } from '../worker/config';
import { createLogger } from '../worker/log';
import { dataConverterWith } from '../worker/payload-codec';
import { clientTracing } from '../worker/tracing';
import { PaymentError, isErrorCode } from '../workflows/errors';
import type { closeOrder } from '../workflows/close-order';
import type {
  CloseBy,
  CloseOrderInput,
  PaymentState,
  Product,
  ResolveReview,
  StoredPaymentStatus,
  UpdateName,
} from '../workflows/messages';
import {
  QUERIES,
  TASK_QUEUES,
  UPDATES,
  WORKFLOWS,
  closeWorkflowId,
  paymentWorkflowId,
} from '../workflows/messages';
import { explain } from './dependencies';
import {
  parseCheckoutInput,
  parseCloseInput,
  parseCorrection,
  parseDecision,
  parseDuration,
  parseOrderInput,
  parseRecovery,
  parseResolution,
} from './input';
import { FollowUpControl } from './follow-up';
import type { NotifyAnswer } from './notifications';
import { handleNotification } from './notifications';
import type { Observer } from './observer';
import { NO_OBSERVER, observed } from './observer';
import type { SweepSettings } from '../worker/schedules';
import { SweepControl } from './sweep';
import { readTemporalConfig } from '../worker/temporal-config';

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
export { PaymentError } from '../workflows/errors';

/** An order as the shop places it. */
export interface OrderInput {
  /** 1 to 64 of `A-Z a-z 0-9 _ -`. */
  orderId: string;
  /** What the buyer reads at the cashier: 1 to 256 characters, none of `/ = &`. */
  subject: string;
  /** Yuan, like `"12.30"`. */
  totalAmount: string;
  /** How long it may stay unpaid, like `"30m"`. Default: `ORDER_TTL`. */
  expiresIn?: string;
  /** Who closes it when it expires. Default: the sweep. */
  closeBy?: CloseBy;
}

export interface CheckoutInput extends OrderInput {
  /** 1 to 64 of `A-Z a-z 0-9 _`. Default: the order's open payment, or a new one. */
  outTradeNo?: string;
  /** Default: `page`. */
  product?: Product;
}

export interface Checkout {
  orderId: string;
  outTradeNo: string;
  /** Where the buyer pays: a URL, or for `precreate` the content of a QR code. */
  paymentUrl: string;
  workflowId: string;
}

/** A merchant of the database. */
export interface ListedMerchant extends MerchantWithOpen {
  /** Whether this process is configured with it. */
  configured: boolean;
}

/** One run of a payment's workflow. */
export interface PaymentRun {
  runId: string;
  /** Temporal's word: RUNNING, COMPLETED, FAILED … */
  status: string;
  startedAt: Date;
  /** Null while it runs. */
  endedAt: Date | null;
}

/** Durations are milliseconds. */
export interface PaymentSettings {
  checks: number;
  intervalMs: number;
  orderTtlMs: number;
  closeMarginMs: number;
  /** When Alipay is asked about a payment that stays open after its checks, ms after checkout. */
  slowChecksMs: readonly number[];
  sweep: SweepSettings;
}

export interface PaymentClientDependencies {
  temporal: Client;
  db: Database;
  alipay: AlipayGateway;
  settings: PaymentSettings;
  log: Logger;
  /** Who counts what is done. Default: nobody. */
  observer?: Observer;
}

/** One call of Temporal that does not wait for work to be done. */
const CALL_MS = 5_000;

/** `checkNow` itself answers after 5 s; the rest is for the workers to take it up. */
const UPDATE_MS = 20_000;

/** Closing asks Alipay several times about each payment. */
const CLOSE_MS = 60_000;

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
  readonly #deps: PaymentClientDependencies & { observer: Observer };

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
    return this.#guard(async () => withoutClock(await this.#register(parseOrderInput(input))));
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
    const done = await observed(this.#checkout(input), (outcome, code) => observer.checkout(outcome, code));
    observer.checkout('opened');
    return done;
  }

  #checkout(input: CheckoutInput): Promise<Checkout> {
    return inSpan('PaymentClient.checkout', {}, (span) =>
      this.#guard(async () => {
        const { outTradeNo: given, product = 'page', ...orderInput } = parseCheckoutInput(input);
        span.setAttribute(ORDER_ID_ATTRIBUTE, orderInput.orderId);
        const { checks, intervalMs, slowChecksMs, closeMarginMs } = this.#deps.settings;
        await this.#register(orderInput);
        const { order, payment } = await openPayment(this.#deps.db, {
          orderId: orderInput.orderId,
          merchant: this.#deps.alipay.settings,
          ...(given !== undefined && { outTradeNo: given }),
          newOutTradeNo: newOutTradeNo(),
          product,
          marginMs: closeMarginMs,
          plan: { firstCheckInMs: checks > 0 ? intervalMs : null, slowChecksMs },
        });
        span.setAttribute(OUT_TRADE_NO_ATTRIBUTE, payment.outTradeNo);
        await this.#watch(order, payment);
        // Only now, when the payment is watched, may the buyer be able to pay.
        return {
          orderId: order.id,
          outTradeNo: payment.outTradeNo,
          paymentUrl: await this.#paymentUrl(order, payment),
          workflowId: paymentWorkflowId(payment.outTradeNo),
        };
      }),
    );
  }

  /**
   * Cancels an order for the shop, safely: Alipay is asked first and told to close the trade.
   *
   * @throws PaymentError INVALID_INPUT, ORDER_UNKNOWN, ORDER_PAID, ORDER_HELD (the sweep closes it later)
   */
  closeOrder(input: CloseOrderInput): Promise<Order> {
    return this.#guard(async () => {
      const parsed = parseCloseInput(input);
      await this.#findOrder(parsed.orderId);
      await this.#closed(parsed);
      return withoutClock(await this.#findOrder(parsed.orderId));
    });
  }

  /** @throws PaymentError ORDER_UNKNOWN */
  order(orderId: string): Promise<Order> {
    return this.#guard(async () => withoutClock(await this.#findOrder(orderId)));
  }

  /** @throws PaymentError PAYMENT_UNKNOWN */
  payment(outTradeNo: string): Promise<Payment> {
    return this.#guard(() => this.#findPayment(outTradeNo));
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
    return this.#guard(async () => {
      const ours = merchantId(this.#deps.alipay.settings);
      const found = await listMerchants(this.#deps.db);
      return found.map((merchant) => ({ ...merchant, configured: merchant.id === ours }));
    });
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
    return this.#guard(async () => {
      await this.#findPayment(outTradeNo);
      const query = `WorkflowId = '${paymentWorkflowId(outTradeNo)}'`;
      const runs: PaymentRun[] = [];
      await this.#call(async () => {
        for await (const run of this.#deps.temporal.workflow.list({ query })) {
          const { runId, status, startTime, closeTime } = run;
          runs.push({ runId, status: status.name, startedAt: startTime, endedAt: closeTime ?? null });
        }
      });
      return runs.sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime());
    });
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
    return this.#guard(async () => {
      const { status, checks } = await this.#findPayment(outTradeNo);
      try {
        return await this.#call(() =>
          this.#deps.temporal.workflow
            .getHandle(paymentWorkflowId(outTradeNo))
            .query<PaymentState>(QUERIES.payment),
        );
      } catch (error) {
        if (!(error instanceof WorkflowNotFoundError) && !isUnavailable(explain(error))) throw error;
        return { outTradeNo, status, checks, nextCheckAt: null, lastAnswer: null };
      }
    });
  }

  /**
   * Asks Alipay about a payment at once; uses up no check. What it finds is recorded.
   *
   * @throws PaymentError PAYMENT_UNKNOWN
   */
  checkNow(outTradeNo: string): Promise<PaymentState> {
    return this.#guard(async () => this.#update(await this.#findPayment(outTradeNo), UPDATES.checkNow, []));
  }

  /**
   * Carries out a person's decision about a payment in review; Alipay is asked first.
   *
   * @throws PaymentError PAYMENT_UNKNOWN, REVIEW_REFUSED, INVALID_INPUT
   */
  resolveReview(outTradeNo: string, decision: ResolveReview): Promise<PaymentState> {
    return this.#guard(async () =>
      this.#update(await this.#findPayment(outTradeNo), UPDATES.resolveReview, [parseDecision(decision)]),
    );
  }

  /**
   * Takes a notification of Alipay: the raw form body, best as bytes, or its parsed fields (which cannot be verified where
   * Alipay sends GBK). Answer Alipay with exactly the word that comes back. A forged one is `fail`, never an error.
   */
  handleNotify(body: NotificationBody): Promise<NotifyAnswer> {
    const taking = this.#guard(() => this.#call(() => handleNotification(this.#deps, body)));
    return observed(taking, (outcome, code) => this.#deps.observer.notification(outcome, code));
  }

  /** Whether the dependencies answer; `reason` says why the first that does not. Never throws. */
  async health(): Promise<{ database: boolean; temporal: boolean; reason?: string }> {
    const { db, temporal } = this.#deps;
    const answers = await Promise.allSettled([
      row(db, 'SELECT 1 AS up'),
      temporal.withDeadline(Date.now() + CALL_MS, () => temporal.workflowService.getSystemInfo({})),
    ]);
    const [database, server] = answers.map(({ status }) => status === 'fulfilled');
    const failed = answers.find((answer) => answer.status === 'rejected');
    const error = explain(failed?.reason);
    return {
      database: database === true,
      temporal: server === true,
      ...(error instanceof PaymentError && { reason: error.message }),
    };
  }

  async close(): Promise<void> {
    await this.#deps.db.destroy();
    await this.#deps.temporal.connection.close();
  }

  #register(input: OrderInput): Promise<ClockedOrder> {
    const { orderTtlMs, closeMarginMs } = this.#deps.settings;
    const { orderId, subject, totalAmount, expiresIn, closeBy = 'sweep' } = input;
    const ttlMs = expiresIn === undefined ? orderTtlMs : parseDuration(expiresIn);
    if (ttlMs <= 2 * closeMarginMs) {
      throw new PaymentError(
        'INVALID_INPUT',
        `expiresIn must be more than ${(2 * closeMarginMs) / 1_000} s (twice CLOSE_MARGIN), or nobody could pay in time`,
      );
    }
    const merchant = this.#deps.alipay.settings;
    return registerOrder(this.#deps.db, { orderId, subject, totalAmount, closeBy, merchant, ttlMs });
  }

  async #watch(order: ClockedOrder, payment: Payment): Promise<void> {
    const { checks, intervalMs } = this.#deps.settings;
    await this.#call(() =>
      watchPayment(this.#deps.temporal, payment, {
        outTradeNo: payment.outTradeNo,
        checks,
        intervalMs,
        closeBy: order.closeBy,
        deadline: order.expiresAt.toISOString(),
      }),
    );
  }

  async #paymentUrl(
    order: ClockedOrder,
    { outTradeNo, product, totalAmount, timeExpire }: Payment,
  ): Promise<string> {
    try {
      return await this.#deps.alipay.payUrl({
        outTradeNo,
        subject: order.subject,
        totalAmount,
        product,
        timeExpire: timeExpire ?? order.expiresAt,
      });
    } catch (error) {
      if (!(error instanceof AlipayError)) throw error;
      throw new PaymentError('ALIPAY_UNAVAILABLE', 'Alipay gave no QR code. Trying again is safe.', {
        cause: error,
      });
    }
  }

  async #closed(input: CloseOrderInput): Promise<void> {
    const { temporal } = this.#deps;
    try {
      await temporal.withDeadline(Date.now() + CLOSE_MS, () =>
        temporal.workflow.execute<typeof closeOrder>(WORKFLOWS.closeOrder, {
          workflowId: closeWorkflowId(input.orderId),
          workflowIdConflictPolicy: 'USE_EXISTING',
          taskQueue: TASK_QUEUES.payments,
          args: [input],
          staticSummary: `Close order ${input.orderId}`,
          staticDetails: `The shop cancels order \`${input.orderId}\`: Alipay is asked and told first. It fails with ORDER_PAID or ORDER_HELD.`,
        }),
      );
    } catch (error) {
      throw error instanceof WorkflowFailedError ? fromFailure(error.cause) : error;
    }
  }

  async #update(payment: Payment, update: UpdateName, args: [] | [ResolveReview]): Promise<PaymentState> {
    const { temporal } = this.#deps;
    try {
      return await temporal.withDeadline(Date.now() + UPDATE_MS, () =>
        updatePayment(temporal, payment, update, args),
      );
    } catch (error) {
      throw error instanceof WorkflowUpdateFailedError ? fromFailure(error.cause) : error;
    }
  }

  async #findOrder(orderId: string): Promise<ClockedOrder> {
    const order = await findOrder(this.#deps.db, orderId);
    if (!order) throw unknownOrder(orderId);
    return order;
  }

  async #findPayment(outTradeNo: string): Promise<Payment> {
    const payment = await findPayment(this.#deps.db, outTradeNo);
    if (!payment) throw unknownPayment(outTradeNo);
    return payment;
  }

  #call<T>(call: () => Promise<T>): Promise<T> {
    return this.#deps.temporal.withDeadline(Date.now() + CALL_MS, call);
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

/** Sortable by time, so that a person sees which is newer: 14 digits of Beijing time, then 72 random bits. */
function newOutTradeNo(): string {
  return toBeijing(new Date()).replace(/\D/g, '') + randomBytes(9).toString('hex');
}

const isUnavailable = (error: unknown): boolean => error instanceof PaymentError && error.status === 503;

/** The failure that ended a workflow or an update, as an error of the interface. */
function fromFailure(cause: Error | undefined): Error {
  const failure = cause instanceof ActivityFailure ? cause.cause : cause;
  if (failure instanceof ApplicationFailure && failure.type?.startsWith('ALIPAY_')) {
    return new PaymentError('ALIPAY_UNAVAILABLE', `${failure.message}. Trying again is safe.`, { cause });
  }
  if (failure instanceof ApplicationFailure && isErrorCode(failure.type)) {
    return new PaymentError(failure.type, failure.message, { cause });
  }
  return cause ?? new Error('the workflow failed');
}
