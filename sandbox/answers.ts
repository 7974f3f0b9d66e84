import type { KeyObject } from 'node:crypto';
import { invalid, missing } from './early';
import type { FaultMode } from './faults';
import { businessError, noTrade, tradeNode } from './methods';
import { readYuan, yuan } from './money';
import type { Trade } from './trade';
import {
  encodeText,
  isKnownCharset,
  isSignType,
  nodeName,
  renderAnswer,
  renderNode,
  signText,
  type Params,
  type ResponseNode,
  type Seal,
} from './wire';

/** How a call is answered on the wire. */
export type Outcome =
  | { kind: 'body'; status: number; contentType: string; body: Buffer; node?: ResponseNode }
  | { kind: 'drip'; contentType: string; body: Buffer; node?: ResponseNode }
  | { kind: 'hang' | 'reset'; node?: undefined };

const HTML = 'text/html;charset=utf-8';

/** An HTML page as an outcome. */
export function page(body: string, status = 200): Outcome {
  return { kind: 'body', status, contentType: HTML, body: Buffer.from(body) };
}

/** The gateway's failures in transport, the same for a call and for a page; undefined for any other mode. */
export function transportFault(mode: FaultMode, honest: () => Outcome): Outcome | undefined {
  switch (mode) {
    case 'http-500':
      return page('<html><body><h1>500 Internal Server Error</h1></body></html>', 500);
    case 'http-429':
      return page('<html><body><h1>429 Too Many Requests</h1></body></html>', 429);
    case 'html':
      return page('<!DOCTYPE html><html><body>系统繁忙，请稍后再试</body></html>');
    case 'hang':
    case 'reset':
      return { kind: mode };
    case 'drip':
      return dripping(honest());
    case 'truncated':
      return halved(honest());
    default:
      return undefined;
  }
}

/** Everything about a call that its answer may need. */
export interface CallFacts {
  method: string;
  params: Params;
  /** Whose the order is. */
  sellerId: string;
  outTradeNo?: string;
  /** The true answer. */
  node: ResponseNode;
}

/** Writes and signs answers, true and false ones. */
export class Answers {
  readonly #first = new Map<string, { body: Buffer; node: ResponseNode }>();

  /**
   * @param hand what Alipay signs with now: its private key and, in certificate mode, its certificate's serial number
   * @param otherTrade a trade of the same seller for another order, a paid one if there is any
   * @param memory how many first answers are kept for `stale`
   */
  constructor(
    private readonly hand: () => { key: KeyObject; certSn?: string | undefined },
    private readonly otherTrade: (call: CallFacts) => Trade | undefined,
    private readonly memory = 20_000,
  ) {}

  /** Forgets every first answer. */
  clear(): void {
    this.#first.clear();
  }

  /** The signed answer to a call: always HTTP 200. */
  signed(
    { method, params }: Pick<CallFacts, 'method' | 'params'>,
    node: ResponseNode,
    name = nodeName(method),
  ): Outcome {
    const raw = renderNode(node, charsetOf(params));
    return answer(params, renderAnswer(name, raw, this.#sign(raw, params)), node);
  }

  /** The answer without a signature, like Alipay's early errors. */
  unsigned(
    { method, params }: Pick<CallFacts, 'method' | 'params'>,
    node: ResponseNode,
    name = nodeName(method),
  ): Outcome {
    return answer(params, renderAnswer(name, renderNode(node, charsetOf(params))), node);
  }

  /** The true answer; if it is the first one for this order, it is remembered. */
  honest(call: CallFacts): Outcome {
    const outcome = this.signed(call, call.node);
    if (outcome.kind === 'body') this.#remember(call, outcome.body);
    return outcome;
  }

  /** The answer as a fault spoils it. */
  faulty(mode: FaultMode, call: CallFacts): Outcome {
    return transportFault(mode, () => this.signed(call, call.node)) ?? this.#said(mode, call);
  }

  #said(mode: FaultMode, call: CallFacts): Outcome {
    switch (mode) {
      case '20000':
        return this.signed(call, unavailable());
      case '20000-unsigned':
        return this.unsigned(call, unavailable());
      case '20000-gbk':
        return this.#inGbk(call, unavailable());
      case 'SYSTEM_ERROR':
        return this.signed(call, businessError('ACQ.SYSTEM_ERROR'));
      case '40001':
        return this.unsigned(call, missing('isv.missing-app-id', '缺少AppID参数'));
      case '40002':
        return this.unsigned(call, invalid('isv.invalid-app-id', '无效的AppID参数'));
      case '40005':
        return this.signed(call, limited());
      case '40005-unsigned':
        return this.unsigned(call, limited());
      case '40005-gbk':
        return this.#inGbk(call, limited());
      case '40006':
        return this.signed(call, forbidden());
      case 'no-signature':
        return this.unsigned(call, call.node);
      case 'bad-signature':
        return this.#badlySigned(call);
      case 'stale':
        return this.#stale(call);
      case 'other-order':
        return this.signed(call, aboutAnother(call, this.otherTrade(call)));
      case 'wrong-amount':
        return this.signed(call, oneFenMore(call.node));
      case 'ACQ.TRADE_NOT_EXIST':
        return this.signed(call, noTrade(call.method, call.outTradeNo));
      default:
        return this.signed(call, businessError(mode));
    }
  }

  #inGbk({ method, params }: CallFacts, node: ResponseNode): Outcome {
    const raw = renderNode(node);
    const { key, certSn } = this.hand();
    const body = renderAnswer(nodeName(method), raw, {
      certSn,
      signature: signText(raw, key, 'RSA2', 'GBK'),
    });
    return answer(params, encodeText(body, 'GBK'), node);
  }

  #badlySigned({ method, params, node }: CallFacts): Outcome {
    const raw = renderNode(node, charsetOf(params));
    return answer(params, renderAnswer(nodeName(method), raw, this.#sign(`${raw} `, params)), node);
  }

  #stale(call: CallFacts): Outcome {
    const first = this.#first.get(memoryKey(call));
    if (first !== undefined) return answer(call.params, first.body, first.node);
    return this.#said('ACQ.TRADE_NOT_EXIST', call);
  }

  #remember(call: CallFacts, body: Buffer): void {
    const key = memoryKey(call);
    if (this.#first.has(key)) return;
    this.#first.set(key, { body, node: call.node });
    const [oldest] = this.#first.keys();
    if (this.#first.size > this.memory && oldest !== undefined) this.#first.delete(oldest);
  }

  #sign(raw: string, params: Params): Seal {
    const signType = params['sign_type'];
    const { key, certSn } = this.hand();
    return {
      certSn,
      signature: signText(raw, key, isSignType(signType) ? signType : 'RSA2', charsetOf(params)),
    };
  }
}

function answer(params: Params, body: string | Buffer, node?: ResponseNode): Outcome {
  return {
    kind: 'body',
    status: 200,
    contentType: `text/html;charset=${charsetOf(params)}`,
    body: typeof body === 'string' ? encodeText(body, charsetOf(params)) : body,
    node,
  };
}

// If the charset is unreadable, the answer is in UTF-8.
function charsetOf({ charset = 'utf-8' }: Params): string {
  return isKnownCharset(charset) ? charset : 'utf-8';
}

function memoryKey({ method, sellerId, outTradeNo }: CallFacts): string {
  return `${method} ${sellerId} ${outTradeNo ?? ''}`;
}

function dripping(outcome: Outcome): Outcome {
  if (outcome.kind !== 'body') return outcome;
  const { contentType, body, node } = outcome;
  return { kind: 'drip', contentType, body, node };
}

function halved(outcome: Outcome): Outcome {
  if (outcome.kind !== 'body') return outcome;
  return { ...outcome, body: outcome.body.subarray(0, Math.floor(outcome.body.length / 2)) };
}

function unavailable(): ResponseNode {
  return {
    code: '20000',
    msg: 'Service Currently Unavailable',
    sub_code: 'aop.unknow-error',
    sub_msg: '系统繁忙',
  };
}

function limited(): ResponseNode {
  return {
    code: '40005',
    msg: 'Call Limited',
    sub_code: 'isv.app-call-limited',
    sub_msg: '应用调用次数超限',
  };
}

function forbidden(): ResponseNode {
  return {
    code: '40006',
    msg: 'Insufficient Permissions',
    sub_code: 'isv.insufficient-isv-permissions',
    sub_msg: 'ISV权限不足',
  };
}

// The most dangerous of all answers: somebody else's success, with a genuine signature.
function aboutAnother({ method, node, outTradeNo }: CallFacts, other: Trade | undefined): ResponseNode {
  const own = node['code'] === '10000' ? node : {};
  const strangers = {
    out_trade_no: other?.order.outTradeNo ?? `${outTradeNo ?? 'order'}_other`.slice(-64),
    trade_no: other?.tradeNo ?? '2026010122001000000000000000',
  };
  const paid =
    other === undefined ? { trade_status: 'TRADE_SUCCESS', total_amount: '0.01' } : tradeNode(other);
  const head = { ...own, code: '10000', msg: 'Success' };
  return method === 'alipay.trade.query' ? { ...head, ...paid, ...strangers } : { ...head, ...strangers };
}

function oneFenMore(node: ResponseNode): ResponseNode {
  const changed = { ...node };
  for (const name of ['total_amount', 'refund_amount', 'refund_fee', 'send_back_fee']) {
    const fen = readYuan(node[name] ?? '');
    if (fen !== undefined) changed[name] = yuan(fen + 1);
  }
  return changed;
}
