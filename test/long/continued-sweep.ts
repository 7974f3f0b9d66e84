import { condition, continueAsNew, defineQuery, defineSignal, setHandler } from '@temporalio/workflow';
import type { SweepReport } from '../../workflows/messages';

// A sweep of tens of thousands of orders continues as new; this one does at once, and each run waits for a signal.

const progress = defineQuery<SweepReport>('progress');
const goOn = defineSignal('goOn');

export async function continuedSweep(report: SweepReport, runsLeft: number): Promise<SweepReport> {
  let told = false;
  setHandler(progress, () => report);
  setHandler(goOn, () => {
    told = true;
  });
  await condition(() => told);
  if (runsLeft > 0) {
    await continueAsNew<typeof continuedSweep>({ ...report, scanned: report.scanned + 10 }, runsLeft - 1);
  }
  return report;
}
