/** Closing: at Alipay first, then here, order and payments together. */
export { createClosingActivities, createExpiryActivities } from './activities';
export { PROBE_OUT_TRADE_NO, RECHECK_AFTER_MS, askAlipay, closeAtAlipay, handOver } from './at-alipay';
