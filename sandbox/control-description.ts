import { z } from 'zod';
import type { SandboxControl } from './control';
import { CONTROL_READS, CONTROL_ROUTES } from './control-http';

type Group =
  'The buyer' | 'The merchant portal' | 'Notifications' | 'Faults' | 'What happened' | 'Time and state';

/** What each function does. */
const WORDS: { [Name in keyof SandboxControl]: [group: Group, about: string] } = {
  open: ['The buyer', 'Opens a pay URL, a pay form, a QR code or an order string. Returns the `outTradeNo`.'],
  scan: ['The buyer', 'Scans or logs in: the trade exists now, `WAIT_BUYER_PAY`.'],
  pay: ['The buyer', 'Pays; `notify: false` loses the notification for good.'],
  leave: ['The buyer', 'Walks away.'],
  barCode: ['The buyer', 'What `alipay.trade.pay` leads to: `paid`, or `password` (10003).'],
  close: ['The merchant portal', 'Closes an unpaid trade.'],
  expire: ['The merchant portal', 'Ends the time to pay now: Alipay closes the trade.'],
  refundByHand: ['The merchant portal', 'Refunds by hand: no call of yours, but a notification.'],
  finish: ['The merchant portal', 'Ends the refund window: `TRADE_FINISHED`.'],
  rotateCertificate: ['The merchant portal', "Renews Alipay's certificate, in certificate mode."],
  notifier: ['Notifications', 'Loses, repeats, reorders, delays or forges notifications; `{}` ends it.'],
  notify: ['Notifications', 'Sends one now, with any field changed before it is signed.'],
  replayNotification: ['Notifications', 'Posts an earlier one again, byte for byte.'],
  forge: ['Notifications', 'Sends a forged one now.'],
  pendingNotifications: ['Notifications', 'How many are still to be delivered.'],
  fault: ['Faults', 'Makes calls fail, before or after their effect.'],
  clearFaults: ['Faults', 'Clears all of these faults.'],
  latency: ['Faults', 'Delays every answer.'],
  down: ['Faults', 'Takes the gateway down.'],
  refunds: ['Faults', 'Slows refunds, or empties the seller’s account.'],
  bills: ['Faults', 'Spoils the daily bills; `{}` ends it.'],
  accounts: ['What happened', 'The applications and sellers that it serves.'],
  trade: ['What happened', 'One trade, or `null`.'],
  trades: ['What happened', 'All trades of all sellers, oldest first.'],
  journal: ['What happened', 'Every call, notification and act, oldest first.'],
  clearJournal: ['What happened', 'Empties the journal.'],
  ledger: ['What happened', 'Per trade what was paid and refunded, in fen.'],
  exportIncident: ['What happened', 'The journal without personal data, to send to someone.'],
  replayIncident: ['What happened', 'Replays an exported incident, and says what differs.'],
  clock: ['Time and state', 'Tells the time; lets it jump ahead (`advanceMs`) and run faster (`scale`).'],
  seed: ['Time and state', 'Creates orders, in any state.'],
  reset: ['Time and state', 'Restores the state of the first start.'],
};

const names = Object.keys(WORDS) as (keyof SandboxControl)[];

const schemaOf = (name: keyof SandboxControl) =>
  z.toJSONSchema(CONTROL_ROUTES[name].schema, { unrepresentable: 'any', io: 'input', target: 'openapi-3.0' });

/** The table in the README. */
export function controlTable(): string {
  const rows = names.map((name) => {
    const { properties = {}, required = [] } = schemaOf(name) as { properties?: object; required?: string[] };
    const args = Object.keys(properties).map((arg) => (required.includes(arg) ? arg : `${arg}?`));
    const method = CONTROL_READS.includes(name) && args.length === 0 ? 'GET' : 'POST';
    return `| \`${method} /control/${name}\` | ${args.map((arg) => `\`${arg}\``).join(', ')} | ${WORDS[name][1]} |`;
  });
  return ['| Request | Arguments | What it does |', '| --- | --- | --- |', ...rows].join('\n');
}

/** The control API as OpenAPI 3.0. */
export function controlOpenApi(version: string): Record<string, unknown> {
  return {
    openapi: '3.0.3',
    info: {
      title: 'alipay-sandbox: control API',
      version,
      description: 'What a test or a person does to the sandbox. Effects happen before the answer is sent.',
    },
    servers: [{ url: 'http://127.0.0.1:4000' }],
    security: [{}, { token: [] }],
    paths: Object.fromEntries(names.map((name) => [`/control/${name}`, operationsOf(name)])),
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: {
        Error: {
          type: 'object',
          properties: { code: { type: 'string' }, message: { type: 'string' } },
          required: ['code', 'message'],
        },
      },
    },
  };
}

function operationsOf(name: keyof SandboxControl): Record<string, unknown> {
  const [group, summary] = WORDS[name];
  const failed = (description: string) => ({
    description,
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
  });
  const common = {
    tags: [group],
    summary,
    responses: {
      200: { description: 'The result, or null', content: { 'application/json': { schema: {} } } },
      400: failed('The arguments are wrong'),
      401: failed('The token is missing'),
      403: failed('A page of another site sent the request'),
      409: failed('The sandbox refuses, with the code that Alipay would give'),
    },
  };
  const post = {
    operationId: name,
    ...common,
    requestBody: { content: { 'application/json': { schema: schemaOf(name) } } },
  };
  return CONTROL_READS.includes(name) ? { get: { operationId: `${name}ByGet`, ...common }, post } : { post };
}
