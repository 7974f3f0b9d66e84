import { z } from 'zod';
import type { Buyer } from './buyer';
import type { Clock } from './clock';
import type { Faults, FaultRule } from './faults';
import type { Gateway } from './gateway';
import type { JournalEntry } from './journal';
import { Refusal } from './refusal';

const recordedFields = z.record(z.string(), z.unknown());

const step = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('call'),
    at: z.iso.datetime(),
    method: z.string(),
    outTradeNo: z.string().optional(),
    bizContent: recordedFields.optional(),
    signature: z.enum(['genuine', 'false']).optional(),
    code: z.string().optional(),
    subCode: z.string().optional(),
    fault: z.object({ mode: z.string(), when: z.enum(['before', 'after']) }).optional(),
  }),
  z.object({
    kind: z.literal('buyer'),
    at: z.iso.datetime(),
    action: z.enum(['open', 'scan', 'pay', 'leave']),
    outTradeNo: z.string(),
    method: z.string().optional(),
    bizContent: recordedFields.optional(),
  }),
  z.object({ kind: z.literal('notification'), at: z.iso.datetime(), outTradeNo: z.string() }).loose(),
]);

/** The format of an exported incident. */
export const incidentFile = z.object({ version: z.literal(1), entries: z.array(step).max(100_000) });

/** What crossed the wire, without personal data: it can be sent to somebody and replayed there. */
export interface Incident {
  version: 1;
  entries: JournalEntry[];
}

/** The outcome of a replay. */
export interface Replay {
  /** Replayed entries. */
  steps: number;
  /** Where the sandbox now gives a different result. */
  differences: { entry: number; expected: string; got: string }[];
}

/** Fields that say nothing about a person or a shop. All others are replaced. */
const PLAIN = new Set([
  ...['total_amount', 'refund_amount', 'refund_fee', 'send_back_fee', 'receipt_amount', 'invoice_amount'],
  ...['buyer_pay_amount', 'point_amount', 'product_code', 'time_expire', 'timeout_express', 'bill_type'],
  ...[
    'qr_code_timeout_express',
    'scene',
    'code',
    'msg',
    'sub_code',
    'trade_status',
    'refund_status',
    'bill_date',
  ],
  ...[
    'fund_change',
    'send_pay_date',
    'gmt_refund_pay',
    'gmt_payment',
    'action',
    'retry_flag',
    'query_options',
  ],
]);

/** Ids: each is replaced by the same substitute everywhere, so that the story remains consistent. */
const IDS: Record<string, string> = {
  out_trade_no: 'order',
  trade_no: 'trade',
  out_request_no: 'refund',
};

const HIDDEN = '***';

/** Substitutes that have the form required of these fields in a replay. */
const SUBSTITUTES: Record<string, string> = {
  auth_code: '280000000000000000',
  alipay_cert_sn: '0'.repeat(32),
};

/** Makes an incident from journal entries: order numbers become `order_1`, what people wrote becomes `***`. */
export function exportIncident(entries: readonly JournalEntry[]): Incident {
  const mask = new Mask();
  return { version: 1, entries: entries.map((entry) => mask.entry(entry)) };
}

class Mask {
  readonly #names = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  #sellerId = '';

  // Numbers belong to a seller: the same number of two sellers becomes two, so that one seller can replay everything.
  entry({ sellerId = '', ...entry }: JournalEntry): JournalEntry {
    this.#sellerId = sellerId;
    const outTradeNo = this.#id('order', entry.outTradeNo);
    switch (entry.kind) {
      case 'buyer':
        return {
          ...entry,
          outTradeNo: outTradeNo ?? '',
          ...(entry.bizContent && { bizContent: this.#fields(entry.bizContent) }),
        };
      case 'notification':
        return {
          ...entry,
          outTradeNo: outTradeNo ?? '',
          notifyId: this.#id('notification', entry.notifyId) ?? '',
          url: 'https://shop.example/notify',
          ...(entry.answer && { answer: { ...entry.answer, body: entry.accepted ? 'success' : HIDDEN } }),
        };
      case 'call': {
        const { bizContent, answer, flaw, ...rest } = entry;
        return {
          ...rest,
          outTradeNo,
          bizContent: bizContent && this.#fields(bizContent),
          answer: answer && (this.#fields(answer) as Record<string, string>),
          ...(flaw && { flaw: { kind: flaw.kind, field: flaw.field } }),
        };
      }
    }
  }

  #fields(fields: Record<string, unknown>): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name, this.#field(name, value)]),
    );
  }

  #field(name: string, value: unknown): unknown {
    const kind = IDS[name];
    if (kind !== undefined) return this.#id(kind, String(value));
    return PLAIN.has(name) ? value : (SUBSTITUTES[name] ?? HIDDEN);
  }

  #id(kind: string, id: string | undefined): string | undefined {
    if (id === undefined) return undefined;
    const key = `${kind} ${this.#sellerId} ${id}`;
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    this.#names.set(key, `${kind}_${count}`);
    return `${kind}_${count}`;
  }
}

/** What a replay works with. */
interface Stage {
  gateway: Gateway;
  buyer: Buyer;
  faults: Faults;
  clock: Clock;
  /** The seller for whom everything is replayed. */
  sellerId: string;
  /** The sandbox's own number for a trade. */
  tradeNoOf: (outTradeNo: string) => string | undefined;
}

/**
 * Replays an incident in its order: the calls, what the buyer did, the faults. Time jumps from each entry to the next.
 * @param notifyUrl where the orders' notifications go; undefined: nowhere
 */
export function replayIncident(stage: Stage, incident: unknown, notifyUrl: string | undefined): Replay {
  const { entries } = incidentFile.parse(incident);
  const differences: Replay['differences'] = [];
  const tradeNos = new Map<string, string>();
  let [steps, last] = [0, entries[0]?.at];
  for (const [entry, recorded] of entries.entries()) {
    const gap = Date.parse(recorded.at) - Date.parse(last ?? recorded.at);
    if (gap > 0) stage.clock.change({ advanceMs: gap });
    last = recorded.at;
    // Notifications come by themselves; what was not genuine had no effect.
    if (recorded.kind === 'notification' || (recorded.kind === 'call' && recorded.signature !== 'genuine'))
      continue;
    const expected = recorded.kind === 'buyer' ? 'done' : (recorded.subCode ?? recorded.code ?? '');
    const got =
      recorded.kind === 'buyer'
        ? act(stage, recorded, notifyUrl)
        : call(stage, recorded, notifyUrl, tradeNos);
    steps += 1;
    if (got !== expected) differences.push({ entry, expected, got });
  }
  return { steps, differences };
}

const paramsOf = (notifyUrl = ''): Record<string, string> => ({ app_id: HIDDEN, notify_url: notifyUrl });

type Step<Kind> = Extract<z.output<typeof step>, { kind: Kind }>;

function act(
  { buyer, gateway, sellerId }: Stage,
  { action, outTradeNo, method, bizContent }: Step<'buyer'>,
  notifyUrl: string | undefined,
): string {
  try {
    if (method !== undefined && bizContent !== undefined)
      gateway.perform(method, bizContent, paramsOf(notifyUrl));
    if (action === 'scan') buyer.scan(outTradeNo, sellerId);
    if (action === 'pay') buyer.pay(outTradeNo, true, sellerId);
    if (action === 'leave') buyer.leave(outTradeNo, sellerId);
    return 'done';
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.code;
  }
}

function call(
  { gateway, faults, tradeNoOf }: Stage,
  { method, outTradeNo, bizContent = {}, fault }: Step<'call'>,
  notifyUrl: string | undefined,
  tradeNos: Map<string, string>,
): string {
  const { trade_no: recorded } = bizContent;
  const own = outTradeNo === undefined ? undefined : tradeNoOf(outTradeNo);
  if (typeof recorded === 'string' && own !== undefined) tradeNos.set(recorded, own);
  const biz = {
    ...bizContent,
    ...(typeof recorded === 'string' && { trade_no: tradeNos.get(recorded) ?? recorded }),
  };
  if (fault !== undefined && fault.mode !== 'down')
    faults.add({ method, outTradeNo, times: 1, ...fault } as FaultRule);
  const node = gateway.perform(method, biz, paramsOf(notifyUrl));
  return node['sub_code'] ?? node['code'] ?? '';
}
