import { Answers, page, transportFault, type Outcome } from './answers';
import { readBiz, readOrder, type Biz } from './biz';
import { orderPage, refusalPage } from './cashier';
import { checkEntry, invalid, missing, PAGE_METHODS, type EarlyError, type EntryRules } from './early';
import type { Fault, Faults } from './faults';
import type { CallEntry, Journal } from './journal';
import { decide, type Decision, type MethodContext } from './methods';
import { Refusal } from './refusal';
import { payableUntil, type Order, type Trade } from './trades';
import { nodeName, readRequest, unescapeHtml, type ResponseNode, type WireRequest } from './wire';

/** What the gateway works on. */
export interface GatewayParts {
  rules: EntryRules;
  context: MethodContext;
  faults: Faults;
  journal: Journal;
}

/** `/gateway.do`: reads a request, decides it, makes it true, and says how to answer. Synchronous from end to end. */
export class Gateway {
  /** `'502'` or `'reset'` while the gateway is down. */
  down: false | '502' | 'reset' = false;
  readonly #answers: Answers;

  constructor(private readonly parts: GatewayParts) {
    const { trades } = parts.context;
    this.#answers = new Answers(parts.rules.keys.alipayPrivate, (outTradeNo) =>
      someOther(trades.all(), outTradeNo),
    );
  }

  /** Takes one HTTP request to `/gateway.do`. */
  take(query: string, body: string): Outcome {
    const request = readRequest(query, body);
    const { method = '' } = request.params;
    if (this.down !== false) return this.#outage(method, this.down);
    const early = checkEntry(request, this.parts.rules);
    if (method in PAGE_METHODS) return this.#openPage(request, method, early);
    return early === undefined ? this.#call(request, method) : this.#refuseEarly(request, method, early);
  }

  /**
   * What a buyer's browser does with a signed pay request.
   * @throws Refusal with Alipay's code
   */
  open(query: string, body: string): Order {
    const request = readRequest(query, body);
    const early = checkEntry(request, this.parts.rules);
    if (early !== undefined) throw refusalOf(early);
    const order = this.#opened(request);
    this.parts.journal.write({ kind: 'buyer', action: 'open', outTradeNo: order.outTradeNo });
    return order;
  }

  #call(request: WireRequest, method: string): Outcome {
    const { params } = request;
    const biz = readBiz(params['biz_content']);
    if (biz === undefined)
      return this.#refuseEarly(request, method, malformed(method, params['biz_content']));
    const outTradeNo = this.#outTradeNo(biz);
    const fault = this.parts.faults.strike(method, outTradeNo, false);
    const { node, events }: Decision = decide(this.parts.context, method, biz, params);
    if (fault?.when !== 'before') this.parts.context.trades.commit(events);
    const facts = { method, params, outTradeNo, node };
    const outcome =
      fault === undefined ? this.#answers.honest(facts) : this.#answers.faulty(fault.mode, facts);
    this.#write({ method, outTradeNo, bizContent: biz, fault }, outcome);
    return outcome;
  }

  #openPage(request: WireRequest, method: string, early: EarlyError | undefined): Outcome {
    const biz = readBiz(request.params['biz_content']);
    const outTradeNo = biz === undefined ? undefined : this.#outTradeNo(biz);
    const fault = this.parts.faults.strike(method, outTradeNo, true);
    const honest = () => this.#pageOf(request, early);
    const outcome = fault === undefined ? honest() : faultyPage(fault, honest);
    this.#write({ method, outTradeNo, bizContent: biz, fault }, outcome);
    return outcome;
  }

  #pageOf(request: WireRequest, early: EarlyError | undefined): Outcome {
    try {
      if (early !== undefined) throw refusalOf(early);
      const order = this.#opened(request);
      const { trades, now } = this.parts.context;
      return page(orderPage(order, trades.find(order), now()));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return page(refusalPage(error), 400);
    }
  }

  #opened({ params }: WireRequest): Order {
    const { trades, now } = this.parts.context;
    const product = PAGE_METHODS[params['method'] ?? ''];
    if (product === undefined) throw new Refusal('isv.invalid-method', 'not a pay page');
    const biz = readBiz(params['biz_content']);
    if (biz === undefined) throw new Refusal('isv.invalid-parameter', 'biz_content is not a JSON object');
    const order = readOrder(product, biz, params, now());
    const events = trades.opening(order);
    if (now() >= payableUntil(order)) throw new Refusal('EXPIRED', 'the time to pay has run out');
    trades.commit(events);
    return trades.order(order.outTradeNo) ?? order;
  }

  #refuseEarly({ params }: WireRequest, method: string, { name, node, signed }: EarlyError): Outcome {
    const facts = { method, params };
    const outcome = signed
      ? this.#answers.signed(facts, node, name)
      : this.#answers.unsigned(facts, node, name);
    this.#write({ method, bizContent: readBiz(params['biz_content']) }, outcome);
    return outcome;
  }

  #outage(method: string, down: '502' | 'reset'): Outcome {
    const outcome: Outcome =
      down === 'reset' ? { kind: 'reset' } : page('<html><body><h1>502 Bad Gateway</h1></body></html>', 502);
    this.#write({ method, fault: { mode: 'down', when: 'before' } }, outcome);
    return outcome;
  }

  #outTradeNo(biz: Biz): string | undefined {
    const tradeNo = biz['trade_no'];
    const trade = typeof tradeNo === 'string' ? this.parts.context.trades.find({ tradeNo }) : undefined;
    if (trade !== undefined) return trade.order.outTradeNo;
    const outTradeNo = biz['out_trade_no'];
    return typeof outTradeNo === 'string' ? outTradeNo : undefined;
  }

  #write(call: Pick<CallEntry, 'method' | 'outTradeNo' | 'bizContent' | 'fault'>, outcome: Outcome): void {
    const node: ResponseNode = outcome.node ?? {};
    const httpStatus = outcome.kind === 'body' ? outcome.status : outcome.kind === 'drip' ? 200 : undefined;
    this.parts.journal.write({
      kind: 'call',
      ...call,
      code: node['code'],
      subCode: node['sub_code'],
      httpStatus,
    });
  }
}

// On the wire the message is escaped for HTML; a page and a test want it as it is.
function refusalOf({ node }: EarlyError): Refusal {
  return new Refusal(node['sub_code'] ?? '', unescapeHtml(node['sub_msg'] ?? ''));
}

function faultyPage(fault: Fault, honest: () => Outcome): Outcome {
  const opened = fault.when === 'after' ? honest() : undefined;
  return (
    transportFault(fault.mode, () => opened ?? honest()) ??
    page(refusalPage(new Refusal(fault.mode, 'the cashier is not available')), 400)
  );
}

function malformed(method: string, bizContent: string | undefined): EarlyError {
  const node =
    bizContent === undefined || bizContent === ''
      ? missing('isv.missing-biz-content', '缺少biz_content参数')
      : invalid('isv.invalid-parameter', 'biz_content不是合法的JSON');
  return { name: nodeName(method), node, signed: true };
}

function someOther(trades: readonly Trade[], outTradeNo: string | undefined): Trade | undefined {
  const others = trades.filter(({ order }) => order.outTradeNo !== outTradeNo);
  return others.find(({ status }) => status === 'TRADE_SUCCESS') ?? others[0];
}
