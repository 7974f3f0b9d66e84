/** Activities of queue `alipay` beat every 5 s: a killed worker is noticed after this, not after their whole time. */
export const HEARTBEAT_TIMEOUT = '15s';
