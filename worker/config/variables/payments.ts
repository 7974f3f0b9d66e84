import {
  ascendingDurations,
  cron,
  duration,
  oneOf,
  origins,
  webhookSecrets,
  webhookUrl,
  wholeNumber,
  words,
  yuanOrNone,
} from '../kinds';
import type { Variable } from './variable';

/** `timeout_express` ends at 15 days, and no longer life of a trade is documented for `time_expire`. */
export const LONGEST_ORDER = '15d';

/** How orders, payments, results and bills are handled. */
export const PAYMENTS = {
  PAYMENT_CHECKS: {
    group: 'payments',
    field: 'checks',
    default: '3',
    meaning: 'how many times Alipay is asked after a checkout',
    kind: wholeNumber(0, 20),
  },
  PAYMENT_CHECK_INTERVAL: {
    group: 'payments',
    field: 'intervalMs',
    default: '1m',
    meaning: 'time before the first check, and between checks',
    kind: duration('1ms', '24h'),
  },
  SLOW_CHECKS: {
    group: 'payments',
    field: 'slowChecksMs',
    default: '5m,10m,20m,40m,80m,160m,320m,640m',
    meaning: 'when an open payment is checked again, from its checkout on; `none`: never',
    kind: ascendingDurations(LONGEST_ORDER, 32),
  },
  ORDER_TTL: {
    group: 'payments',
    field: 'orderTtlMs',
    default: '24h',
    meaning: 'how long an order may stay unpaid',
    kind: duration('1ms', LONGEST_ORDER),
  },
  CLOSE_MARGIN: {
    group: 'payments',
    field: 'closeMarginMs',
    default: '60s',
    meaning: 'how long before expiry Alipay stops taking money',
    kind: duration('1ms', '24h'),
  },
  LATE_PAYMENT_POLICY: {
    group: 'payments',
    field: 'latePaymentPolicy',
    default: 'refund',
    meaning: 'money that comes too late or twice: `refund`, or `review` by a person',
    kind: oneOf(['refund', 'review']),
  },
  REFUND_BRAKE: {
    group: 'payments',
    field: 'refundBrakeFen',
    default: '10000',
    meaning:
      'yuan per hour and merchant that late and duplicate payments refund automatically; `none`: no limit',
    kind: yuanOrNone,
  },
  EVIDENCE_RETENTION: {
    group: 'payments',
    field: 'evidenceRetentionMs',
    example: '400d',
    meaning: 'how long what Alipay signed is kept, once recorded; unset: forever',
    kind: duration('1s', '20y').optional(),
  },
  ORDER_SERVICE_URL: {
    group: 'orderService',
    field: 'url',
    example: 'https://shop.example/payment-results',
    meaning: 'webhook that takes results; unset: a workflow is told',
    kind: webhookUrl.optional(),
  },
  ORDER_SERVICE_SECRET: {
    group: 'orderService',
    field: 'secrets',
    secret: true,
    orFile: true,
    example:
      'whsec_ and base64, as from: echo "whsec_$(openssl rand -base64 32)"; an older one after it, separated by a comma',
    meaning:
      'signs webhooks: `whsec_` and base64; new and old, comma-separated, during a change; or ORDER_SERVICE_SECRET_FILE',
    kind: webhookSecrets.optional().transform((secrets) => secrets ?? []),
  },
  ORDER_SERVICE_PRIVATE: {
    group: 'orderService',
    field: 'private',
    example: 'allow',
    meaning: '`allow`: ORDER_SERVICE_URL may be a private address although ALIPAY_NOTIFY_URL is public',
    kind: oneOf(['allow']).optional(),
  },
  SWEEP_CRON: {
    group: 'sweep',
    field: 'cron',
    default: '0/30 * * * * * *',
    meaning: 'when the sweep runs: seven fields (seconds first, year last) or `@every 30s`',
    kind: cron,
  },
  SWEEP_PARALLEL: {
    group: 'sweep',
    field: 'parallel',
    default: '50',
    meaning: 'orders closed at the same time',
    kind: wholeNumber(1, 1_000),
  },
  BILL_REPAIR: {
    group: 'sweep',
    field: 'billRepair',
    default: 'safe',
    meaning:
      "what the daily bill repairs: `safe`, what Alipay's own answer decides; `all`, reviews too; `none`",
    kind: oneOf(['none', 'safe', 'all']),
  },
  BILL_ORIGINS: {
    group: 'bills',
    field: 'billOrigins',
    default: 'https://dwbillcenter.alipay.com',
    meaning: "origins that bills may be downloaded from, comma-separated; the gateway's always",
    kind: origins,
  },
  BILL_PREFIXES: {
    group: 'bills',
    field: 'billPrefixes',
    example: 'A,web_',
    meaning: 'prefixes of our `out_trade_no`, comma-separated; other bill lines are only counted',
    kind: words(32)
      .optional()
      .transform((prefixes) => prefixes ?? []),
  },
} as const satisfies Record<string, Variable>;
