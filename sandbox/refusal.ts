/** Alipay's own texts for the business errors that this sandbox returns. */
const SUB_MESSAGES: Record<string, string> = {
  'ACQ.TRADE_NOT_EXIST': '交易不存在',
  'ACQ.TRADE_STATUS_ERROR': '交易状态不合法',
  'ACQ.TRADE_HAS_SUCCESS': '交易已被支付',
  'ACQ.TRADE_HAS_CLOSE': '交易已经关闭',
  'ACQ.TRADE_HAS_FINISHED': '交易已经完结',
  'ACQ.CONTEXT_INCONSISTENT': '交易信息被篡改',
  'ACQ.INVALID_PARAMETER': '参数无效',
  'ACQ.DISCORDANT_REPEAT_REQUEST': '请求信息不一致',
  'ACQ.REASON_TRADE_REFUND_FEE_ERR': '退款金额无效',
  'ACQ.REFUND_AMT_NOT_EQUAL_TOTAL': '退款金额与订单金额不一致',
  'ACQ.SYSTEM_ERROR': '系统错误',
  'ACQ.SELLER_BALANCE_NOT_ENOUGH': '卖家余额不足',
  'ACQ.BUYER_NOT_EXIST': '买家不存在',
  'ACQ.PAYMENT_AUTH_CODE_INVALID': '支付失败，获取顾客账户信息失败，请顾客刷新付款码后重新收款',
  'ACQ.TRADE_CANCEL_TIME_OUT': '超过撤销时间范围',
  'ACQ.ACCESS_FORBIDDEN': '无权限使用接口',
  'isp.bill_not_exist': '账单不存在',
  'isv.invalid_arguments': '参数错误',
};

/** The text that belongs to a business error's `sub_code`. */
export function subMessage(subCode: string): string {
  return SUB_MESSAGES[subCode] ?? '业务处理失败';
}

/**
 * Alipay, or its cashier, refuses something. On the wire this becomes a 40004 answer, a page shows it to the buyer, and
 * the control API throws it.
 */
export class Refusal extends Error {
  /**
   * @param code Alipay's `sub_code`, or one of the sandbox's own, like `UNKNOWN_ORDER`, `EXPIRED`, `INVALID_INPUT`
   * @param detail what exactly was refused
   */
  constructor(
    readonly code: string,
    readonly detail?: string,
  ) {
    super(`${code}: ${subMessageOr(code, detail)}`);
    this.name = 'Refusal';
  }
}

function subMessageOr(code: string, detail?: string): string {
  const words = code.startsWith('ACQ.') ? subMessage(code) : undefined;
  // The response of a sandbox in another process already contains the text.
  if (words !== undefined && detail?.startsWith(words) === true) return detail;
  return [words, detail].filter((part) => part !== undefined).join(', ') || code;
}
