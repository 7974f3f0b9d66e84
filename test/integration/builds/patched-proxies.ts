import { patched } from '@temporalio/workflow';
import * as present from '../../../workflows/proxies';

export * from '../../../workflows/proxies';

/** The next build's change: it looks into the table before each ask and each telling, one activity more than before. */
export const LOOK_FIRST = 'look-first';

type Question = Parameters<typeof present.askAtOnce.queryAlipay>[0];

export const askAtOnce = {
  async queryAlipay(question: Question) {
    if (patched(LOOK_FIRST)) await present.surely.readPayment({ outTradeNo: question.outTradeNo });
    return present.askAtOnce.queryAlipay(question);
  },
};
