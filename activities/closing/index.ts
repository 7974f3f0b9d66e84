/** Closing: at Alipay first, then here, order and payments together. */
export { createClosingActivities, createExpiryActivities } from './activities';
export { RECHECK_AFTER_MS, askAlipay, closeAtAlipay, handOver } from './at-alipay';
