import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { PaymentFacts } from './in-words';
import { paymentInWords } from './in-words';
import { UNSEARCHABLE } from './messages';
import { OUT_TRADE_NO, PAYMENT_STATUS } from './search-attributes';

/** Shows a payment's state in the Web UI: the search attributes, if they differ, and the details in plain words. */
export function showPayment(facts: PaymentFacts): void {
  const { outTradeNo, status, reviewReason } = facts;
  showInLists(outTradeNo, reviewReason === null ? status : 'REVIEW');
  setCurrentDetails(paymentInWords(facts));
}

/** Sets the search attributes, if they differ and the namespace has them. */
export function showInLists(outTradeNo: string, status: string): void {
  const { typedSearchAttributes: shown, memo } = workflowInfo();
  const differs = shown.get(OUT_TRADE_NO) !== outTradeNo || shown.get(PAYMENT_STATUS) !== status;
  if (!differs || memo?.[UNSEARCHABLE]) return;
  upsertSearchAttributes([
    { key: OUT_TRADE_NO, value: outTradeNo },
    { key: PAYMENT_STATUS, value: status },
  ]);
}
