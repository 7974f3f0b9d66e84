import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { PaymentFacts } from './in-words';
import { paymentInWords } from './in-words';
import { OUT_TRADE_NO, PAYMENT_STATUS } from './search-attributes';

/** Shows in the Web UI where a payment is: the search attributes, where they differ, and the details in plain words. */
export function showPayment(facts: PaymentFacts): void {
  const { outTradeNo, status, reviewReason } = facts;
  const searched = reviewReason === null ? status : 'REVIEW';
  const { typedSearchAttributes: shown } = workflowInfo();
  if (shown.get(OUT_TRADE_NO) !== outTradeNo || shown.get(PAYMENT_STATUS) !== searched) {
    upsertSearchAttributes([
      { key: OUT_TRADE_NO, value: outTradeNo },
      { key: PAYMENT_STATUS, value: searched },
    ]);
  }
  setCurrentDetails(paymentInWords(facts));
}
