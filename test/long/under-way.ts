import type { SweepReport } from '../../workflows/messages';
import { orderWorkflowId, paymentWorkflowId } from '../../workflows/messages';
import { waitFor } from '../support';
import type { Story } from '../integration/story';

/** The server retries a task that failed on a bad build with ever longer pauses. */
const SLOW = 150_000;

/** Payments of every kind that a change of workers can meet, each in the middle of something. */
export class UnderWay {
  readonly orderIds: string[] = [];
  readonly #names = new Map<string, { orderId: string; outTradeNo: string }>();
  readonly #tabs: string[] = [];
  #sweep: Promise<SweepReport> | undefined;

  private constructor(private readonly story: Story) {}

  /** Brings one payment to each stage, with the current workers. */
  static async place(story: Story): Promise<UnderWay> {
    const all = new UnderWay(story);
    await Promise.all([
      all.#checkOut('between checks'),
      all.#checkOut('closed by its timer', { closeBy: 'timer', expiresIn: '20s' }),
      all.#beInReview('in review'),
      all.#beRefunded('being refunded'),
      all.#checkOut('notified before').then((no) => story.pay(no, { notify: true })),
    ]);
    await waitFor(async () => (await story.shop.payments.status(all.no('between checks'))).checks > 0, {
      what: 'the first check to be made',
      timeoutMs: SLOW,
    });
    const later = ['asleep', 'notified', 'never paid', 'swept', 'asked about'];
    await Promise.all(later.map((name) => all.#checkOut(name)));
    // A run belongs to the build that did its first workflow task: to these workers, not to those that come next.
    await Promise.all(later.map((name) => story.asleep(all.no(name))));
    return all;
  }

  /** While both builds serve: buyers pay, Alipay notifies, operators query, the sweep runs, and new payments begin. */
  async goOn(): Promise<void> {
    const { story } = this;
    const { control } = story.shop.alipay;
    const swept = this.#names.get('swept');
    await story.expire(swept?.orderId ?? '');
    await control.fault({ mode: 'hang', outTradeNo: swept?.outTradeNo ?? '', times: 1 });
    this.#sweep = story.sweep({ pageSize: 2 });
    await Promise.all([
      story.pay(this.no('between checks')),
      story.pay(this.no('notified'), { notify: true }),
      this.#answered(() => story.shop.payments.checkNow(this.no('asked about'))),
      this.#checkOut('born meanwhile').then((no) => story.pay(no)),
    ]);
    await story.until(this.no('notified'), 'PAID', SLOW);
  }

  /** With the remaining workers: what is owed is done, and what is never paid is closed. */
  async comeToRest(): Promise<void> {
    const { story } = this;
    await story.pay(this.no('asleep'));
    const decision = { to: 'PAID', actor: 'a test', reason: 'the amount is right at Alipay' } as const;
    await this.#answered(() => story.shop.payments.resolveReview(this.no('in review'), decision));
    await this.#sweep;
    for (const name of ['notified before', 'notified', 'in review', 'being refunded'])
      await story.until(this.no(name), 'PAID', SLOW);
    for (const name of ['between checks', 'born meanwhile', 'asleep']) await this.#beFoundPaid(name);
    for (const tab of this.#tabs) await story.until(tab, 'REFUNDED', SLOW);
    await story.until(this.no('closed by its timer'), 'CLOSED', SLOW);
    await this.#closeTheRest();
    await Promise.all(this.#payments.map((no) => story.ended(no)));
    for (const orderId of this.orderIds) await story.told(orderId, 1);
  }

  /** A person whose update finds the run's task delayed is told so, and tries again. */
  #answered<T>(ask: () => Promise<T>): Promise<T> {
    return waitFor(ask, { what: 'an answer', timeoutMs: SLOW, everyMs: 1_000 });
  }

  /** The workflows of all these payments and orders. */
  get workflowIds(): string[] {
    return [...this.#payments.map(paymentWorkflowId), ...this.orderIds.map(orderWorkflowId)];
  }

  no(name: string): string {
    const found = this.#names.get(name);
    if (!found) throw new Error(`no payment is ${name}`);
    return found.outTradeNo;
  }

  get #payments(): string[] {
    return [...[...this.#names.values()].map(({ outTradeNo }) => outTradeNo), ...this.#tabs];
  }

  async #checkOut(name: string, more: Parameters<Story['checkOut']>[0] = {}): Promise<string> {
    const checkout = await this.story.checkOut(more);
    this.#names.set(name, checkout);
    this.orderIds.push(checkout.orderId);
    return checkout.outTradeNo;
  }

  async #beInReview(name: string): Promise<void> {
    const outTradeNo = await this.#checkOut(name);
    await this.story.payTooMuch(outTradeNo);
    await this.story.shop.payments.checkNow(outTradeNo);
    await this.story.until(outTradeNo, 'REVIEW', SLOW);
  }

  /** Paid in two tabs; the refund of the second fails at first, and is retried ten seconds later. */
  async #beRefunded(name: string): Promise<void> {
    const first = await this.#checkOut(name);
    const { orderId } = await this.story.shop.payments.payment(first);
    const { outTradeNo } = await this.story.secondTab(orderId, `${first}x2`);
    this.#tabs.push(outTradeNo);
    await this.story.pay(first, { notify: true });
    await this.story.until(first, 'PAID', SLOW);
    const fault = { mode: 'http-500', method: 'alipay.trade.refund', outTradeNo, times: 1 } as const;
    await this.story.shop.alipay.control.fault(fault);
    await this.story.pay(outTradeNo, { notify: true });
    await this.story.until(outTradeNo, 'REFUNDING', SLOW);
  }

  /** By a check; or, if on a slow machine all checks were over before the buyer paid, by the sweep. */
  async #beFoundPaid(name: string): Promise<void> {
    const { story } = this;
    const { orderId, outTradeNo } = this.#names.get(name) ?? { orderId: '', outTradeNo: '' };
    const isFound = async (): Promise<boolean> => {
      if ((await story.status(outTradeNo)) === 'PAID') return true;
      if (await story.isRunning(outTradeNo)) return false;
      await story.expire(orderId);
      await story.sweep();
      return false;
    };
    await waitFor(isFound, { what: `${name} to be PAID`, timeoutMs: SLOW, everyMs: 300 });
  }

  async #closeTheRest(): Promise<void> {
    const unpaid = ['never paid', 'asked about'].map((name) => this.#names.get(name)?.orderId ?? '');
    await this.story.expire(...unpaid);
    const open = async () =>
      this.story.shop.sql(`SELECT 1 FROM orders WHERE status = 'UNPAID' AND id = ANY(:orderIds)`, {
        orderIds: this.orderIds,
      });
    await waitFor(
      async () => {
        await this.story.sweep();
        return (await open()).length === 0;
      },
      { what: 'no order to be UNPAID', timeoutMs: SLOW, everyMs: 500 },
    );
  }
}
