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

/** `timeout_express` ends at 15 days, and no longer life of a trade is documented for `time_expire` either. */
export const LONGEST_ORDER = '15d';

/** What becomes of orders, payments, results and bills. */
export const PAYMENTS = {
  PAYMENT_CHECKS: {
    group: 'payments',
    field: 'checks',
    default: '3',
    meaning: 'how many times Alipay is asked after a checkout; 0: only notifications and the sweep',
    kind: wholeNumber(0, 20),
  },
  PAYMENT_CHECK_INTERVAL: {
    group: 'payments',
    field: 'intervalMs',
    default: '1m',
    meaning: 'time from checkout to the first check, and between checks',
    kind: duration('1ms', '24h'),
  },
  SLOW_CHECKS: {
    group: 'payments',
    field: 'slowChecksMs',
    default: '5m,10m,20m,40m,80m,160m,320m,640m',
    blankIsValue: true,
    meaning:
      'when Alipay is asked again about a payment that stays open, counted from its checkout; empty or `none`: never',
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
    meaning: 'how long before an order expires Alipay stops taking money for it',
    kind: duration('1ms', '24h'),
  },
  LATE_PAYMENT_POLICY: {
    group: 'payments',
    field: 'latePaymentPolicy',
    default: 'refund',
    meaning: 'what happens to money that comes too late or twice: `refund`, or `review` by a person',
    kind: oneOf(['refund', 'review']),
  },
  REFUND_BRAKE: {
    group: 'payments',
    field: 'refundBrakeFen',
    default: '10000',
    meaning:
      'yuan per hour and merchant that late and duplicate payments refund automatically; `0`: nothing, `none`: no limit',
    kind: yuanOrNone,
  },
  EVIDENCE_RETENTION: {
    group: 'payments',
    field: 'evidenceRetentionMs',
    example: '400d',
    meaning: "how long Alipay's notifications are kept once they are recorded; unset: forever",
    kind: duration('1s', '20y').optional(),
  },
  ORDER_SERVICE_URL: {
    group: 'orderService',
    field: 'url',
    example: 'https://shop.example/payment-results',
    meaning: 'where results are posted (a webhook), for a shop without Temporal; unset: told to its workflow',
    kind: webhookUrl.optional(),
  },
  ORDER_SERVICE_SECRET: {
    group: 'orderService',
    field: 'secrets',
    secret: true,
    orFile: true,
    example:
      'whsec_ and base64, as from: echo "whsec_$(openssl rand -base64 32)"; an older one behind it, with a comma between',
    meaning:
      'signs webhooks (Standard Webhooks): `whsec_` and base64, two with a comma while one is replaced; or ORDER_SERVICE_SECRET_FILE',
    kind: webhookSecrets.optional().transform((secrets) => secrets ?? []),
  },
  ORDER_SERVICE_PRIVATE: {
    group: 'orderService',
    field: 'private',
    example: 'allow',
    meaning:
      '`allow`: ORDER_SERVICE_URL may be an address of a private network although ALIPAY_NOTIFY_URL is public',
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
    meaning: 'orders asked about and closed at the same time',
    kind: wholeNumber(1, 1_000),
  },
  BILL_REPAIR: {
    group: 'sweep',
    field: 'billRepair',
    default: 'safe',
    meaning:
      "what the daily reconciliation acts on: `safe`, what Alipay's own answer decides; `all`, reviews too; `none`: it only reports",
    kind: oneOf(['none', 'safe', 'all']),
  },
  BILL_ORIGINS: {
    group: 'bills',
    field: 'billOrigins',
    default: 'https://dwbillcenter.alipay.com',
    meaning: "where daily bills may be downloaded from, with commas between; the gateway's own origin always",
    kind: origins,
  },
  BILL_PREFIXES: {
    group: 'bills',
    field: 'billPrefixes',
    example: 'A,web_',
    meaning:
      'what our `out_trade_no` begin with, with commas between: other lines are only counted; unset: Alipay is asked about them',
    kind: words(32)
      .optional()
      .transform((prefixes) => prefixes ?? []),
  },
} as const satisfies Record<string, Variable>;
