import { workflowInfo } from '@temporalio/workflow';

/** A run that waits for a person or a deadline continues as new before its history grows beyond this many events. */
const LONGEST = 1_000;

export function historyIsLong(): boolean {
  const { historyLength, continueAsNewSuggested } = workflowInfo();
  return historyLength > LONGEST || continueAsNewSuggested;
}
