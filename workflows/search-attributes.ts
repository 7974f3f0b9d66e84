import { SearchAttributeType, defineSearchAttributeKey } from '@temporalio/common';
import { SEARCH_ATTRIBUTES } from './messages';

/** The search attributes, typed, for workflows and for those who start them. */
export const OUT_TRADE_NO = defineSearchAttributeKey(
  SEARCH_ATTRIBUTES.outTradeNo,
  SearchAttributeType.KEYWORD,
);
export const ORDER_ID = defineSearchAttributeKey(SEARCH_ATTRIBUTES.orderId, SearchAttributeType.KEYWORD);
export const PAYMENT_STATUS = defineSearchAttributeKey(
  SEARCH_ATTRIBUTES.paymentStatus,
  SearchAttributeType.KEYWORD,
);
