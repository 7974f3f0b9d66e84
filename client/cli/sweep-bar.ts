import { SingleBar } from 'cli-progress';
import type { SweepReport } from '../../workflows/messages';
import type { SweepBar } from './command';

/** Draws how far a sweep is on a terminal, and leaves nothing behind. Its total grows with each page that is read. */
export function drawSweepBar(terminal: NodeJS.WriteStream): SweepBar {
  const bar = new SingleBar({
    stream: terminal,
    format: '{bar} {value}/{total} orders: {tally} | {duration_formatted}',
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
    emptyOnZero: true,
  });
  bar.start(0, 0, { tally: 'starting' });
  let takenUp = false;
  return {
    watch: (_workflowId, report) => {
      if (!report) {
        // Later, a query without an answer means a busy worker: the last report stays.
        if (!takenUp) bar.update({ tally: 'no worker has taken it up yet' });
        return;
      }
      takenUp = true;
      bar.setTotal(report.scanned);
      bar.update(settled(report), { tally: tally(report) });
    },
    stop: () => bar.stop(),
  };
}

function settled({ closed, rescued, held, failed }: SweepReport): number {
  return closed + rescued + held + failed;
}

function tally({ closed, rescued, held, failed }: SweepReport): string {
  return `${closed} closed, ${rescued} rescued, ${held} held, ${failed} failed`;
}
