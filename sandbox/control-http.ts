import type { FastifyInstance } from 'fastify';
import { z, ZodError } from 'zod';
import type { SandboxControl } from './control';
import { FAULT_MODES, type FaultMode } from './faults';
import { FORGERIES } from './forge';
import { incidentFile, type Incident } from './incident';
import { Refusal } from './refusal';
import { seedFile } from './seed';

const chance = z.union([z.number().min(0).max(1), z.strictObject({ times: z.int().min(1) })]);
/** A hundred years. */
const CLOCK_MAX_MS = 100 * 366 * 86_400_000;
const outTradeNo = z.string().min(1);
/** Needed only if several sellers have an order with that number. */
const sellerId = z.string().optional();
const nothing = z.strictObject({}).nullish();
const BUSINESS_ERROR = /^(?:(?:aop\.)?(?:ACQ|AQC)\.[A-Z_]+|is[pv]\.[a-z_-]+)$/;
const businessError = z.custom<FaultMode>((mode) => typeof mode === 'string' && BUSINESS_ERROR.test(mode));

const faultRule = z.strictObject({
  mode: z.union([z.enum(FAULT_MODES), businessError]),
  method: z.string().optional(),
  outTradeNo: outTradeNo.optional(),
  sellerId,
  when: z.enum(['before', 'after']).optional(),
  times: z.int().min(1).optional(),
  probability: z.number().min(0).max(1).optional(),
});

const notifierFaults = z.strictObject({
  drop: chance.optional(),
  dropAttempt: chance.optional(),
  repeat: chance.optional(),
  reorder: chance.optional(),
  delayMs: z.number().min(0).optional(),
  forge: z.strictObject({ kind: z.enum(FORGERIES), chance }).optional(),
});

const billFaults = z.strictObject({
  notReady: z.boolean().optional(),
  expired: z.int().min(0).optional(),
  truncated: z.int().min(0).optional(),
  wrongTotals: z.boolean().optional(),
  missing: z.array(outTradeNo).optional(),
  doubled: z.array(outTradeNo).optional(),
  foreign: z.int().min(0).max(1_000_000).optional(),
  bulk: z.int().min(0).max(9_999_999).optional(),
  anyDay: z.boolean().optional(),
});

/** One control function as an HTTP route: how to read its JSON body, and how to write its arguments into one. */
interface Route<Name extends keyof SandboxControl> {
  schema: z.ZodType;
  handle: (control: SandboxControl, body: unknown) => Promise<unknown>;
  body: (...args: Parameters<SandboxControl[Name]>) => unknown;
}

function route<Name extends keyof SandboxControl, Schema extends z.ZodType>(
  schema: Schema,
  act: (control: SandboxControl, body: z.output<Schema>) => ReturnType<SandboxControl[Name]>,
  body: (...args: Parameters<SandboxControl[Name]>) => z.input<Schema>,
): Route<Name> {
  return { schema, handle: async (control, given) => act(control, schema.parse(given)), body };
}

/**
 * Every control function is `POST /control/<its name>` with its arguments as a JSON object; those in
 * {@link CONTROL_READS} are also `GET`. A query string is refused, because whoever writes one expects it to be read.
 * The response is the result as JSON, `null` if there is none.
 */
export const CONTROL_ROUTES: { [Name in keyof SandboxControl]: Route<Name> } = {
  open: route(
    z.strictObject({ payUrl: z.string() }),
    (control, { payUrl }) => control.open(payUrl),
    (payUrl) => ({ payUrl }),
  ),
  scan: route(
    z.strictObject({ outTradeNo, sellerId }),
    (control, { outTradeNo: of, ...whose }) => control.scan(of, whose),
    (of, whose) => ({ outTradeNo: of, ...whose }),
  ),
  pay: route(
    z.strictObject({ outTradeNo, notify: z.boolean().optional(), sellerId }),
    (control, { outTradeNo: of, ...options }) => control.pay(of, options),
    (of, options) => ({ outTradeNo: of, ...options }),
  ),
  leave: route(
    z.strictObject({ outTradeNo, sellerId }),
    (control, { outTradeNo: of, ...whose }) => control.leave(of, whose),
    (of, whose) => ({ outTradeNo: of, ...whose }),
  ),
  trade: route(
    z.strictObject({ outTradeNo, sellerId }),
    (control, { outTradeNo: of, ...whose }) => control.trade(of, whose),
    (of, whose) => ({ outTradeNo: of, ...whose }),
  ),
  accounts: route(
    nothing,
    (control) => control.accounts(),
    () => ({}),
  ),
  trades: route(
    nothing,
    (control) => control.trades(),
    () => ({}),
  ),
  journal: route(
    nothing,
    (control) => control.journal(),
    () => ({}),
  ),
  clearJournal: route(
    nothing,
    (control) => control.clearJournal(),
    () => ({}),
  ),
  fault: route(
    faultRule,
    (control, rule) => control.fault(rule),
    (rule) => rule,
  ),
  clearFaults: route(
    nothing,
    (control) => control.clearFaults(),
    () => ({}),
  ),
  notifier: route(
    notifierFaults,
    (control, faults) => control.notifier(faults),
    (faults) => faults,
  ),
  pendingNotifications: route(
    nothing,
    (control) => control.pendingNotifications(),
    () => ({}),
  ),
  notify: route(
    z.strictObject({
      outTradeNo,
      overrides: z.record(z.string(), z.string()).optional(),
      url: z.url().optional(),
      sellerId,
    }),
    (control, { outTradeNo: of, overrides, url, ...whose }) => control.notify(of, overrides, url, whose),
    (of, overrides, url, whose) => ({ outTradeNo: of, overrides, url, ...whose }),
  ),
  replayNotification: route(
    z.strictObject({ notifyId: z.string().min(1) }),
    (control, { notifyId }) => control.replayNotification(notifyId),
    (notifyId) => ({ notifyId }),
  ),
  close: route(
    z.strictObject({ outTradeNo, sellerId }),
    (control, { outTradeNo: of, ...whose }) => control.close(of, whose),
    (of, whose) => ({ outTradeNo: of, ...whose }),
  ),
  expire: route(
    z.strictObject({ outTradeNo, sellerId }),
    (control, { outTradeNo: of, ...whose }) => control.expire(of, whose),
    (of, whose) => ({ outTradeNo: of, ...whose }),
  ),
  forge: route(
    z.strictObject({ kind: z.enum(FORGERIES), outTradeNo, url: z.url().optional(), sellerId }),
    (control, { kind, outTradeNo: of, url, ...whose }) => control.forge(kind, of, url, whose),
    (kind, of, url, whose) => ({ kind, outTradeNo: of, url, ...whose }),
  ),
  refundByHand: route(
    z.strictObject({ outTradeNo, amount: z.string(), sellerId }),
    (control, { outTradeNo: of, amount, ...whose }) => control.refundByHand(of, amount, whose),
    (of, amount, whose) => ({ outTradeNo: of, amount, ...whose }),
  ),
  finish: route(
    z.strictObject({ outTradeNo, notify: z.boolean().optional(), sellerId }),
    (control, { outTradeNo: of, ...options }) => control.finish(of, options),
    (of, options) => ({ outTradeNo: of, ...options }),
  ),
  latency: route(
    z.strictObject({ ms: z.number().min(0) }),
    (control, { ms }) => control.latency(ms),
    (ms) => ({ ms }),
  ),
  refunds: route(
    z.strictObject({
      visibleAfterMs: z.number().min(0).optional(),
      spacingMs: z.number().min(0).optional(),
      outcomeAfterMs: z.number().min(0).optional(),
      balance: z.string().nullish(),
      sellerId,
    }),
    (control, pace) => control.refunds(pace),
    (pace) => pace,
  ),
  bills: route(
    billFaults,
    (control, faults) => control.bills(faults),
    (faults) => faults,
  ),
  down: route(
    z.strictObject({ down: z.boolean(), how: z.enum(['502', 'reset']).optional() }),
    (control, { down, how }) => control.down(down, how),
    (down, how) => ({ down, how }),
  ),
  rotateCertificate: route(
    z.strictObject({ newKey: z.boolean().optional() }),
    (control, options) => control.rotateCertificate(options),
    (options = {}) => options,
  ),
  ledger: route(
    nothing,
    (control) => control.ledger(),
    () => ({}),
  ),
  barCode: route(
    z.strictObject({ outcome: z.enum(['paid', 'password']) }),
    (control, { outcome }) => control.barCode(outcome),
    (outcome) => ({ outcome }),
  ),
  clock: route(
    z
      .strictObject({
        advanceMs: z.number().min(0).max(CLOCK_MAX_MS).optional(),
        scale: z.number().min(0.01).max(100_000).optional(),
      })
      .nullish(),
    (control, change) => control.clock(change ?? {}),
    (change = {}) => change,
  ),
  seed: route(
    seedFile,
    (control, seed) => control.seed(seed),
    (seed) => seed,
  ),
  reset: route(
    nothing,
    (control) => control.reset(),
    () => ({}),
  ),
  exportIncident: route(
    nothing,
    (control) => control.exportIncident(),
    () => ({}),
  ),
  replayIncident: route(
    z.strictObject({
      incident: z.custom<Incident>((given) => incidentFile.safeParse(given).success),
      notifyUrl: z.url().optional(),
    }),
    (control, { incident, ...options }) => control.replayIncident(incident, options),
    (incident, options) => ({ incident, ...options }),
  ),
};

/** Functions that need no argument and then change nothing: they can be read with GET. */
export const CONTROL_READS: readonly (keyof SandboxControl)[] = [
  ...(['accounts', 'trades', 'journal', 'ledger'] as const),
  ...(['pendingNotifications', 'clock', 'exportIncident'] as const),
];

/**
 * Puts the control API under `/control/`; `GET /control` lists it, each function with the JSON schema of its body.
 * Errors are `{code, message}`: 400 for input, 409 for a refusal.
 */
export function serveControl(server: FastifyInstance, control: SandboxControl): void {
  server.get('/control', () => listing());
  for (const name of Object.keys(CONTROL_ROUTES) as (keyof SandboxControl)[]) {
    const method = CONTROL_READS.includes(name) ? (['GET', 'POST'] as const) : (['POST'] as const);
    server.route({
      method: [...method],
      url: `/control/${name}`,
      handler: async (request, reply) => {
        try {
          if (request.url.includes('?'))
            throw new Refusal('INVALID_INPUT', 'arguments are a JSON object in the body of a POST');
          const result = (await CONTROL_ROUTES[name].handle(control, request.body)) ?? null;
          return await reply.type('application/json').send(JSON.stringify(result));
        } catch (error) {
          return reply.code(statusOf(error)).send(explain(error));
        }
      },
    });
  }
}

function listing(): Record<string, unknown> {
  const entries = Object.entries(CONTROL_ROUTES).map(([name, { schema }]) => [
    `/control/${name}`,
    z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input' }),
  ]);
  return Object.fromEntries(entries) as Record<string, unknown>;
}

function statusOf(error: unknown): number {
  if (error instanceof ZodError) return 400;
  return error instanceof Refusal ? (error.code === 'INVALID_INPUT' ? 400 : 409) : 500;
}

function explain(error: unknown): { code: string; message: string } {
  if (error instanceof ZodError) return { code: 'INVALID_INPUT', message: z.prettifyError(error) };
  if (error instanceof Refusal) return { code: error.code, message: error.message };
  return { code: 'SANDBOX_ERROR', message: error instanceof Error ? error.message : String(error) };
}

/**
 * The control API of a sandbox in another process.
 * @param url the sandbox's own address, `http://127.0.0.1:4000`
 * @param token if the sandbox requires one
 */
export function connectControl(url: string, token?: string): SandboxControl {
  const remote = Object.entries(CONTROL_ROUTES).map(([name, { body }]) => [
    name,
    (...args: unknown[]) =>
      call(`${url}/control/${name}`, (body as (...given: unknown[]) => unknown)(...args), token),
  ]);
  return Object.fromEntries(remote) as SandboxControl;
}

async function call(url: string, body: unknown, token?: string): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
  });
  const result: unknown = await response.json();
  if (response.ok) return result;
  const { code, message } = result as { code: string; message: string };
  throw new Refusal(code, message.replace(`${code}: `, ''));
}
