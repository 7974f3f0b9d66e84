import { SingleBar } from 'cli-progress';
import type { WatchBill } from '../index';

/** Something that shows how far a reconciliation is, until it is stopped. */
export interface BillBar {
  watch: WatchBill;
  stop: () => void;
}

/** How many lines there are is known at the end only: the bar is always a batch short of full. */
const MORE = 5_000;

/** Draws how far a reconciliation is on a terminal, and leaves nothing behind. */
export function drawBillBar(terminal: NodeJS.WriteStream): BillBar {
  const bar = new SingleBar({
    stream: terminal,
    format: '{bar} {value} lines | {duration_formatted}',
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
  });
  bar.start(MORE, 0);
  return {
    watch: (row) => {
      bar.setTotal((row?.lines ?? 0) + MORE);
      bar.update(row?.lines ?? 0);
    },
    stop: () => bar.stop(),
  };
}
