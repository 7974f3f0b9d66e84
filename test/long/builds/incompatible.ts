import { upsertMemo } from '@temporalio/workflow';
import * as present from '../../../workflows';

export * from '../../../workflows';

// Incompatible on purpose: a command before all others. It works for runs that it started itself.

export const confirmPayment: typeof present.confirmPayment = (input) => {
  upsertMemo({ build: 'incompatible' });
  return present.confirmPayment(input);
};

export const fulfillOrder: typeof present.fulfillOrder = (input) => {
  upsertMemo({ build: 'incompatible' });
  return present.fulfillOrder(input);
};
