import { Dice } from './chance';

/**
 * What may go wrong with one call.
 *
 * Answers from Alipay itself: `20000`, `SYSTEM_ERROR`, `40001`, `40002` (both unsigned, like its early errors),
 * `40005`, `40006`, and any business error by its `sub_code`: `ACQ.SELLER_BALANCE_NOT_ENOUGH`, `aop.ACQ.…`, `AQC.…`,
 * `isp.…`, `isv.…`. `20000` and `40005` also exist `-unsigned` and `-gbk`: signed, in GBK despite a UTF-8 request.
 * Transport: `http-500`, `http-429`, `html` (a page with status 200), `hang` (no answer, the connection stays open),
 * `drip` (the true answer, a byte every 100 ms), `reset`, `truncated` (the first half of the true answer).
 * Lies: `no-signature`, `bad-signature`, `stale` (the first answer for this order, signed), `other-order` (signed,
 * about another order), `wrong-amount` (signed, one fen too much).
 */
export type FaultMode =
  | '20000'
  | 'SYSTEM_ERROR'
  | '40001'
  | '40002'
  | '20000-unsigned'
  | '20000-gbk'
  | '40005'
  | '40005-unsigned'
  | '40005-gbk'
  | '40006'
  | 'http-500'
  | 'http-429'
  | 'html'
  | 'hang'
  | 'drip'
  | 'reset'
  | 'truncated'
  | 'no-signature'
  | 'bad-signature'
  | 'stale'
  | 'other-order'
  | 'wrong-amount'
  | `${'' | 'aop.'}${'ACQ' | 'AQC'}.${string}`
  | `${'isp' | 'isv'}.${string}`;

/** Every fixed mode: `FaultMode` without the business errors. */
export const FAULT_MODES = [
  '20000',
  'SYSTEM_ERROR',
  '40001',
  '40002',
  '20000-unsigned',
  '20000-gbk',
  '40005',
  '40005-unsigned',
  '40005-gbk',
  '40006',
  'http-500',
  'http-429',
  'html',
  'hang',
  'drip',
  'reset',
  'truncated',
  'no-signature',
  'bad-signature',
  'stale',
  'other-order',
  'wrong-amount',
] as const satisfies readonly FaultMode[];

/** Which calls go wrong, how, and how often. */
export interface FaultRule {
  mode: FaultMode;
  /** Like `alipay.trade.query`; absent: every server call. Cashier pages go wrong only if they are named. */
  method?: string;
  /** Only calls about this order. */
  outTradeNo?: string;
  /** Only calls for this seller. */
  sellerId?: string;
  /** `before` (the default): the call has no effect. `after`: it takes effect, and only its answer goes wrong. */
  when?: 'before' | 'after';
  /** How many of the next matching calls; absent: until the faults are cleared. */
  times?: number;
  /** 0 to 1; absent: always. */
  probability?: number;
}

/** A fault that hits a call. */
export interface Fault {
  mode: FaultMode;
  when: 'before' | 'after';
}

interface ArmedRule {
  rule: FaultRule;
  dice: Dice;
  left: number;
}

/** The rules in force. The first one that matches and fires decides. */
export class Faults {
  #rules: ArmedRule[] = [];

  /** @param random 0 ≤ x < 1 */
  constructor(private readonly random: () => number) {}

  /** Adds a rule after those in force. */
  add(rule: FaultRule): void {
    this.#rules.push({
      rule,
      dice: new Dice(rule.probability ?? 1, this.random),
      left: rule.times ?? Infinity,
    });
  }

  /** The rules that can still hit; `times` is how often. */
  inForce(): FaultRule[] {
    return this.#rules
      .filter(({ left }) => left > 0)
      .map(({ rule, left }) => (left === Infinity ? rule : { ...rule, times: left }));
  }

  /** Removes all rules. */
  clear(): void {
    this.#rules = [];
  }

  /** The fault that hits this call, if any. Only a rule that names its method hits a page. */
  strike(
    method: string,
    { outTradeNo, sellerId }: Pick<FaultRule, 'outTradeNo' | 'sellerId'>,
    isPage: boolean,
  ): Fault | undefined {
    const struck = this.#rules.find(
      ({ rule, dice, left }) =>
        left > 0 &&
        (rule.method === undefined ? !isPage : rule.method === method) &&
        (rule.outTradeNo === undefined || rule.outTradeNo === outTradeNo) &&
        (rule.sellerId === undefined || rule.sellerId === sellerId) &&
        dice.throw(),
    );
    if (struck === undefined) return undefined;
    struck.left -= 1;
    return { mode: struck.rule.mode, when: struck.rule.when ?? 'before' };
  }
}
