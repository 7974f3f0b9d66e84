import type { KeyObject } from 'node:crypto';
import type { Account } from './accounts';
import { Answers, page, transportFault, type Outcome } from './answers';
import { readBiz, type Biz } from './biz';
import { orderPage, refusalPage } from './cashier';
import { checkEntry, invalid, missing, PAGE_METHODS, type EarlyError, type EntryRules } from './early';
import type { Fault, Faults } from './faults';
import type { Clock } from './clock';
import { flawOfRefusal, Flaws } from './flaw';
import type { CallEntry, Journal } from './journal';
import type { Language } from './language';
import { decide, isServerMethod, orderFor, type Decision, type MethodContext } from './methods';
import { Refusal } from './refusal';
import { payableUntil, type Order, type Trade } from './trade';
import { type Trades } from './trades';
import {
  nodeName,
  readRequest,
  unescapeHtml,
  type Params,
  type ResponseNode,
  type WireRequest,
} from './wire';

/** Refused for something that the signature already covers. */
const AFTER_SIGNATURE = ['isv.missing-biz-content', 'isv.invalid-parameter', 'sandbox.not-emulated'];

/** What the gateway works with. */
export interface GatewayParts {
  rules: EntryRules;
  /** What a call for an account may use. */
  contextOf: (account: Account) => MethodContext;
  faults: Faults;
  journal: Journal;
  clock: Clock;
  /** What Alipay signs its answers with. */
  hand: () => { key: KeyObject; certSn?: string | undefined };
}

/** `/gateway.do`: reads a request, decides on it, applies it, and returns the answer. Synchronous throughout. */
export class Gateway {
  /** `'502'` or `'reset'` while the gateway is down. */
  down: false | '502' | 'reset' = false;
  /** What was scheduled in an earlier round no longer happens. */
  #round = 0;
  readonly #answers: Answers;
  readonly #flaws: Flaws;

  constructor(private readonly parts: GatewayParts) {
    this.#flaws = new Flaws(parts.rules);
    this.#answers = new Answers(parts.hand, ({ params, outTradeNo }) =>
      someOther(this.#contextOf({ params }).trades.all(), outTradeNo),
    );
  }

  /** Handles one HTTP request to `/gateway.do`; a page is in `language`. */
  take(query: string, body: string, language: Language = 'en'): Outcome {
    const request = readRequest(query, body);
    const { method = '' } = request.params;
    if (this.down !== false) return this.#outage(method, this.down);
    const early = this.#check(request);
    if (method in PAGE_METHODS) return this.#openPage(request, method, early, language);
    return early === undefined ? this.#call(request, method) : this.#refuseEarly(request, method, early);
  }

  /**
   * What a buyer's browser does with a signed pay request.
   * @throws Refusal with Alipay's code
   */
  open(query: string, body: string): Order {
    const request = readRequest(query, body);
    const early = this.#check(request);
    if (early !== undefined) throw refusalOf(early);
    const order = this.#opened(request);
    const { method, biz_content: content } = request.params;
    this.parts.journal.write({
      ...{ kind: 'buyer', action: 'open', outTradeNo: order.outTradeNo },
      sellerId: order.payee?.sellerId,
      ...{ method, bizContent: readBiz(content) },
    });
    return order;
  }

  /** Does what a genuine request asks for, without its signature, for a replay. @returns the answer's node */
  perform(method: string, biz: Biz, params: Params): ResponseNode {
    const request = {
      params: { ...params, method, biz_content: JSON.stringify(biz) },
      signedBytes: Buffer.alloc(0),
    };
    const isPage = method in PAGE_METHODS;
    const outcome = isPage ? this.#openPage(request, method, undefined, 'en') : this.#call(request, method);
    return outcome.node ?? {};
  }

  /** Cancels what is scheduled, and puts the gateway up again. */
  clear(): void {
    this.#round += 1;
    this.down = false;
    this.#answers.clear();
  }

  #check(request: WireRequest): EarlyError | undefined {
    const early = checkEntry(request, this.parts.rules);
    if (early === undefined) this.#flaws.remember(request);
    return early;
  }

  /** The account for which a request is made; the first one if the request names none. */
  #contextOf({ params }: Pick<WireRequest, 'params'>): MethodContext {
    const { rules, contextOf } = this.parts;
    return contextOf(rules.accounts.find(params) ?? rules.accounts.first);
  }

  #call(request: WireRequest, method: string): Outcome {
    const { params } = request;
    const biz = readBiz(params['biz_content']);
    if (biz === undefined)
      return this.#refuseEarly(request, method, malformed(method, params['biz_content']));
    if (!isServerMethod(method)) return this.#refuseEarly(request, method, notEmulated(method));
    const context = this.#contextOf(request);
    const { trades } = context;
    const { sellerId } = context.payee;
    const outTradeNo = outTradeNoIn(biz, trades);
    const fault = this.parts.faults.strike(method, { outTradeNo, sellerId }, false);
    const { node, events, later, refusal }: Decision = decide(context, method, biz, params);
    if (fault?.when !== 'before') {
      trades.commit(events);
      if (later) this.#happen(later, trades);
    }
    const facts = { method, params, sellerId, outTradeNo, node };
    const outcome =
      fault === undefined ? this.#answers.honest(facts) : this.#answers.faulty(fault.mode, facts);
    const flaw = refusal && flawOfRefusal(refusal);
    this.#write(
      { method, sellerId, outTradeNo, bizContent: biz, fault, signature: 'genuine', flaw },
      outcome,
    );
    return outcome;
  }

  #happen({ ms, events }: NonNullable<Decision['later']>, trades: Trades): void {
    const appointed = this.#round;
    this.parts.clock.later(ms, () => {
      if (appointed !== this.#round) return;
      try {
        trades.commit(events());
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    });
  }

  #openPage(
    request: WireRequest,
    method: string,
    early: EarlyError | undefined,
    language: Language,
  ): Outcome {
    const biz = readBiz(request.params['biz_content']);
    const about = this.#about(request, biz);
    const fault = this.parts.faults.strike(method, about, true);
    let flaw = early && this.#flaws.of(request, early.node);
    const honest = () => {
      try {
        if (early !== undefined) throw refusalOf(early);
        const order = this.#opened(request);
        const { trades, now } = this.#contextOf(request);
        return page(orderPage(order, trades.find(order), now(), language));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        flaw ??= flawOfRefusal(error);
        return page(refusalPage(error, language, flaw), 400);
      }
    };
    const outcome = fault === undefined ? honest() : faultyPage(fault, honest, language);
    this.#write({ method, ...about, bizContent: biz, fault, signature: signatureOf(early), flaw }, outcome);
    return outcome;
  }

  #opened(request: WireRequest): Order {
    const { params } = request;
    const context = this.#contextOf(request);
    const { trades, now } = context;
    const product = PAGE_METHODS[params['method'] ?? ''];
    if (product === undefined) throw new Refusal('isv.invalid-method', 'not a pay page');
    const biz = readBiz(params['biz_content']);
    if (biz === undefined) throw new Refusal('isv.invalid-parameter', 'biz_content is not a JSON object');
    const order = orderFor(context, product, biz, params);
    const events = trades.opening(order);
    if (now() >= payableUntil(order)) throw new Refusal('EXPIRED', 'the time to pay has run out');
    trades.commit(events);
    return trades.order(order.outTradeNo) ?? order;
  }

  #refuseEarly(request: WireRequest, method: string, early: EarlyError): Outcome {
    const { params } = request;
    const { name, node, signed } = early;
    const facts = { method, params };
    const outcome = signed
      ? this.#answers.signed(facts, node, name)
      : this.#answers.unsigned(facts, node, name);
    const biz = readBiz(params['biz_content']);
    const flaw = this.#flaws.of(request, node);
    const about = this.#about(request, biz);
    this.#write({ method, ...about, bizContent: biz, signature: signatureOf(early), flaw }, outcome);
    return outcome;
  }

  /** Refused by the web server in front of Alipay, which does not read the request. */
  refuseTooLarge(): Outcome {
    const outcome = page('<html><body><h1>413 Request Entity Too Large</h1></body></html>', 413);
    this.#write({ method: '', flaw: { kind: 'too-large' } }, outcome);
    return outcome;
  }

  #outage(method: string, down: '502' | 'reset'): Outcome {
    const outcome: Outcome =
      down === 'reset' ? { kind: 'reset' } : page('<html><body><h1>502 Bad Gateway</h1></body></html>', 502);
    this.#write({ method, fault: { mode: 'down', when: 'before' } }, outcome);
    return outcome;
  }

  /** What a request is about, if that can be told. */
  #about(request: WireRequest, biz: Biz | undefined): Pick<CallEntry, 'sellerId' | 'outTradeNo'> {
    return {
      sellerId: this.parts.rules.accounts.find(request.params)?.sellerId,
      outTradeNo: biz && outTradeNoIn(biz, this.#contextOf(request).trades),
    };
  }

  #write(call: Omit<CallEntry, 'kind' | 'at' | 'answer'>, outcome: Outcome): void {
    const node: ResponseNode = outcome.node ?? {};
    const httpStatus = outcome.kind === 'body' ? outcome.status : outcome.kind === 'drip' ? 200 : undefined;
    this.parts.journal.write({
      kind: 'call',
      ...call,
      code: node['code'],
      subCode: node['sub_code'],
      httpStatus,
      answer: outcome.node,
    });
  }
}

function outTradeNoIn(
  { trade_no: tradeNo, out_trade_no: outTradeNo }: Biz,
  trades: Trades,
): string | undefined {
  const trade = typeof tradeNo === 'string' ? trades.find({ tradeNo }) : undefined;
  if (trade !== undefined) return trade.order.outTradeNo;
  return typeof outTradeNo === 'string' ? outTradeNo : undefined;
}

// On the wire the message is escaped for HTML; pages and tests want it unescaped.
function refusalOf({ node }: EarlyError): Refusal {
  return new Refusal(node['sub_code'] ?? '', unescapeHtml(node['sub_msg'] ?? ''));
}

// The head is checked before the signature, the content after it.
function signatureOf(early: EarlyError | undefined): CallEntry['signature'] {
  if (early === undefined || AFTER_SIGNATURE.includes(early.node['sub_code'] ?? '')) return 'genuine';
  return early.node['sub_code'] === 'isv.invalid-signature' ? 'false' : undefined;
}

function faultyPage(fault: Fault, honest: () => Outcome, language: Language): Outcome {
  const opened = fault.when === 'after' ? honest() : undefined;
  return (
    transportFault(fault.mode, () => opened ?? honest()) ??
    page(refusalPage(new Refusal(fault.mode, 'the cashier is not available'), language), 400)
  );
}

function malformed(method: string, bizContent: string | undefined): EarlyError {
  const node =
    bizContent === undefined || bizContent === ''
      ? missing('isv.missing-biz-content', '缺少biz_content参数')
      : invalid('isv.invalid-parameter', 'biz_content不是合法的JSON');
  return { name: nodeName(method), node, signed: true };
}

function notEmulated(method: string): EarlyError {
  const node: ResponseNode = {
    code: '40004',
    msg: 'Business Failed',
    sub_code: 'sandbox.not-emulated',
    sub_msg: `沙箱未模拟 ${method}；支付宝可能有此接口。The sandbox does not emulate it: its README lists what it does.`,
  };
  return { name: nodeName(method), node, signed: true };
}

function someOther(trades: readonly Trade[], outTradeNo: string | undefined): Trade | undefined {
  const others = trades.filter(({ order }) => order.outTradeNo !== outTradeNo);
  return others.find(({ status }) => status === 'TRADE_SUCCESS') ?? others[0];
}
